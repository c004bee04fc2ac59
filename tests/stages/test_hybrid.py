"""What the hybrid learns from and is judged by: known names apart, equal texts together, passages as one."""

from honed.core.records import Document, Example, JudgedTask, Qrels, Query, Run
from honed.data.task import Name
from honed.shapes.systems import with_known_names
from honed.stages.answers import strangers
from honed.stages.encoded_queries import _by_label
from honed.stages.mining import known_documents


def judged() -> JudgedTask:
    return JudgedTask(
        name="t",
        queries=[Query(query_id="q", text="AU"), Query(query_id="r", text="new")],
        corpus=[Document(doc_id="e1", text="Aarhus"), Document(doc_id="e2", text="Auburn")],
        qrels=Qrels(grades={"q": {"e1": 1}, "r": {"e2": 1}}),
        groups={"q": "q", "r": "r"},
        slices={},
    )


def test_known_names_come_first_whatever_the_scale_of_the_scores() -> None:
    names = [
        Name(entity_id="e1", text="Aarhus", kind="label", known=True),
        Name(entity_id="e2", text="Auburn", kind="label", known=True),
        Name(entity_id="e1", text="AU", kind="alias", known=True),
    ]
    alone = Run.sorted("run", {"q": [("e2", 0.9)], "r": [("e2", 1.0)]})
    assert with_known_names("x", alone, judged(), names, 1).hits["q"][0][0] == "e1"  # though it was not found at all
    for scores in ((9.3, 4.1), (-3.0, -90.0), (0.9, 0.2)):
        run = Run.sorted("run", {"q": [("e2", scores[0]), ("e1", scores[1])], "r": [("e2", 1.0)]})
        assert [doc for doc, _ in with_known_names("x", run, judged(), names, 10).hits["q"]] == ["e1", "e2"]


def test_names_written_like_the_query_are_before_those_in_other_case() -> None:
    names = [Name(entity_id=each, text=text, kind="alias", known=True) for each, text in (("e1", "Au"), ("e2", "AU"))]
    names += [
        Name(entity_id="e1", text="Aarhus", kind="label", known=True),
        Name(entity_id="e2", text="Auburn", kind="label", known=True),
    ]
    for scores in ((9.3, 4.1), (-3.0, -90.0)):
        run = Run.sorted("run", {"q": [("e1", scores[0]), ("e2", scores[1])], "r": [("e2", 1.0)]})
        assert [doc for doc, _ in with_known_names("x", run, judged(), names, 10).hits["q"]] == ["e2", "e1"]


def test_only_what_is_no_known_name_is_estimated() -> None:
    assert [query.query_id for query in strangers(judged(), frozenset({"au"})).queries] == ["r"]


def test_documents_of_one_text_count_as_the_best_of_them() -> None:
    assert _by_label({"a": 1, "b": 0}, {"a": [0], "b": [0]}) == {0: 1}
    assert _by_label({"b": 0, "a": 2}, {"a": [0, 1], "b": [0]}) == {0: 2, 1: 2}


def test_no_passage_of_a_right_document_is_a_negative() -> None:
    documents = ["one", "two", "three", "other"]
    _, known = known_documents([Example(anchor="q", positive="two")], [], documents, [["one", "two", "three"]])
    assert known == [frozenset({0, 1, 2})]
