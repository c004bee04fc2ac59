"""Terms and postings: the same scores as the libraries that are their reference, and nothing forged gets in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from honed.core.errors import ArtifactError
from honed.core.text import fold_accents
from honed.index import analysis
from honed.index.analysis import Analyzer
from honed.index.hybrid import HybridIndex
from honed.index.lexical import Bm25Index, TfidfIndex
from honed.index.parts import HybridTexts
from honed.index.postings import Postings, QueryTerms, TermScorer

NAMES = [
    "University of Guadalajara",
    "Universidad de Guadalajara",
    "Kuban State University",
    "Udayana University",
    "École Polytechnique",
    "Guadalajara Guadalajara school",
    "M",
]
QUERIES = ["guadalajara university", "UdeG", "ecole polytechnique", "KubSU", "zzz", "the of", "guadalajara guadalajara"]


@given(st.text(max_size=40))
def test_letter_grams_are_those_of_sklearn(text: str) -> None:
    reference = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), preprocessor=fold_accents).build_analyzer()
    assert sorted(analysis.letter_grams(text)) == sorted(reference(text))


@pytest.mark.parametrize("query", QUERIES)
def test_scores_are_those_of_the_libraries(query: str) -> None:
    index, analyzer = HybridIndex.build(HybridTexts(texts=NAMES)), Analyzer()
    references = {
        "words": Bm25Index(NAMES, analyzer),
        "TF-IDF": TfidfIndex(NAMES, analyzer),
        "letters": TfidfIndex(NAMES),
    }
    for name, reference in references.items():
        found = index.parts[name].scores(QueryTerms(query))
        wanted = dict(reference.search([query], len(NAMES))[0])
        assert {int(row) for row in np.flatnonzero(found)} == set(wanted), name
        assert all(found[row] == pytest.approx(score, rel=1e-4) for row, score in wanted.items()), name


def test_initials_and_beginnings_find_names() -> None:
    index = HybridIndex.build(HybridTexts(texts=NAMES))
    assert index.parts["initials"].scores(QueryTerms("KSU")).argmax() == 2
    assert index.parts["initials"].scores(QueryTerms("K.S.U.")).argmax() == 2
    assert index.parts["beginnings"].scores(QueryTerms("UNUD")).argmax() == 3
    assert not index.parts["initials"].scores(QueryTerms("kuban state")).any()  # no short word


@pytest.mark.parametrize(
    ("letters", "words", "found"),
    [
        ("kubsu", ["kuban", "state", "university"], (5, 3)),
        ("unud", ["udayana", "university"], (2, 0)),
        ("mit", ["massachusetts", "institute", "technology"], (3, 3)),
        ("mi", ["massachusetts", "institute", "technology"], (2, 2)),
        ("x", ["a"], (0, 0)),
    ],
)
def test_letters_in_order_by_hand(letters: str, words: list[str], found: tuple[int, int]) -> None:
    assert analysis.spelled_in_order(letters, words) == found


def test_letters_in_any_order_by_hand() -> None:
    assert analysis.spelled_in_any_order("unud", ["udayana", "university"]) == 2
    assert analysis.spelled_in_any_order("unud", ["university"]) == 0
    assert analysis.spelled_in_any_order("aaaa", ["a"] * 8) == 4


def test_a_round_trip_and_a_forgery() -> None:
    made = Postings.of_keys([["a", "b"], ["b"], []])
    back = Postings(made.tensors, 3)
    assert (
        TermScorer("keys", back, str.split).scores(QueryTerms("a b")).tolist()
        == TermScorer("keys", made, str.split).scores(QueryTerms("a b")).tolist()
    )
    assert back.masses()[2] == 0
    changes = {
        "rows": made.tensors["rows"] + 7,
        "ends": made.tensors["ends"][:-1],
        "weights": made.tensors["weights"].astype(np.float64),
        "keys": made.tensors["keys"][:1],
    }
    for name, array in changes.items():
        with pytest.raises(ArtifactError, match="postings"):
            Postings({**made.tensors, name: array}, 3)
    with pytest.raises(ArtifactError, match="unknown kind"):
        TermScorer("pickle", made, str.split)


def test_nothing_at_all_can_be_searched() -> None:
    empty = Postings.of_keys([[], []])
    assert TermScorer("keys", empty, str.split).scores(QueryTerms("a")).tolist() == [0, 0]
    assert TermScorer("bm25", empty, str.split).query_worth(QueryTerms("a")) == 1.0
