"""``honed run --minutes``: the fullest run that fits into a time, and what more time would buy."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from honed.artifacts.evaluation import HeadroomArtifact
from honed.config.config import Config
from honed.core.json import Json
from honed.project.estimate import RunEstimate

Overrides = Mapping[str, Json]
_SHARES = (0.5, 0.25, 0.125)  # of the epochs; below one epoch rows are left out
_TRAINING = ("draft", "mine", "cross_encoder", "distil", "train", "gate")


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """A run with less in it: what is left out in words, the settings that say so, and the seconds it will take."""

    name: str
    overrides: Overrides
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The run that was chosen, why, and those that more time would buy, the cheapest first."""

    chosen: Variant
    reason: str
    dearer: Sequence[Variant]

    def next_lines(self) -> list[str]:
        """Return what more time would buy, one sentence each."""
        return [f"with about {duration(variant.seconds)} more: {variant.name}" for variant in self.dearer]


def variants(config: Config) -> Iterator[Variant]:
    """Yield what can be run, the fullest first: then without a student, with fewer epochs or rows, without training."""
    yield Variant(name="everything that honed.toml asks for", overrides={})
    less: dict[str, Json] = {}
    if config.distil:
        less["distil"] = None
        yield Variant(name="no student", overrides=dict(less))
    if config.train is None:
        return
    if config.mine and not config.wants_scores:
        less |= {"mine": None, "cross_encoder": None}
        yield Variant(name=_named("no mined negatives", config), overrides=dict(less))
    if config.train.head == "none":
        for share in _SHARES:
            epochs = config.train.epochs * share
            rows = f"epochs = {epochs:g}" if epochs >= 1 else f"{100 * epochs:.0f} % of the rows, once"
            yield Variant(name=_named(rows, config), overrides={**less, "train.epochs": epochs})
    untrained = {name: None for name in _TRAINING if config.has(name)}
    if config.baselines is not None and config.has("index"):
        yield Variant(name="the base model alone, words and the hybrid", overrides=untrained)


def _named(name: str, config: Config) -> str:
    return f"{name}, no student" if config.distil else name


def choose(estimated: Sequence[Variant], seconds: float, headroom: HeadroomArtifact | None) -> Choice:
    """Return the first of some variants, the fullest first, that fits into a time; the last where none does.

    Where dev says that tuning is unlikely to help, nothing is trained.
    """
    helps = headroom.estimate().get("likely") if headroom else None
    untrained = estimated[-1]
    if helps == "unlikely" and "train" in untrained.overrides:
        return Choice(chosen=untrained, reason="dev says that tuning is unlikely to help", dearer=())
    fitting = next((variant for variant in estimated if variant.seconds <= seconds), None)
    chosen = fitting or estimated[-1]
    reason = "the fullest that fits" if fitting else "nothing fits; this is the least"
    dearer = [variant for variant in estimated[: estimated.index(chosen)] if variant.seconds > seconds]
    return Choice(chosen=chosen, reason=reason, dearer=dearer[::-1])


def table(estimate: RunEstimate) -> list[list[str]]:
    """Return the rows of a table: stage, whether it stands, time, MB, fingerprint."""
    rows = []
    for stage in estimate.stages:
        state = "stands" if stage.plan.stands else "would run"
        time = "" if stage.plan.stands else "seconds" if stage.seconds is None else duration(stage.seconds)
        memory = f"{stage.mb:,.0f} MB" if stage.mb else ""
        rows.append([stage.plan.stage.name, state, time, memory, stage.plan.key.key])
    return rows


def duration(seconds: float) -> str:
    """Return a time in words: seconds below two minutes, then minutes, then hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
