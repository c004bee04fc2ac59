import math

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.artifacts.report import JudgedReport
from honed.core.errors import ConfigError
from honed.core.records import Document, JudgedTask, Qrels, Query, Run
from honed.evaluate.bootstrap import Bootstrap
from honed.evaluate.measures import DEFAULT_MEASURES, Measure, score_run
from honed.evaluate.runs import load_runs, save_run
from honed.evaluate.score import Gate, TaskScores, task_ceiling
from honed.shapes.report_page import render_judged


def one(measure: str, ranking: list[str], grades: dict[str, int]) -> float:
    return Measure.parse(measure).score(ranking, grades)


@pytest.mark.parametrize(
    ("measure", "value"),
    [
        ("R@1", 0.0),
        ("R@3", 0.5),
        ("R@10", 1.0),
        ("Hit@1", 0.0),
        ("Hit@3", 1.0),
        ("MRR@10", 0.5),
        ("MRR@1", 0.0),
        ("AP@10", (1 / 2 + 2 / 4) / 2),
        ("nDCG@10", (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3))),
    ],
)
def test_measures_by_hand(measure: str, value: float) -> None:
    assert one(measure, ["x", "a", "y", "b"], {"a": 1, "b": 1, "c": 0}) == pytest.approx(value)


def test_ndcg_takes_the_grade_as_gain() -> None:
    found = one("nDCG@2", ["low", "high"], {"low": 1, "high": 3})
    assert found == pytest.approx((1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3)))


@pytest.mark.parametrize("measure", [str(each) for each in DEFAULT_MEASURES] + ["Hit@3", "AP@10"])
@pytest.mark.parametrize(("ranking", "grades"), [([], {"a": 1}), (["a"], {}), (["a"], {"a": 0}), ([], {})])
def test_empty_and_unjudged_score_zero(measure: str, ranking: list[str], grades: dict[str, int]) -> None:
    assert one(measure, ranking, grades) == 0.0


def test_measures_print_and_parse() -> None:
    assert str(Measure.parse("nDCG@10")) == "nDCG@10"
    assert len({Measure.parse("R@1"), Measure.parse("R@1")}) == 1
    for wrong in ("R", "R@0", "Foo@3", "R@-1"):
        with pytest.raises(ConfigError, match="unknown measure"):
            Measure.parse(wrong)


DOCS = [f"d{n}" for n in range(12)]


@given(
    st.permutations(DOCS).flatmap(lambda order: st.integers(1, 12).map(lambda cut: order[:cut])),
    st.dictionaries(st.sampled_from(DOCS), st.integers(0, 3), min_size=1),
)
@settings(max_examples=150, deadline=None)
def test_measures_agree_with_trec_eval(ranking: list[str], grades: dict[str, int]) -> None:
    names = {
        "R@3": "recall_3",
        "R@10": "recall_10",
        "nDCG@10": "ndcg_cut_10",
        "Hit@3": "success_3",
        "AP@10": "map_cut_10",
    }
    judge = pytrec_eval.RelevanceEvaluator({"q": grades}, {"recall.3,10", "ndcg_cut.10", "success.3", "map_cut.10"})
    wanted = judge.evaluate({"q": {doc: float(len(ranking) - at) for at, doc in enumerate(ranking)}})["q"]
    for ours, theirs in names.items():
        assert one(ours, ranking, grades) == pytest.approx(wanted[theirs]), ours
    judge = pytrec_eval.RelevanceEvaluator({"q": grades}, {"ndcg_cut.10"}, judged_docs_only_flag=True)
    found = judge.evaluate({"q": {doc: float(len(ranking) - at) for at, doc in enumerate(ranking)}}).get("q", {})
    assert one("nDCG_judged@10", ranking, grades) == pytest.approx(found.get("ndcg_cut_10", 0.0))


def test_what_nobody_judged_is_taken_out_of_the_ranking() -> None:
    ranking, grades = ["new", "a", "newer", "b"], {"a": 0, "b": 2}
    assert one("nDCG_judged@2", ranking, grades) == pytest.approx(1 / math.log2(3))
    assert one("nDCG@2", ranking, grades) == 0.0
    assert one("nDCG_judged@1", ["new", "b"], grades) == 1.0


def test_a_query_that_the_run_misses_scores_zero() -> None:
    qrels = Qrels(grades={"q1": {"a": 1}, "q2": {"a": 1}})
    run = Run(name="x", hits={"q1": [("a", 1.0)]})
    assert score_run(run, qrels, [Measure("R", 1)], ["q1", "q2"])[Measure("R", 1)].tolist() == [1.0, 0.0]


def make_task(n: int) -> JudgedTask:
    return JudgedTask(
        name="alias-to-label",
        queries=[Query(query_id=f"q{i}", text=f"t{i}") for i in range(n)],
        corpus=[Document(doc_id=f"d{i}", text=f"x{i}") for i in range(n)],
        qrels=Qrels(grades={f"q{i}": {f"d{i}": 1} for i in range(n)}),
        groups={f"q{i}": f"g{i // 2}" for i in range(n)},
        slices={"even": frozenset(f"q{i}" for i in range(0, n, 2))},
    )


