"""Word and character search, tokenised properly: what an embedding has to beat."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from honed.core.optional import require
from honed.core.ranking import top_rows
from honed.core.text import fold, fold_accents
from honed.index.analysis import Analyzer, initialisms, letters_of

TextHits: TypeAlias = list[tuple[int, float]]  # (row of a document, score), best first


class TextSearch(Protocol):
    """An index over texts that is searched by words or letters."""

    def search(self, texts: Sequence[str], k: int) -> list[TextHits]:
        """Return for each text up to ``k`` (row, score), best first."""
        ...


class Bm25Index:
    """BM25 (Robertson), Lucene's form, k1 = 1.5 and b = 0.75, over analysed words."""

    def __init__(self, texts: Sequence[str], analyzer: Analyzer) -> None:
        require("lexical baselines")
        import bm25s

        self.analyzer = analyzer
        self.size = len(texts)
        self.index = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
        self.index.index([analyzer(text) or [""] for text in texts], show_progress=False)

    def search(self, texts: Sequence[str], k: int) -> list[TextHits]:
        """Return for each text up to ``k`` (row, score > 0), best first, ties by row number."""
        hits = []
        for text in texts:
            terms = [term for term in self.analyzer(text) if term in self.index.vocab_dict]
            hits.append(_positive(self.index.get_scores(terms), min(k, self.size)) if terms else [])
        return hits


class TfidfIndex:
    """TF-IDF and cosine, over analysed words or over character n-grams of 2 to 4 within words."""

    def __init__(self, texts: Sequence[str], analyzer: Callable[[str], list[str]] | None = None) -> None:
        require("TF-IDF")
        from sklearn.feature_extraction.text import TfidfVectorizer

        letters = {"analyzer": "char_wb", "ngram_range": (2, 4), "preprocessor": fold_accents}
        options = letters if analyzer is None else {"analyzer": analyzer}
        self.vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **options)
        self.columns: csr_matrix = self.vectorizer.fit_transform(texts).T.tocsr()

    def scores(self, texts: Sequence[str]) -> csr_matrix:
        """Return the cosine of each text with each document, ``(n_texts, n_documents)``, sparse."""
        return csr_matrix(self.vectorizer.transform(texts) @ self.columns)

    def search(self, texts: Sequence[str], k: int) -> list[TextHits]:
        """Return for each text up to ``k`` (row, score > 0), best first, ties by row number."""
        hits = []
        for start in range(0, len(texts), 256):
            block = self.scores(texts[start : start + 256])
            for row in range(block.shape[0]):
                part = slice(block.indptr[row], block.indptr[row + 1])
                hits.append(_best(block.indices[part], block.data[part], k))
        return hits


class AllNamesIndex:
    """A text index over all names of some texts: a text is found by the best of its names, itself among them."""

    def __init__(
        self, texts: Sequence[str], known: Sequence[tuple[str, int]], build: Callable[[Sequence[str]], "TextSearch"]
    ) -> None:
        """``known`` holds (name, row of the text it names); ``build`` makes the index over the names."""
        pairs = list(dict.fromkeys([*((text, row) for row, text in enumerate(texts)), *known]))
        self.owners = [row for _, row in pairs]
        self.names_of = Counter(self.owners)
        self.index = build([name for name, _ in pairs])

    def search(self, texts: Sequence[str], k: int) -> list[TextHits]:
        """Return for each text up to ``k`` (row, score), best first, ties by row number."""
        most = sum(size for _, size in self.names_of.most_common(k))  # so many names may be those of k texts
        hits = []
        for names in self.index.search(texts, most):
            best: dict[int, float] = {}
            for name, score in names:
                owner = self.owners[name]
                best[owner] = max(score, best.get(owner, score))
            hits.append(sorted(best.items(), key=lambda hit: (-hit[1], hit[0]))[:k])
        return hits


class InitialismIndex:
    """Finds a name by its initials, with and without its small words ("UNAM", "UofT", "MIT")."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.rows: dict[str, list[int]] = defaultdict(list)
        for row, text in enumerate(texts):
            for key in initialisms(text):
                self.rows[key].append(row)

    def search(self, texts: Sequence[str], k: int) -> list[TextHits]:
        """Return for each text the names with those initials; the fewer there are, the higher their score."""
        rows_of = [self.rows.get(letters_of(text), []) for text in texts]
        return [[(row, 1.0 / len(rows)) for row in rows[:k]] for rows in rows_of]


class InitialismTfidfIndex:
    """Initials first, then character TF-IDF, which also orders names of the same initials."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.initials = InitialismIndex(texts)
        self.characters = TfidfIndex(texts)

    def search(self, texts: Sequence[str], k: int) -> list[TextHits]:
        """Return for each text up to ``k`` (row, score), best first, ties by row number."""
        by_initials = self.initials.search(texts, len(self.initials.rows))
        by_characters = self.characters.search(texts, k)
        merged = []
        for text, bearers, others in zip(texts, by_initials, by_characters, strict=True):
            near = dict(others)
            if len(bearers) > 1:
                cosines = self.characters.scores([text])
                near |= {row: float(cosines[0, row]) for row, _ in bearers}
            scores = near | {row: 1.0 + near.get(row, 0.0) for row, _ in bearers}
            merged.append(sorted(scores.items(), key=lambda hit: (-hit[1], hit[0]))[:k])
        return merged


class DictionaryIndex:
    """Exact look-up of known names: those that are written like the query first, then the most frequent meaning."""

    def __init__(self, texts: Sequence[str], known: Sequence[tuple[str, int]]) -> None:
        """``known`` holds (name, row of the text it names); every text names itself."""
        self.rows: dict[str, Counter[int]] = defaultdict(Counter)
        self.written: dict[str, set[int]] = defaultdict(set)
        for name, row in (*((text, row) for row, text in enumerate(texts)), *known):
            self.rows[fold(name)][row] += 1
            self.written[name].add(row)

    def search(self, texts: Sequence[str], k: int) -> list[TextHits]:
        """Return for each text the rows that it names, scored by their share, 1 more where a name is written like it.

        The others differ from it in case or blanks: "ITU" is one thing, "Itu" may be another.
        """
        hits = []
        for text in texts:
            counts, same = self.rows.get(fold(text), Counter()), self.written.get(text, set())
            total = counts.total()
            scores = {row: count / total + (row in same) for row, count in counts.items()}
            hits.append(sorted(scores.items(), key=lambda hit: (-hit[1], hit[0]))[:k])
        return hits


def _positive(scores: npt.NDArray[np.floating], k: int) -> TextHits:
    """Return the best ``k`` documents with a score above 0; ``scores`` ``(n_documents,)``."""
    rows = top_rows(np.asarray(scores, dtype=np.float32), k)
    return [(int(row), float(scores[row])) for row in rows if scores[row] > 0]


def _best(rows: npt.NDArray[np.integer], scores: npt.NDArray[np.floating], k: int) -> TextHits:
    """Return the best ``k`` of some documents with their scores, those above 0."""
    order = np.lexsort((rows, -scores))[:k]
    return [(int(rows[at]), float(scores[at])) for at in order if scores[at] > 0]
