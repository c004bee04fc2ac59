"""What to do next, from the figures of a report: each step with the figures that speak for it."""

from collections.abc import Iterator

from honed.artifacts.report import JudgedReport, Report
from honed.evaluate.results import Comparison, NextStep, SystemResult
from honed.evaluate.slices import FEW
from honed.shapes.systems import BASE, DICTIONARY, HYBRID, RERANKED, SHIPPED, STUDENT, TUNED, is_trained

_CLEAR = 0.05  # a share that is worth a step
_RISING = 0.005  # of a dev score between its last two looks
_WIDE = 0.05  # half an interval beyond which differences are hard to see
_MOST_SLICES = 2  # that labels are asked for


def next_steps(report: Report) -> list[NextStep]:
    """Return what the figures of a report speak for, what counts most first; never empty where systems were measured.

    Figures are those of the first measure of the headline.
    """
    if not report.headline or not report.systems:
        return []
    facts = _Facts(report)
    rules = (_gates, _ceiling, _hybrid, _words, _labels, _base, _epochs, _reranking, _more_queries)
    steps = [step for rule in rules for step in rule(facts)]
    return steps or [_ship(facts)]


class _Facts:
    """A report, its first measure, and the system that is shipped: the best that was trained, or the base model."""

    def __init__(self, report: Report) -> None:
        self.report, self.measure = report, report.headline[0]
        trained = next((system for name in SHIPPED if (system := report.system(name))), None)
        self.is_trained = trained is not None
        self.shipped = trained or report.system(BASE) or report.systems[0]

    def mean(self, system: SystemResult) -> float:
        """Return the first measure of a system."""
        return system.measures[self.measure].mean

    def figure(self, system: SystemResult) -> str:
        """Return the first measure of a system in words."""
        return f"{self.measure} of {system.name} is {100 * self.mean(system):.1f} %"

    def comparison(self, candidate: str, *references: str) -> Comparison | None:
        """Return how a system stands to the first of some others that it was compared with."""
        compared = {
            (entry.candidate, entry.reference): entry
            for entry in self.report.comparisons
            if entry.measure == self.measure
        }
        return next((compared[candidate, name] for name in references if (candidate, name) in compared), None)


def _points(comparison: Comparison) -> str:
    gain = comparison.difference
    return (
        f"{comparison.candidate} has {100 * gain.mean:+.1f} points of {comparison.measure} against "
        f"{comparison.reference} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
    )


def _gates(facts: _Facts) -> Iterator[NextStep]:
    for gate in facts.report.gates:
        if not gate.passed:
            bound = "it was not measured" if gate.low is None else f"the low bound is {gate.low:g}"
            yield NextStep(
                do=f"Do not ship it before the gate {gate.name} is met", why=f"{gate.rule} is asked for, and {bound}"
            )


def _ceiling(facts: _Facts) -> Iterator[NextStep]:
    """Where nearly all that can be right is right, the data bound the result."""
    ceiling = facts.report.ceiling
    if ceiling is not None and ceiling < 1 and facts.mean(facts.shipped) > ceiling - 0.02:
        yield NextStep(
            do="Tell names apart that are the same (conflicts in the audit) before you train more",
            why=f"{facts.figure(facts.shipped)}, and {100 * ceiling:.1f} % is the best that any system could reach",
        )


def _hybrid(facts: _Facts) -> Iterator[NextStep]:
    """Where there is a hybrid: whether it is worth having."""
    comparison = facts.comparison(HYBRID, STUDENT, TUNED, BASE)
    if comparison is None:
        return
    if comparison.difference.low > 0:
        yield NextStep(do="Use the hybrid, which search and bundles answer with", why=_points(comparison))
    elif comparison.difference.high < 0:
        yield NextStep(do="Leave [hybrid] out", why=_points(comparison))


