"""Passages: nothing lost, nothing longer than asked, sentences whole where they fit, the parent known."""

from hypothesis import given
from hypothesis import strategies as st

from honed.core.records import Document, JudgedTask, Qrels, Query, Run
from honed.evaluate.measures import Measure
from honed.evaluate.score import TaskScores
from honed.shapes.judgments.passages import cut, passages_of
from honed.shapes.texts import nearest_passage

TEXT = "One two three. Four five! Six seven eight nine? Ten."


def test_sentences_stay_whole_where_they_fit() -> None:
    assert cut(TEXT, 5, 0) == ["One two three. Four five!", "Six seven eight nine? Ten."]
    assert cut(TEXT, 3, 0) == ["One two three.", "Four five!", "Six seven eight", "nine? Ten."]
    assert cut(TEXT, 100, 0) == [TEXT]
    assert cut("", 5, 0) == []


def test_scripts_without_blanks_are_cut_too() -> None:
    text = "これは文です。" * 30
    parts = cut(text, 20, 0)
    assert "".join(parts) == text
    assert {len(part) for part in parts} == {14}
    assert cut("長" * 50, 20, 0) == ["長" * 20, "長" * 20, "長" * 10]


def test_what_overlaps_is_the_end_of_the_passage_before() -> None:
    assert cut(TEXT, 6, 2) == ["One two three. Four five!", "Four five! Six seven eight nine?", "Ten."]


@given(st.text(alphabet="ab .!?", max_size=200), st.integers(1, 9))
def test_every_word_stands_somewhere_in_its_order(text: str, most: int) -> None:
    parts = cut(text, most, 0)
    assert " ".join(parts).split() == text.split()
    assert all(1 <= len(part.split()) <= most for part in parts)


@given(st.text(alphabet="ab .!?", max_size=200), st.integers(2, 9), st.integers(1, 8))
def test_with_overlap_nothing_is_longer_or_lost(text: str, most: int, overlap: int) -> None:
    parts = cut(text, most, min(overlap, most - 1))
    assert all(len(part.split()) <= most for part in parts)
    assert set(text.split()) == {word for part in parts for word in part.split()}


def test_a_passage_knows_its_parent_and_its_title() -> None:
    document = Document(doc_id="d", text=TEXT, fields={"title": "Numbers"})
    first, second = passages_of(document, 5, 0)
    assert (first.doc_id, second.doc_id) == ("d#1", "d#2")
    assert second.text == "Numbers: Six seven eight nine? Ten."
    assert second.fields["parent"] == "d"
    assert nearest_passage("what is SIX?", [first, second]) == second
    assert nearest_passage("nothing", [first, second]) == first


def test_results_count_by_parent() -> None:
    task = JudgedTask(
        name="t",
        queries=[Query(query_id="q", text="x")],
        corpus=[Document(doc_id=each, text=each) for each in ("a#1", "a#2", "b#1")],
        qrels=Qrels(grades={"q": {"b": 1}}),
        groups={"q": "q"},
        slices={},
        parents={"a#1": "a", "a#2": "a", "b#1": "b"},
    )
    scores = TaskScores(task, [Measure("MRR", 10)])
    scores.add(Run.sorted("run", {"q": [("a#2", 0.9), ("a#1", 0.8), ("b#1", 0.7)]}))
    assert scores.scores["run"][Measure("MRR", 10)].tolist() == [0.5]  # the second document, the third passage
