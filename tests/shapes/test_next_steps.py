"""What to do next: every rule speaks where its figures do, and is silent where they do not."""

import msgspec
import pytest

from honed.artifacts.report import JudgedReport, Report
from honed.evaluate.results import Comparison, GateResult, Interval, NextStep, QueryOutcome, QueryOutcomes, SystemResult
from honed.shapes.next_steps import next_steps
from honed.shapes.report_page import render_judged
from honed.train.config import TrainConfig
from honed.train.history import DevPoint, TrainingHistory

BASE, TUNED, HYBRID, WORDS = "base model", "fine-tuned", "hybrid, learned", "BM25, stemmed words"


def interval(mean: float, half: float = 0.01) -> Interval:
    return Interval(mean=mean, low=mean - half, high=mean + half)


def system(name: str, mean: float, half: float = 0.01, **slices: tuple[int, float]) -> SystemResult:
    """Return a system with R@1, and slices of (number of queries, R@1)."""
    return SystemResult(
        name=name,
        measures={"R@1": interval(mean, half)},
        slices={part: {"n": n, "R@1": interval(value)} for part, (n, value) in slices.items()},
    )


def comparison(candidate: str, reference: str, gain: float, half: float = 0.01) -> Comparison:
    return Comparison(
        candidate=candidate,
        reference=reference,
        measure="R@1",
        difference=interval(gain, half),
        p_value=0.01,
        wins=3,
        losses=1,
        n=400,
    )


def report(**changes: object) -> JudgedReport:
    """Return a report of which nothing asks for anything, with changes."""
    facts: dict[str, object] = {
        "title": "names",
        "protocol": "held-out",
        "published": [],
        "audit": {},
        "seed": 0,
        "versions": {},
        "direction": "alias-to-label",
        "headline": ["R@1"],
        "n_queries": 400,
        "n_candidates": 100,
        "ceiling": 1.0,
        "systems": [system(BASE, 0.5), system(WORDS, 0.5), system(TUNED, 0.7)],
        "comparisons": [comparison(TUNED, BASE, 0.2)],
        "gates": [],
    }
    return JudgedReport(**{**facts, **changes})  # type: ignore[arg-type]


def history(kept: str, *scores: float) -> TrainingHistory:
    dev = [DevPoint(step=10 * number, score=score) for number, score in enumerate(scores)]
    best = max(dev, key=lambda point: point.score).step
    return TrainingHistory(steps=dev[-1].step, loss=[], dev=dev, best_step=best, kept=kept, config=TrainConfig())


def test_where_nothing_asks_for_more_it_is_to_be_shipped() -> None:
    assert [step.do for step in next_steps(report())] == ["Ship it"]
    assert next_steps(report(systems=[])) == []
    (untrained,) = next_steps(report(systems=[system(BASE, 0.5)], comparisons=[]))
    assert untrained.do.startswith("Train a model")


CASES: list[tuple[dict[str, object], str, str]] = [
    (
        {"gates": [GateResult(name="gain", rule="low bound of x > 0.1", value=0.1, low=0.02, passed=False)]},
        "Do not ship it before the gate gain is met",
        "low bound of x > 0.1 is asked for, and the low bound is 0.02",
    ),
    ({"ceiling": 0.71}, "Tell names apart", "71.0 % is the best that any system could reach"),
    (
        {"systems": [system(TUNED, 0.7), system(HYBRID, 0.8)], "comparisons": [comparison(HYBRID, TUNED, 0.1)]},
        "Use the hybrid, which search and bundles answer with",
        "hybrid, learned has +10.0 points of R@1 against fine-tuned (+9.0 to +11.0)",
    ),
    (
        {"systems": [system(TUNED, 0.7), system(HYBRID, 0.6)], "comparisons": [comparison(HYBRID, TUNED, -0.1)]},
        "Leave [hybrid] out",
        "-10.0 points",
    ),
    (
        {"systems": [system(TUNED, 0.7, acronym=(44, 0.68)), system(WORDS, 0.5, acronym=(44, 0.8))]},
        "Use the hybrid: add [hybrid] to honed.toml",
        "BM25, stemmed words is 12.0 points of R@1 ahead of fine-tuned on acronym (44 queries)",
    ),
    (
        {"systems": [system(TUNED, 0.7), system(WORDS, 0.8)]},
        "Use the hybrid: add [hybrid] to honed.toml",
        "BM25, stemmed words is 10.0 points of R@1 ahead of fine-tuned",
    ),
    (
        {"systems": [system(TUNED, 0.7, acronym=(87, 0.32), rest=(313, 0.8))]},
        "Add labels for acronym",
        "R@1 of fine-tuned is 32.0 % on its 87 queries, 70.0 % on all",
    ),
    (
        {"comparisons": [comparison(TUNED, BASE, 0.005)]},
        "Try another base model, or more labels",
        "fine-tuning did not clearly help",
    ),
    (
        {"training": history("base", 0.5, 0.45, 0.4)},
        "Try another base model, or more labels",
        "no step of the training was better on dev than the model as it was given (0.500)",
    ),
    (
        {"training": history("tuned", 0.5, 0.6, 0.65)},
        f"Train for more epochs than {TrainConfig().epochs}",
        "rose to the end, from 0.600 at step 10 to 0.650 at the last, step 20",
    ),
    (
        {"comparisons": [comparison(TUNED, BASE, 0.2), comparison(f"{TUNED} + reranked", TUNED, 0.04)]},
        "Let the cross-encoder judge the first hits",
        "+4.0 points",
    ),
    (
        {"systems": [system(TUNED, 0.7, 0.08)], "n_queries": 90},
        "Add test queries",
        "R@1 of fine-tuned is 70.0 % within 62.0 to 78.0 % (95 %, 90 queries)",
    ),
]


