"""``honed doctor``: what is here, what would be used, and what honed.toml asks for that cannot run."""

import platform
from pathlib import Path
from typing import Any

from honed.bundle.fastest import EngineChoice, EngineSpeed, kept_choices
from honed.config.config import FILE, Config
from honed.core.cpus import cpu_count
from honed.core.errors import HonedError
from honed.core.json import parse_object
from honed.core.optional import PARTS, installed_version, is_installed, require
from honed.data.inputs import is_remote
from honed.encode import hardware
from honed.encode.architectures import architecture_of
from honed.encode.base_models import ModelFiles, resolve
from honed.encode.candidates import candidates
from honed.encode.engines import engines_for
from honed.encode.onnx_file import PRECISIONS
from honed.index import kernel

_PACKAGES = (
    "honed",
    "torch",
    "sentence-transformers",
    "transformers",
    "faiss-cpu",
    "onnxruntime",
    "openvino",
    "tokenizers",
    "pyarrow",
    "numpy",
)


def examine(project: Path) -> dict[str, Any]:
    """Return what the machine has, by section, and ``problems``: reasons why honed.toml cannot run here."""
    flags = hardware.cpu_flags()
    total, free = hardware.memory_bytes()
    useful = [
        flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8") if flag in flags
    ]
    facts: dict[str, Any] = {
        "machine": {
            "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
            "cores": cpu_count(),
            "cpu features": " ".join(useful) or "none known",
            "memory": f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB free",
        },
        "gpus": _gpus(),
        "versions": {name: installed_version(name) or "not installed" for name in _PACKAGES},
        "parts": {part: "yes" if is_installed(part) else f"no (honed[{extra}])" for part, (_, extra) in PARTS.items()},
    }
    facts["models"] = {"minilm": _where("minilm")}
    facts["would run"] = _would_run(facts)
    facts["engines"] = {f"{choice.bundle}, {choice.precision}": _shown(choice) for choice in kept_choices()}
    facts["problems"] = []
    if (project / FILE).is_file():
        try:
            config, base = _base_of(project)
        except HonedError as error:
            facts["problems"] = [str(error)]
        else:
            facts["base model"] = {"where": f"{base.source}: {base.folder}", **_way_of(base.folder)}
            facts["problems"] = _problems(project, config)
    return facts


def _gpus() -> dict[str, str]:
    if not is_installed("torch encoder"):
        return {"none": "torch is not installed"}
    gpus = hardware.gpus()
    if not gpus:
        return {"none": "no CUDA device"}
    return {
        f"cuda:{number}": f"{gpu.name}, {gpu.free / 2**30:.1f} of {gpu.total / 2**30:.1f} GiB free"
        f"{', bf16' if gpu.bf16 else ''}"
        for number, gpu in enumerate(gpus)
    }


def _where(name: str) -> str:
    try:
        base = resolve(name)
    except HonedError as error:
        return f"not found: {error.message}"
    return f"{base.source}: {base.folder}"


def _would_run(facts: dict[str, Any]) -> dict[str, str]:
    gpu = next((name for name in facts["gpus"] if name.startswith("cuda")), None)
    device = gpu or "cpu"
    bf16 = "bf16" in facts["gpus"].get(device, "") if gpu else hardware.cpu_has_bf16()
    firsts = ", ".join(f"{precision} by {engines_for(precision)[0]}" for precision in PRECISIONS)
    engines = f"{firsts} until they are measured, see engines; the first answers by numpy"
    threads = "" if gpu else f", {cpu_count()} threads"
    return {
        "encoding, fine-tuning": f"{device}, {'bf16' if bf16 else 'fp32'}{threads}",
        "index, search": "cpu, FAISS",
        "bundles": engines,
        "word search": "compiled" if kernel.compiled else "numpy alone: honed was built without a C compiler",
    }


def _shown(choice: EngineChoice) -> str:
    """Return the engine that answers for a bundle here, and what was measured of all."""

    def told(speed: EngineSpeed) -> str:
        if speed.refused:
            return f"{speed.engine} refused"
        return f"{speed.engine} {speed.texts_per_second:.0f} texts/s and {speed.megabytes:.0f} MB"

    return f"{choice.engine} ({'; '.join(map(told, choice.speeds))})"


def _base_of(project: Path) -> tuple[Config, ModelFiles]:
    """Return a project's configuration and where its base model is, of several candidates the first.

    Raises `HonedError` where one of them cannot be had.
    """
    require("reading tables")
    from honed.pipeline.honed_toml import read_config  # with the shapes, and what reads tables

    config = read_config(project / FILE)
    first, *_ = [resolve(base) for base in candidates(config.model)]
    return config, first


def _way_of(folder: Path) -> dict[str, str]:
    """Return how a base model runs, by what is known of its architecture."""
    file = folder / "config.json"
    config = parse_object(file.read_text(encoding="utf-8")) if file.is_file() else {}
    architecture, kind = architecture_of(config), str(config.get("model_type", "not stated"))
    packed, first = architecture.attention != "none", architecture.bert is not None
    return {
        "architecture": kind if packed else f"{kind}, which honed does not know: right, but slower",
        "batches": "packed, without padding" if packed else "padded to their longest text",
        "first answers of a bundle": "numpy" if first else "onnxruntime",
        "students of its layers": "yes" if architecture.layers else "no: name a base model, or static",
    }


def _problems(project: Path, config: Config) -> list[str]:
    """Return what of a project's configuration cannot run here."""
    from honed.data.tables import file_of

    problems = []
    wanted = {"train": "fine-tuning", "index": "vector index", "baselines": "lexical baselines"}
    for section, part in wanted.items():
        if getattr(config, section) is not None and not is_installed(part):
            problems.append(f"[{section}] needs {PARTS[part][0]}: pip install 'honed[{PARTS[part][1]}]'")
    if config.model.precision == "bf16" and not hardware.cpu_has_bf16() and not hardware.gpus():
        problems.append("model.precision is bf16 and this CPU has no bf16: it would be very slow; use auto")
    for path in config.paths.input:
        if not is_remote(path) and not file_of(project / path).exists():
            problems.append(f"paths.input: {project / path}: no such file")
    return problems