def _words(facts: _Facts) -> Iterator[NextStep]:
    """Where there is no hybrid: whether words or letters know what the model does not."""
    report, ours = facts.report, facts.shipped
    if not isinstance(report, JudgedReport) or report.system(HYBRID):
        return
    others_than = (BASE, DICTIONARY)  # known names come first in every search
    others = [system for system in report.systems if not is_trained(system.name) and system.name not in others_than]
    for name in ("", *_large_slices(ours)):
        best = max(others, key=lambda system: _share(system, name, facts.measure), default=None)
        if best is None:
            return
        lead = _share(best, name, facts.measure) - _share(ours, name, facts.measure)
        if lead >= _CLEAR:
            where = f" on {name} ({ours.slice_size(name)} queries)" if name else ""
            yield NextStep(
                do="Use the hybrid: add [hybrid] to honed.toml",
                why=f"{best.name} is {100 * lead:.1f} points of {facts.measure} ahead of {ours.name}{where}",
            )
            return


def _labels(facts: _Facts) -> Iterator[NextStep]:
    """The slices that cost most: how far they are behind, times their queries."""
    ours, mean = facts.shipped, facts.mean(facts.shipped)
    behind = {name: mean - _share(ours, name, facts.measure) for name in _large_slices(ours)}
    costly = sorted(behind, key=lambda name: (-behind[name] * ours.slice_size(name), name))
    for name in [name for name in costly if behind[name] >= _CLEAR][:_MOST_SLICES]:
        share = _share(ours, name, facts.measure)
        yield NextStep(
            do=f"Add labels for {name}",
            why=f"{facts.measure} of {ours.name} is {100 * share:.1f} % on its {ours.slice_size(name)} queries, "
            f"{100 * mean:.1f} % on all",
        )


def _base(facts: _Facts) -> Iterator[NextStep]:
    """Whether fine-tuning this base model was worth it."""
    comparison, training = facts.comparison(TUNED, BASE), facts.report.training
    if training is not None and training.kept == "base":
        yield NextStep(
            do="Try another base model, or more labels",
            why=f"no step of the training was better on dev than the model as it was given ({training.best_score:.3f})",
        )
    elif comparison is not None and comparison.difference.low <= 0:
        yield NextStep(
            do="Try another base model, or more labels",
            why=f"{_points(comparison)}: fine-tuning did not clearly help",
        )


def _epochs(facts: _Facts) -> Iterator[NextStep]:
    """Whether dev was still rising when the training ended."""
    training = facts.report.training
    if training is None or len(training.dev) < 3 or training.best_step != training.dev[-1].step:
        return
    before, last = training.dev[-2], training.dev[-1]
    if last.score - before.score >= _RISING:
        yield NextStep(
            do=f"Train for more epochs than {training.config.epochs}",
            why=f"the score on dev rose to the end, from {before.score:.3f} at step {before.step} to {last.score:.3f} "
            f"at the last, step {last.step}",
        )


def _reranking(facts: _Facts) -> Iterator[NextStep]:
    """Whether the cross-encoder is worth its time."""
    for entry in facts.report.comparisons:
        reranks = entry.candidate == entry.reference + RERANKED and entry.measure == facts.measure
        if reranks and entry.difference.low > 0:
            yield NextStep(do="Let the cross-encoder judge the first hits (--rerank)", why=_points(entry))
            return


def _more_queries(facts: _Facts) -> Iterator[NextStep]:
    value = facts.shipped.measures[facts.measure]
    if (value.high - value.low) / 2 > _WIDE:
        yield NextStep(
            do="Add test queries",
            why=f"{facts.figure(facts.shipped)} within {100 * value.low:.1f} to {100 * value.high:.1f} % (95 %, "
            f"{facts.report.n_queries} queries): smaller differences cannot be seen",
        )


def _ship(facts: _Facts) -> NextStep:
    what = "Ship it" if facts.is_trained else "Train a model ([train] in honed.toml)"
    gates = " and every gate is met" if facts.report.gates else ""
    return NextStep(
        do=what,
        why=f"{facts.figure(facts.shipped)}{gates}; no slice, curve or comparison asks for something else first",
    )


def _large_slices(system: SystemResult) -> list[str]:
    """Return the names of the slices that are large enough to tell something."""
    return [name for name in system.slices if system.slice_size(name) >= FEW]


def _share(system: SystemResult, slice_name: str, measure: str) -> float:
    """Return a measure of a system in a slice, "" for all queries."""
    return system.in_slice(slice_name, measure).mean if slice_name else system.measures[measure].mean
