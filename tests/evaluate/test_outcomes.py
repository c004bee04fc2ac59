"""Queries to look at: counted as the measures count them, the same ones every time, from every slice."""

import numpy as np

from honed.core.records import Document, JudgedTask, Qrels, Query, Run
from honed.evaluate.measures import Measure
from honed.evaluate.outcomes import OutcomeFinder, sample_by_slice
from honed.evaluate.page import outcomes_sentence
from honed.evaluate.score import TaskScores

N = 60


def task_of(n: int, **changes: object) -> JudgedTask:
    """Return ``n`` queries of which each has one right document, every third an acronym, two of them rare."""
    ids = [f"q{number}" for number in range(n)]
    facts = {
        "name": "names",
        "queries": [Query(query_id=query_id, text=f"text of {query_id}") for query_id in ids],
        "corpus": [Document(doc_id=f"d{number}", text=f"name {number}") for number in range(n)],
        "qrels": Qrels(grades={query_id: {f"d{number}": 1} for number, query_id in enumerate(ids)}),
        "groups": {query_id: query_id for query_id in ids},
        "slices": {"acronym": frozenset(ids[::3]), "rare": frozenset(ids[1:3])},
    }
    return JudgedTask(**{**facts, **changes})  # type: ignore[arg-type]


def run_of(name: str, n: int, n_right: int) -> Run:
    """Return a run whose first hits are right for the queries from 0 up to ``n_right``, the second for all others."""
    hits = {}
    for number in range(n):
        right, wrong = f"d{number}", f"d{(number + 1) % n}"
        hits[f"q{number}"] = [(right, 2.0), (wrong, 1.0)] if number < n_right else [(wrong, 2.0), (right, 1.0)]
    return Run(name=name, hits=hits)


def test_as_many_are_wrong_and_won_as_the_measures_say() -> None:
    task, ours, base = task_of(N), run_of("ours", N, 40), run_of("base", N, 25)
    scores = TaskScores(task, [Measure("R", 1)])
    for run in (ours, base):
        scores.add(run)
    finder = OutcomeFinder(task)
    wrong, won = finder.wrong(ours), finder.won(ours, base)
    assert wrong.n == N - round(N * scores.systems()[0].measures["R@1"].mean)
    assert won.n == scores.compare("ours", "base", Measure("R", 1)).wins == 15
    assert (wrong.system, wrong.reference, won.system, won.reference) == ("ours", "", "ours", "base")
    assert wrong.by_slice == {"acronym": len([n for n in range(40, N) if n % 3 == 0])}
    assert len(wrong.queries) == 20
    assert len(won.queries) == 15


def test_a_query_is_shown_with_what_was_found_instead() -> None:
    outcomes = OutcomeFinder(task_of(4)).wrong(run_of("ours", 4, 3))
    (outcome,) = outcomes.queries
    assert (outcome.query, outcome.right, outcome.found, outcome.rank) == ("text of q3", ["name 3"], "name 0", 2)
    assert outcome.slice == "acronym"
    assert outcomes_sentence(outcomes) == (
        "wrong: ours, 1 of 4 first hits (acronym 1); such as 'text of q3': 'name 0' in place of 'name 3'"
    )


def test_what_was_won_is_shown_with_what_the_other_found() -> None:
    outcomes = OutcomeFinder(task_of(4)).won(run_of("ours", 4, 4), run_of("base", 4, 3))
    assert [(outcome.query, outcome.found) for outcome in outcomes.queries] == [("text of q3", "name 0")]
    assert outcomes_sentence(outcomes).startswith("won against base by ours, 1 of 4 first hits")


def test_nothing_found_and_nothing_judged() -> None:
    empty = Run(name="none", hits={"q0": []})
    outcomes = OutcomeFinder(task_of(2, qrels=Qrels(grades={"q0": {"d0": 1}, "q1": {"d1": 0}}))).wrong(empty)
    assert (outcomes.n, outcomes.n_queries) == (1, 1)
    assert (outcomes.queries[0].found, outcomes.queries[0].rank) == (None, None)
    assert "'nothing' in place of 'name 0'" in outcomes_sentence(outcomes)


def test_passages_count_as_their_document() -> None:
    corpus = [Document(doc_id=f"p{number}", text=f"passage {number}") for number in range(4)]
    parents = {"p0": "d0", "p1": "d0", "p2": "d1", "p3": "d1"}
    task = task_of(2, corpus=corpus, parents=parents)
    run = Run(name="ours", hits={"q0": [("p1", 2.0), ("p2", 1.0)], "q1": [("p0", 2.0), ("p1", 1.5), ("p3", 1.0)]})
    outcomes = OutcomeFinder(task).wrong(run)
    assert [(outcome.query, outcome.found, outcome.right, outcome.rank) for outcome in outcomes.queries] == [
        ("text of q1", "passage 0", ["passage 2"], 2)
    ]


def test_long_texts_are_cut() -> None:
    task = task_of(2, queries=[Query(query_id=f"q{number}", text="x" * 500) for number in range(2)])
    assert len(OutcomeFinder(task).wrong(run_of("ours", 2, 0)).queries[0].query) == 200


def test_small_slices_are_not_hidden_by_large_ones() -> None:
    ids = [f"q{number}" for number in range(200)]
    slices = {query_id: ["large"] for query_id in ids[:150]} | {ids[150]: ["small"], ids[151]: ["large", "small"]}
    chosen = sample_by_slice(ids, slices, {"large": 151, "small": 2})
    assert len(chosen) == len(dict(chosen)) == 20
    by_slice = {name: [query_id for query_id, of in chosen if of == name] for name in ("large", "small", "")}
    assert sorted(by_slice["small"]) == [ids[150], ids[151]]
    assert len(by_slice["large"]) == len(by_slice[""]) == 9
    assert [name for _, name in chosen] == ["large"] * 9 + ["small"] * 2 + [""] * 9
    shuffled = np.random.default_rng(0).permutation(ids).tolist()
    assert sample_by_slice(shuffled, slices, {"large": 151, "small": 2}) == chosen


def test_few_queries_are_all_shown() -> None:
    assert sample_by_slice(["a", "b"], {}, {}) == sample_by_slice(["b", "a"], {}, {})
    assert {query_id for query_id, _ in sample_by_slice(["a", "b"], {}, {})} == {"a", "b"}
    assert sample_by_slice([], {}, {}) == []