def run_of(name: str, vectors: np.ndarray) -> Run:
    order = np.argsort(-(vectors @ np.eye(len(vectors)).T), axis=1)
    return Run(
        name=name,
        hits={f"q{i}": [(f"d{j}", 1.0 / (r + 1)) for r, j in enumerate(row[:10])] for i, row in enumerate(order)},
    )


def test_the_interval_covers_the_mean_and_shrinks_with_data() -> None:
    random = np.random.default_rng(0)
    small, large = (
        Bootstrap([str(i) for i in range(n)]).intervals(random.integers(0, 2, (n, 1)).astype(float))[0]
        for n in (50, 2000)
    )
    for each in (small, large):
        assert each.low <= each.mean <= each.high
    assert large.high - large.low < (small.high - small.low) / 3


def test_groups_that_move_together_widen_the_interval() -> None:
    values = np.repeat(np.random.default_rng(0).integers(0, 2, 100), 10).astype(float)[:, None]
    alone = Bootstrap([str(i) for i in range(1000)]).intervals(values)[0]
    together = Bootstrap([str(i // 10) for i in range(1000)]).intervals(values)[0]
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(100):
        found = Bootstrap([str(i) for i in range(150)], draws=300).intervals(
            (random.random((150, 1)) < 0.3).astype(float)
        )[0]
        covered += found.low <= 0.3 <= found.high
    assert 87 <= covered <= 100


def test_the_paired_test_tells_a_difference_from_noise() -> None:
    groups = [str(i) for i in range(300)]
    random = np.random.default_rng(0)
    noise = random.integers(-1, 2, 300).astype(float)
    assert Bootstrap(groups).p_value(noise - noise.mean().round()) > 0.05
    assert Bootstrap(groups).p_value((random.random(300) < 0.2).astype(float)) < 0.001
    assert Bootstrap(groups).p_value(np.zeros(300)) == 1.0


def test_a_gate_passes_a_better_model_and_fails_a_broken_one() -> None:
    task = make_task(200)
    scores = TaskScores(task, DEFAULT_MEASURES)
    scores.add(run_of("good", np.eye(200)))
    shuffled = np.eye(200)[np.random.default_rng(0).permutation(200)]
    half = np.eye(200)
    half[:100] = shuffled[:100]
    scores.add(run_of("base model", half))
    scores.add(run_of("broken", shuffled))
    gates = [
        Gate(name=name, candidate=name, reference="base model", measure=Measure("R", 1), bound=0.0)
        for name in ("good", "broken", "absent")
    ]
    assert [gate.passed for gate in scores.judge(gates)] == [True, False, False]


def test_a_small_gain_fails_its_gate_when_the_interval_reaches_below() -> None:
    scores = TaskScores(make_task(40), [Measure("R", 1)])
    vectors = np.eye(40)
    vectors[0] = vectors[1]
    scores.add(run_of("base model", vectors))
    scores.add(run_of("tuned", np.eye(40)))
    judged = scores.judge(
        [Gate(name="g", candidate="tuned", reference="base model", measure=Measure("R", 1), bound=0.0)]
    )
    assert judged[0].value > 0
    assert not judged[0].passed


def test_the_ceiling_of_a_task_counts_equal_query_texts() -> None:
    task = JudgedTask(
        name="t",
        queries=[Query(query_id=str(i), text=text) for i, text in enumerate(["um", "um", "mit"])],
        corpus=[],
        qrels=Qrels(grades={"0": {"a": 1}, "1": {"b": 1}, "2": {"c": 1}}),
        groups={},
        slices={},
    )
    assert task_ceiling(task) == pytest.approx(2 / 3)


def test_runs_keep_name_and_order_on_disk(tmp_path) -> None:
    runs = [Run(name=name, hits={"q1": [("b", 1.0), ("a", 0.5)]}) for name in ("zz, first", "aa, second")]
    for run in runs:
        save_run(tmp_path, run)
    assert load_runs(tmp_path) == runs


def test_the_report_page_shows_text_as_text() -> None:
    task = make_task(20)
    scores = TaskScores(task, DEFAULT_MEASURES)
    scores.add(run_of("base model", np.eye(20)))
    audit = {
        "entities": 1,
        "label_strings": 1,
        "pairs": 1,
        "splits": {},
        "overlap": {"test_aliases_in_train": 0, "withheld_pairs": 0},
    }
    evil = "<img src=x onerror=alert(1)>"
    report = JudgedReport(
        title=evil,
        protocol="held-out",
        direction="alias-to-label",
        headline=["R@1"],
        n_queries=20,
        n_candidates=20,
        ceiling=1.0,
        systems=scores.systems(),
        comparisons=[],
        gates=[],
        published=[],
        audit={**audit, "findings": {"W_X": {"count": 1, "samples": [evil]}}},
        versions={},
        seed=0,
    )
    page = render_judged(report, [evil])
    assert "<img" not in page
    assert "&lt;img" in page
    assert "http" not in page.replace("http-equiv", "")
