"""Word and character search, tokenised properly: what an embedding has to beat."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from honed.core.optional import require
from honed.core.ranking import top_rows
from honed.core.text import fold, fold_accents
from honed.index.analysis import Analyzer, initialisms, squeezed

Found = list[list[tuple[int, float]]]


class Bm25Index:
    """BM25 (Robertson), Lucene's form, k1 = 1.5 and b = 0.75, over analysed words."""

    def __init__(self, texts: Sequence[str], analyzer: Analyzer) -> None:
        require("lexical baselines")
        import bm25s

        self.analyzer = analyzer
        self.size = len(texts)
        self.index = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
        self.index.index([analyzer(text) or [""] for text in texts], show_progress=False)

    def search(self, texts: Sequence[str], k: int) -> Found:
        """Return for each text up to ``k`` (row, score > 0), best first, ties by row number."""
        found = []
        for text in texts:
            terms = [term for term in self.analyzer(text) if term in self.index.vocab_dict]
            found.append(_positive(self.index.get_scores(terms), min(k, self.size)) if terms else [])
        return found


class TfidfIndex:
    """TF-IDF and cosine, over analysed words or over character n-grams of 2 to 4 within words."""

    def __init__(self, texts: Sequence[str], analyzer: Analyzer | None = None) -> None:
        require("TF-IDF")
        from sklearn.feature_extraction.text import TfidfVectorizer

        options: dict[str, Any] = {"analyzer": "char_wb", "ngram_range": (2, 4), "preprocessor": fold_accents}
        if analyzer is not None:
            options = {"analyzer": analyzer}
        self.vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **options)
        self.columns: csr_matrix = self.vectorizer.fit_transform(texts).T.tocsr()

    def scores(self, texts: Sequence[str]) -> csr_matrix:
        """Return the cosine of each text with each document, ``(n_texts, n_documents)``, sparse."""
        return csr_matrix(self.vectorizer.transform(texts) @ self.columns)

    def search(self, texts: Sequence[str], k: int) -> Found:
        """Return for each text up to ``k`` (row, score > 0), best first, ties by row number."""
        found: Found = []
        for start in range(0, len(texts), 256):
            block = self.scores(texts[start : start + 256])
            for row in range(block.shape[0]):
                part = slice(block.indptr[row], block.indptr[row + 1])
                found.append(_best(block.indices[part], block.data[part], k))
        return found


class InitialismIndex:
    """Finds a name by its initials, with and without its small words ("UNAM", "UofT", "MIT")."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.rows: dict[str, list[int]] = defaultdict(list)
        for row, text in enumerate(texts):
            for key in initialisms(text):
                self.rows[key].append(row)

    def search(self, texts: Sequence[str], k: int) -> Found:
        """Return for each text the names with those initials; the fewer there are, the higher their score."""
        found = []
        for text in texts:
            rows = self.rows.get(squeezed(text), [])
            found.append([(row, 1.0 / len(rows)) for row in rows[:k]])
        return found


class InitialismTfidfIndex:
    """Initials first, then character TF-IDF, which also orders names of the same initials."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.initials = InitialismIndex(texts)
        self.characters = TfidfIndex(texts)

    def search(self, texts: Sequence[str], k: int) -> Found:
        """Return for each text up to ``k`` (row, score), best first, ties by row number."""
        everything = len(self.initials.rows)
        by_initials = self.initials.search(texts, everything)
        by_characters = self.characters.search(texts, k)
        merged = []
        for text, first, second in zip(texts, by_initials, by_characters, strict=True):
            near = dict(second)
            if first and len(first) > 1:
                row_scores = self.characters.scores([text])
                near |= {row: float(row_scores[0, row]) for row, _ in first}
            scores = near | {row: 1.0 + near.get(row, 0.0) for row, _ in first}
            merged.append(sorted(scores.items(), key=lambda hit: (-hit[1], hit[0]))[:k])
        return merged


class DictionaryIndex:
    """Exact lookup of known names: what is written like that first, then the most frequent meaning."""

    def __init__(self, texts: Sequence[str], known: Sequence[tuple[str, int]]) -> None:
        """``known`` holds (name, row of the text it names); every text names itself."""
        self.rows: dict[str, Counter[int]] = defaultdict(Counter)
        self.written: dict[str, set[int]] = defaultdict(set)
        for name, row in (*((text, row) for row, text in enumerate(texts)), *known):
            self.rows[fold(name)][row] += 1
            self.written[name].add(row)

    def search(self, texts: Sequence[str], k: int) -> Found:
        """Return for each text the rows that it names, scored by their share, 1 more where a name is written like it.

        The others differ from it in case or blanks: "ITU" is one thing, "Itu" may be another.
        """
        found = []
        for text in texts:
            counts, same = self.rows.get(fold(text), Counter()), self.written.get(text, set())
            total = counts.total()
            scores = {row: count / total + (row in same) for row, count in counts.items()}
            found.append(sorted(scores.items(), key=lambda hit: (-hit[1], hit[0]))[:k])
        return found


def _positive(scores: Any, k: int) -> list[tuple[int, float]]:
    rows = top_rows(np.asarray(scores, dtype=np.float32), k)
    return [(int(row), float(scores[row])) for row in rows if scores[row] > 0]


def _best(rows: Any, scores: Any, k: int) -> list[tuple[int, float]]:
    order = np.lexsort((rows, -scores))[:k]
    return [(int(rows[at]), float(scores[at])) for at in order if scores[at] > 0]
