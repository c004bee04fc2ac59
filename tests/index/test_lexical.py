"""BM25 and TF-IDF give the scores of bm25s and scikit-learn with the same settings."""

from collections.abc import Sequence

import bm25s
import numpy as np
import pytest
import Stemmer
from sklearn.feature_extraction.text import TfidfVectorizer

from honed.index.analysis import Analyzer, words_sentence
from honed.index.lexical import Bm25Index, TfidfIndex

TEXTS = [
    "The first emperor of Rome was Augustus, who ruled for forty years.",
    "Who was the first president of the United States?",
    "A system of names for chemical compounds is a nomenclature.",
    "The name of the rose is a novel; names, names and names.",
    "Fire fighters call the fire brigade of their own city.",
    "A B C: the cry of the gulls",
    "",
]
QUESTIONS = ["who was first", "what is the name of the system", "where is a fire", "names names rose", "zebra", "a the"]
# ours and theirs: honed's choice, bm25s's list, and scikit-learn's
CHOICES = [("lucene", "en", None), ("none", None, None), ("scikit-learn", None, "english")]


@pytest.mark.parametrize("language", ["english", "none"])
@pytest.mark.parametrize(("choice", "listed", "words"), CHOICES)
def test_bm25_is_that_of_bm25s(language: str, choice: str, listed: str | None, words: str | None) -> None:
    stemmer = Stemmer.Stemmer("english") if language == "english" else None
    stop_words = sorted(TfidfVectorizer(stop_words=words).get_stop_words()) if words else listed

    def tokens(texts: Sequence[str]) -> list[list[str]]:
        return bm25s.tokenize(
            list(texts), token_pattern=r"\w+", stopwords=stop_words, stemmer=stemmer, return_ids=False,
            show_progress=False,
        )  # fmt: skip

    reference = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
    reference.index([words_of_text or [""] for words_of_text in tokens(TEXTS)], show_progress=False)
    index = Bm25Index(TEXTS, Analyzer.of_texts(language, TEXTS, choice))
    for question, asked in zip(QUESTIONS, tokens(QUESTIONS), strict=True):
        known = [word for word in asked if word in reference.vocab_dict]
        wanted = reference.get_scores(known) if known else np.zeros(len(TEXTS))
        scores = np.zeros(len(TEXTS))
        for row, score in index.search([question], len(TEXTS))[0]:
            scores[row] = score
        assert scores == pytest.approx(wanted, rel=1e-5), question


@pytest.mark.parametrize(("choice", "words"), [("none", None), ("scikit-learn", "english")])
def test_tfidf_is_that_of_scikit_learn(choice: str, words: str | None) -> None:
    reference = TfidfVectorizer(
        stop_words=words, sublinear_tf=True, dtype=np.float32, token_pattern=r"\w+", strip_accents="unicode"
    )
    wanted = (reference.fit_transform(TEXTS) @ reference.transform(QUESTIONS).T).toarray().T
    scores = TfidfIndex(TEXTS, Analyzer.of_texts("none", TEXTS, choice)).scores(QUESTIONS).toarray()
    assert scores == pytest.approx(wanted, abs=1e-6)


def test_words_that_questions_need_are_kept_unless_asked() -> None:
    assert Analyzer()("Who was the first?") == ["who", "first"]
    assert Analyzer.of_texts("english", TEXTS, "scikit-learn")("Who was the first?") == []
    assert Analyzer.of_texts("german", TEXTS)("Die the names") == ["die", "the", "nam"]


def test_how_words_are_read_is_told() -> None:
    assert words_sentence("english", "lucene") == "stemmed (english), without 33 stop words (lucene)"
    assert words_sentence("none", "none") == "not stemmed, stop words kept"
    assert words_sentence("german", "lucene") == "stemmed (german), stop words kept"
