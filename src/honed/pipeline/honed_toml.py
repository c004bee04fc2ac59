"""honed.toml read whole: sections of every shape, those of the shape at hand, and whether they go together."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from honed.config.config import SECTIONS, Config
from honed.core.errors import ConfigError, did_you_mean
from honed.core.json import Json, JsonObject
from honed.core.sections import read_section, toml_value
from honed.encode.base_models import local_folder
from honed.encode.config import AUTO, EncoderConfig
from honed.shapes.registry import all_shapes, shape_of
from honed.shapes.shape import JUDGED_SECTIONS, Shape


def read_config(path: Path, overrides: Mapping[str, Json] | None = None) -> Config:
    """Read a configuration file; ``overrides`` maps ``section.key`` to a value.

    Raises `ConfigError` that names file, key, what was given and what is allowed.
    """
    return config_of(with_overrides(read_tables(path), overrides or {}), path.name)


def read_tables(path: Path) -> dict[str, Json]:
    """Return the tables of a configuration file; `ConfigError` for one that is missing or no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError("E_NO_CONFIG", f"{path}: no such file; make one with  honed init YOUR-DATA.csv") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("E_CONFIG_TOML", f"{path}: not TOML: {error}") from error


def with_overrides(tables: JsonObject, overrides: Mapping[str, Json]) -> dict[str, Json]:
    """Return tables in which ``section.key`` has another value.

    A name without a key is a whole section: its keys as a mapping, True for its defaults. None leaves a key or a
    section out.
    """
    changed: dict[str, Json] = {
        name: dict(table) if isinstance(table, Mapping) else table for name, table in tables.items()
    }
    for name, value in overrides.items():
        section, _, key = name.partition(".")
        if not key and value is None:
            changed.pop(section, None)
            continue
        table = changed.setdefault(section, {})
        if not key and value is True:
            continue
        if not isinstance(table, dict) or (not key and not isinstance(value, Mapping)):
            raise ConfigError("E_CONFIG_TYPE", f"{name}: {value!r} is no value of a setting; give section.key = value")
        table.update(value if not key and isinstance(value, Mapping) else {key: value})
        changed[section] = {key: value for key, value in table.items() if value is not None}
    return changed


def config_of(tables: JsonObject, file: str) -> Config:
    """Read a configuration from plain tables; ``file`` is named in errors."""
    shapes = list(all_shapes())
    kinds_of_shapes = {name: kind for shape in shapes for name, kind in shape.sections.items()}
    known = {**SECTIONS, **kinds_of_shapes}
    for name in tables:
        if name not in known:
            listed = ", ".join(known)
            raise ConfigError(
                "E_CONFIG_KEY", f"{file}: {name}: unknown section{did_you_mean(name, known)} (known: {listed})"
            )
    tables = _with_candidates(tables)
    sections: dict[str, Any] = {name: read_section(known[name], table, name, file) for name, table in tables.items()}
    for section in sections.values():
        if callable(check := getattr(section, "check", None)):
            check(file)
    if "model" in sections:
        _check_max_length(sections["model"], file)
    for name in ("paths", "data"):
        if name not in sections:
            raise ConfigError("E_CONFIG_MISSING", f"{file}: the section [{name}] is missing; see  honed init --help")
    config = Config(
        **{name: section for name, section in sections.items() if name in SECTIONS},
        own={name: section for name, section in sections.items() if name in kinds_of_shapes},
    )
    if config.model.prompts == "auto":
        config = replace(config, model=replace(config.model, prompts=shape_of(config).prompts))
    _check_together(config, sections, shapes, file)
    return config


def _with_candidates(tables: JsonObject) -> JsonObject:
    """Return tables in which several base models, written as a list, are the candidates for one to be chosen."""
    model = tables.get("model")
    if not isinstance(model, Mapping) or not isinstance(model.get("base"), list | tuple):
        return tables
    return {**tables, "model": {**model, "base": AUTO, "bases": model["base"]}}


def _check_together(config: Config, sections: Mapping[str, object], shapes: list[Shape], file: str) -> None:
    """Raise `ConfigError` for sections that do not go together."""
    shape = shape_of(config)
    for name in sections:
        takers = [other.name for other in shapes if name in other.sections or name in other.optional]
        is_own = name in JUDGED_SECTIONS or any(name in other.sections for other in shapes)
        if is_own and name not in shape.sections and name not in shape.optional:
            listed = " or ".join(f'"{taker}"' for taker in sorted(takers))
            raise ConfigError("E_CONFIG_SHAPE", f"{file}: [{name}] goes with data.shape = {listed}")
    if config.model.is_open and not shape.directions(config):
        raise ConfigError(
            "E_CONFIG_SHAPE",
            f"{file}: model.base: base models are tried on judged queries, which data.shape = "
            f'"{config.data.shape}" has none of; name one',
        )
    config.check_languages(file)
    if config.index and config.index.names == "all" and config.hybrid:
        raise ConfigError("E_CONFIG_RANGE", f'{file}: [hybrid] ranks labels: index.names must be "labels"')
    shape.check_config(config, file)


def _check_max_length(model: EncoderConfig, file: str) -> None:
    """Compare with the model's positions where the model is on disk; the encoder checks again when it loads."""
    folder = local_folder(model.base)
    if not model.max_length or folder is None or not (folder / "config.json").is_file():
        return
    limit = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("max_position_embeddings")
    if limit and model.max_length > limit:
        raise ConfigError(
            "E_CONFIG_RANGE", f"{file}: model.max_length: {model.max_length} is over the model's {limit} positions"
        )


def toml_text(tables: JsonObject) -> str:
    """Return tables as the text of a TOML file."""
    lines: list[str] = []
    for name, table in tables.items():
        assert isinstance(table, Mapping)
        lines.append(f"[{name}]")
        lines += [f"{key} = {toml_value(value)}" for key, value in table.items()]
        lines.append("")
    return "\n".join(lines)
