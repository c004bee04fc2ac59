"""The sections that every honed.toml begins with, as ``honed init`` writes them."""

from collections.abc import Mapping, Sequence

from honed.core.sections import toml_string


def first_sections(
    shape: str,
    paths: Sequence[str],
    columns: Mapping[str, str],
    encoding: str,
    *,
    said: str = "",
    more: Sequence[str] = (),
) -> list[str]:
    """Return the lines from [paths] to [model]; ``said`` follows the input, ``more`` are further lines of [data]."""
    return [
        "# honed.toml: one section a stage, in the order of the stages; a section that is absent leaves its stage out.",
        "",
        "[paths]",
        f"input = [{', '.join(map(toml_string, paths))}]{said}",
        'output = "work"',
        "",
        "[data]",
        f"shape = {toml_string(shape)}",
        *([f"encoding = {toml_string(encoding)}"] if encoding != "utf-8" else []),
        *more,
        'on_bad_row = "stop"  # or "quarantine": keep the good rows',
        "",
        "[data.columns]  # role = column of your files",
        *(f"{role} = {toml_string(column)}" for role, column in columns.items()),
        "",
        "[model]",
        'base = "minilm"  # or a local folder, or a Hub id such as "intfloat/e5-base-v2"',
    ]