@pytest.mark.parametrize(("changes", "do", "why"), CASES)
def test_a_rule_speaks_with_its_figures(changes: dict[str, object], do: str, why: str) -> None:
    (step,) = next_steps(report(**changes))
    assert step.do.startswith(do)
    assert why in step.why


@pytest.mark.parametrize(
    "changes",
    [
        {"systems": [system(TUNED, 0.7, acronym=(19, 0.1)), system(WORDS, 0.5, acronym=(19, 0.9))]},  # too few
        {"systems": [system(TUNED, 0.7, acronym=(87, 0.66))]},  # hardly behind
        {"systems": [system(TUNED, 0.7), system("dictionary", 0.9)]},  # known names are looked up anyway
        {"training": history("tuned", 0.5, 0.65, 0.651)},  # hardly rising
        {"training": history("tuned", 0.5, 0.65, 0.6)},  # past the best
        {"systems": [system(TUNED, 0.7), system(HYBRID, 0.7)], "comparisons": [comparison(HYBRID, TUNED, 0.005)]},
        {"comparisons": [comparison(TUNED, BASE, 0.2), comparison(f"{TUNED} + reranked", TUNED, 0.005)]},
    ],
)
def test_a_rule_is_silent_where_its_figures_are(changes: dict[str, object]) -> None:
    assert [step.do for step in next_steps(report(**changes))] == ["Ship it"]


def test_labels_are_asked_for_where_most_is_lost_first() -> None:
    slices = {"small": (30, 0.1), "large": (200, 0.55), "near": (100, 0.6)}
    steps = next_steps(report(systems=[system(TUNED, 0.7, **slices)]))
    assert [step.do for step in steps] == ["Add labels for large", "Add labels for small"]


def test_the_steps_stand_on_the_page_and_in_the_terminal() -> None:
    measured = report(audit={"findings": {}})
    measured.next_steps = [NextStep(do="Add labels for <b>", why="few")]
    page = render_judged(measured, [])
    assert "What to do next" in page
    assert "Add labels for &lt;b&gt;" in page
    assert measured.more_lines() == ["next: Add labels for <b>: few."]


def test_queries_that_went_wrong_stand_on_the_page_by_slice() -> None:
    samples = [
        QueryOutcome(query=query, slice=part, right=["one", "two"], found=found, rank=rank)
        for query, part, found, rank in (
            ("UA", "acronym", "Austral", 2),
            ("UB", "acronym", None, None),
            ("<i>", "", "x", 3),
        )
    ]
    outcomes = QueryOutcomes(system=TUNED, reference="", n=7, n_queries=400, by_slice={"acronym": 4}, queries=samples)
    won = QueryOutcomes(system=TUNED, reference=BASE, n=1, n_queries=400, by_slice={}, queries=samples[:1])
    page = render_judged(report(audit={"findings": {}}, wrong=outcomes, won=won), [])
    assert "Queries that went wrong: fine-tuned" in page
    assert "Queries that tuning won: fine-tuned against base model" in page
    assert "<th>base model found</th>" in page
    assert "<tr><td>acronym</td><td>UA</td><td>one; two</td><td>Austral</td><td>2</td></tr>" in page
    assert "<tr><td></td><td>UB</td><td>one; two</td><td>nothing</td><td>not found</td></tr>" in page
    assert "<tr><td>none</td><td>&lt;i&gt;</td><td>one; two</td><td>x</td><td>3</td></tr>" in page


def test_a_report_of_an_earlier_version_is_read() -> None:
    earlier = {name: value for name, value in report().as_dict().items() if name not in ("next_steps", "wrong", "won")}
    read = JudgedReport.of_json(msgspec.json.encode(earlier))
    assert (read.next_steps, read.wrong, read.won) == ([], None, None)
    assert Report.of_json(msgspec.json.encode(earlier)).next_steps == []
