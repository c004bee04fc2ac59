"""Queries that are documents: what a query itself is stands in no ranking, unless it was judged to be an answer."""

import pytest

from honed.core.records import Document, Example, JudgedTask, Qrels, Query, Run
from honed.evaluate.measures import Measure
from honed.evaluate.score import TaskScores
from honed.train.loss import CoPositives

R1 = Measure("R", 1)


def judged(title: str = "", grade: int | None = None, text: str = "How can I swim in Lima?") -> JudgedTask:
    own = {} if grade is None else {"a": grade}
    return JudgedTask(
        name="t",
        queries=[Query(query_id="a", text="How can I swim in Lima?")],
        corpus=[Document(doc_id="a", text=f"{title} {text}".strip()), Document(doc_id="b", text="swimming, Lima")],
        qrels=Qrels(grades={"a": {"b": 1, **own}}),
        groups={"a": "a"},
        slices={},
    )


def r1(task: JudgedTask) -> float:
    scores = TaskScores(task, [R1])
    scores.add(Run.sorted("s", {"a": [("a", 2.0), ("b", 1.0)]}))
    return float(scores.scores["s"][R1].mean())


@pytest.mark.parametrize("title", ["", "Sports:"])
def test_a_query_s_own_document_is_left_out(title: str) -> None:
    assert r1(judged(title)) == 1.0


def test_an_own_document_that_is_right_stays() -> None:
    assert judged(grade=1).own_documents() == {}
    assert judged(grade=0).own_documents() == {"a": "a"}


def test_the_same_id_alone_makes_no_own_document() -> None:
    assert judged(text="another text").own_documents() == {}
    assert judged(text="How can I swim in Lima? " + 30 * "and more of it ").own_documents() == {}


def test_texts_equal_to_the_anchor_are_no_negatives() -> None:
    pairs = CoPositives(
        [Example(anchor="a", positive="b"), Example(anchor="b", positive="A"), Example(anchor="c", positive="d")]
    )
    assert pairs.related([0, 1, 2]).int().tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
