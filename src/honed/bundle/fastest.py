"""Which engine answers on this machine: measured once with the golden texts of a bundle, and kept for the user."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import msgspec

from honed.bundle.layout import place_of
from honed.core.errors import ArtifactError, HonedError
from honed.core.json import Json
from honed.core.optional import installed_version
from honed.core.protocols import Encoder
from honed.core.user_folder import user_file
from honed.encode import hardware
from honed.encode.machine import can_keep, keep, machine, machine_file

_KIND = "engines"
_SECONDS, _ROUNDS = 0.25, 3  # at least, of each engine
_FASTER = 1.05  # times, for an engine to take the place of one that stands before it
_PACKAGES = ("honed", "numpy", "onnxruntime", "openvino")


class EngineSpeed(msgspec.Struct, kw_only=True, frozen=True):
    """What an engine did with the golden texts: texts in a second, and MB of memory that it took from the process.

    ``refused`` says why it does not answer: it cannot read the model here, or gives other vectors.
    """

    engine: str
    texts_per_second: float = 0.0
    megabytes: float = 0.0
    refused: str = ""


class EngineChoice(msgspec.Struct, kw_only=True, frozen=True):
    """The engine that answers for a model on a machine, and what all did; ``bundle`` is where the model lay."""

    bundle: str
    precision: str
    machine: dict[str, Json]
    engine: str
    speeds: list[EngineSpeed]


class TriedModel(NamedTuple):
    """A model whose fastest engine is looked for: where it lies, its sha256 and precision, and the threads it may use.

    ``engines`` are those that can run it, first the one to take where nothing can be measured and kept; ``load``
    returns the encoder of one, checked against the golden vectors, ``golden_texts`` are what it encodes.
    """

    folder: Path
    sha256: str
    precision: str
    threads: int
    engines: Sequence[str]
    load: Callable[[str], Encoder]
    golden_texts: Sequence[str]


def fastest(model: TriedModel, *, measure: bool) -> tuple[str, Encoder, bool]:
    """Return the fastest engine for a model on this machine, as it is kept or else measured, with its encoder.

    Where that may not take the time, and where the result could not be kept (a start would be as slow every time), it
    is the first of the engines. The last value tells whether that settles it: nothing more will be known later.
    Raises `ArtifactError` when no engine keeps the golden vectors.
    """
    file = _choice_file(model)
    engine, known = _kept_engine(file, model.engines), True
    if engine is None and not (measure and can_keep(file)):
        engine, known = model.engines[0], measure
    if engine is not None:
        try:
            return engine, model.load(engine), known
        except HonedError:  # of one that was kept: it could when it was measured
            if len(model.engines) == 1:
                raise
    speeds, encoder = _measure(model)
    chosen = _chosen(speeds)
    keep(
        file,
        EngineChoice(
            bundle=str(place_of(model.folder)),
            precision=model.precision,
            machine=machine(),
            engine=chosen.engine,
            speeds=speeds,
        ),
    )
    return chosen.engine, encoder, True


def kept_choices() -> list[EngineChoice]:
    """Return what was measured on this machine, by bundle."""
    choices = [choice for file in user_file(_KIND).glob("*.json") if (choice := _read(file)) is not None]
    here = [choice for choice in choices if choice.machine == machine()]
    return sorted(here, key=lambda choice: (choice.bundle, choice.precision))


def _choice_file(model: TriedModel) -> Path:
    versions: dict[str, Json] = {name: installed_version(name) for name in _PACKAGES}
    key: dict[str, Json] = {
        "model": model.sha256,
        "threads": model.threads,
        "engines": list(model.engines),
        "versions": versions,
    }
    return machine_file(key, _KIND)


def _read(file: Path) -> EngineChoice | None:
    """Return a choice that was kept; None for a file that is missing or holds anything else."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=EngineChoice)
    except (OSError, msgspec.MsgspecError):
        return None


def _kept_engine(file: Path, engines: Sequence[str]) -> str | None:
    choice = _read(file)
    return choice.engine if choice is not None and choice.engine in engines else None


def _measure(model: TriedModel) -> tuple[list[EngineSpeed], Encoder]:
    """Return the speed of every engine of a model, and the encoder of the fastest; at most two are loaded at a time."""
    speeds: list[EngineSpeed] = []
    best: Encoder | None = None
    for speed, encoder in _tried(model):
        speeds.append(speed)
        if not speed.refused and _chosen(speeds) is speed:
            best = encoder
    if best is None:
        raise ArtifactError("E_BUNDLE_SELFTEST", f"{model.folder}: {speeds[0].refused}")
    return speeds, best


def _tried(model: TriedModel) -> Iterator[tuple[EngineSpeed, Encoder | None]]:
    for engine in model.engines:
        before = hardware.resident_bytes()
        try:
            encoder = model.load(engine)
        except HonedError as error:
            yield EngineSpeed(engine=engine, refused=error.message), None
            continue
        seconds = _seconds(lambda encoder=encoder: encoder.encode(model.golden_texts, "document"))  # type: ignore[misc]
        grown = max(0, hardware.resident_bytes() - before) / 1e6
        rate = len(model.golden_texts) / max(seconds, 1e-9)
        yield EngineSpeed(engine=engine, texts_per_second=round(rate, 1), megabytes=round(grown, 1)), encoder


def _seconds(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest round: others that use the machine make rounds slower, never faster."""
    least, began, rounds = math.inf, perf_counter(), 0
    while rounds < _ROUNDS or perf_counter() - began < _SECONDS:
        started = perf_counter()
        work()
        least = min(least, perf_counter() - started)
        rounds += 1
    return least


def _chosen(speeds: Sequence[EngineSpeed]) -> EngineSpeed:
    """Return the fastest of the engines that can; the earlier of two that are about as fast."""
    able = [speed for speed in speeds if not speed.refused]
    chosen = able[0]
    for speed in able[1:]:
        if speed.texts_per_second > _FASTER * chosen.texts_per_second:
            chosen = speed
    return chosen
