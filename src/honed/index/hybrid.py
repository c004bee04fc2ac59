"""Words, letters, initials, fields and meaning in one ranking: what is fused, and how it is fused.

`gather` asks every part for candidates and lets every part say what it holds of each of them; learned weights make one
score of that. The same object ranks in the report, on the command line, in the server and in a bundle.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np

from honed.core.errors import ArtifactError
from honed.core.protocols import Vectors
from honed.core.ranking import Rows, top_rows
from honed.core.text import looks_like_acronym
from honed.index import analysis
from honed.index.analysis import Analyzer
from honed.index.fusion import RRF, LearnedFusion
from honed.index.postings import Postings, TermScorer, term_key

DENSE = "dense"
HYBRID, HYBRID_TENSORS = "hybrid.json", "hybrid.safetensors"
DEPTH, WIDE = 60, 1000  # candidates of each part: to answer, and for a set that shall hold the truth
_SHORT_FIELD = 100
TERMS: Mapping[str, Callable[[str], list[str]]] = {
    "letters": analysis.letter_grams,
    "initials": analysis.initials_asked,
    "beginnings": analysis.beginnings_asked,
}
_OF_PART = {
    "cosine": ("cosine", "below the best", "rank"),
    "bm25": ("weight", "share of the best", "rank"),
    "keys": ("share of the query", "share of the document", "rank"),
}
_OF_NAME = ("words", "first word", "letters in order", "words in order", "all in order", "letters a word", "any order")


@dataclass(frozen=True, kw_only=True, slots=True)
class Texts:
    """What the parts are built of: ``texts`` (distinct), named ``fields`` of each, and how to read them.

    ``names`` says that the texts are names, whose letters and initials count. ``weighted`` are texts for word search
    with each field as often as it counts, where they differ from ``texts``.
    """

    texts: Sequence[str]
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)
    language: str = "english"
    names: bool = True
    weighted: Sequence[str] = ()


class Candidates(NamedTuple):
    """Rows of texts ``(n,)`` that may answer a query, and what is known of each ``(n, n_features)``."""

    rows: Rows
    features: Vectors


class Ranked(NamedTuple):
    """Rows ``(n,)`` best first, their fused scores (log-odds), and what is known of the first ``(n_features,)``."""

    rows: Rows
    scores: Vectors
    first: Vectors


Cosines = Callable[[Rows], Vectors]  # the cosine of the query with some rows


class HybridIndex:
    """The parts of a hybrid over some texts, and the weights that fuse them (None: not learned yet)."""

    def __init__(
        self,
        parts: Mapping[str, TermScorer],
        shapes: Mapping[str, Any],
        text_of: Callable[[int], str],
        *,
        names: bool,
        analyzer: Analyzer,
        fusion: LearnedFusion | None = None,
    ) -> None:
        self.parts, self.names, self.analyzer, self.fusion = dict(parts), names, analyzer, fusion
        self._shapes, self._text_of = shapes, text_of
        self._masses: dict[str, Vectors] = {}
        self.feature_names = [f"{DENSE}: {each}" for each in _OF_PART["cosine"]]
        for name, scorer in self.parts.items():
            self.feature_names += [f"{name}: {each}" for each in _OF_PART[scorer.kind]]
        self.feature_names += _OF_NAME if names else _OF_NAME[:1]

    # -- asking ----------------------------------------------------------------------------------

    def gather(
        self, text: str, near: Rows, cosines: Cosines, *, depth: int = DEPTH, hidden: Sequence[int] | Rows = ()
    ) -> Candidates:
        """Return what may answer a query: the best ``depth`` of each part, and the first of ``near`` by their vectors.

        ``hidden`` rows are left out, as if they had never been there; ``near`` is longer by as many.
        """
        found = {name: scorer.scores(text) for name, scorer in self.parts.items()}
        gone = np.asarray(hidden, dtype=np.int64)
        for scores in found.values():
            scores[gone] = 0
        near = near[~np.isin(near, gone)][:depth] if len(gone) else near[:depth]
        best = {name: _best(scores, depth) for name, scores in found.items()}
        rows = np.unique(np.concatenate([near, *best.values()])).astype(np.int64)
        columns = self._of_cosine(cosines(rows), _reciprocal(near[:DEPTH], rows))
        for name, scorer in self.parts.items():
            ranks = _reciprocal(best[name][:DEPTH], rows)
            columns += self._of_part(name, scorer, text, found[name], rows, ranks)
        columns += self._of_names(text, rows, best) if self.names else [self._shapes["lengths"][rows] / 10]
        return Candidates(rows, np.stack(columns, axis=1).astype(np.float32))

    def rank(self, text: str, candidates: Candidates) -> Ranked:
        """Return candidates best first; ties by row number. Needs learned weights."""
        assert self.fusion is not None
        scores = self.fusion.scores(candidates.features, acronym=looks_like_acronym(text))
        order = np.lexsort((candidates.rows, -scores))
        first = candidates.features[order[0]] if len(order) else np.zeros(len(self.feature_names), np.float32)
        return Ranked(candidates.rows[order], scores[order], first)

    def reasons(self, text: str, candidates: Candidates) -> dict[str, Vectors]:
        """Return what each part adds to the score of every candidate ``(n,)``, in log-odds beside the mean candidate.

        All parts of a candidate add up to its score less the mean score. "shape" is what the form of a name tells: its
        length, and how its words spell an acronym.
        """
        assert self.fusion is not None
        added = self.fusion.added(candidates.features, acronym=looks_like_acronym(text))
        added -= added.mean(axis=0, keepdims=True) if len(added) else 0.0
        found: dict[str, Vectors] = {}
        for name, column in zip(self.feature_names, added.T, strict=True):
            part = name.partition(": ")[0] if ": " in name else "shape"
            found[part] = found.get(part, 0.0) + column
        return found

    def by_ranks(self, candidates: Candidates) -> Ranked:
        """Return candidates by reciprocal rank fusion, which needs no weights: the sum of 1 / (60 + rank)."""
        columns = [at for at, name in enumerate(self.feature_names) if name.endswith(": rank")]
        shares = candidates.features[:, columns].astype(np.float64)
        with np.errstate(divide="ignore"):
            scores = (1 / (RRF + 1 / shares)).sum(axis=1)
        order = np.lexsort((candidates.rows, -scores))
        return Ranked(candidates.rows[order], scores[order], np.zeros(len(self.feature_names), np.float32))

    @staticmethod
    def _of_cosine(values: Vectors, ranks: Vectors) -> list[Vectors]:
        return [values, values - values.max(initial=0), ranks]

    def _of_part(
        self, name: str, scorer: TermScorer, text: str, scores: Vectors, rows: Rows, ranks: Vectors
    ) -> list[Vectors]:
        own, best = scores[rows], float(scores.max(initial=0))
        if scorer.kind == "cosine":
            return [own, own - best, ranks]
        if scorer.kind == "bm25":
            return [np.log1p(own), own / max(best, 1e-9), ranks]
        if name not in self._masses:
            self._masses[name] = scorer.postings.masses()
        return [own / max(scorer.asked(text), 1e-9), own / np.maximum(self._masses[name][rows], 1e-9), ranks]

    def _of_names(self, text: str, rows: Rows, best: Mapping[str, Rows]) -> list[Vectors]:
        words = analysis.words_of(text)
        first = np.uint64(term_key(words[0])) if words else np.uint64(0)
        same = (self._shapes["first"][rows] == first).astype(np.float32)
        spelled = np.zeros((len(rows), len(_OF_NAME) - 2), dtype=np.float32)
        if analysis.is_short_word(text):
            letters = analysis.squeezed(text)
            some = np.concatenate([best[name][:DEPTH] for name in ("initials", "beginnings")])
            for place in np.flatnonzero(np.isin(rows, some)).tolist():
                spelled[place] = _spelled(letters, analysis.large_words(self._text_of(int(rows[place]))))
        return [self._shapes["lengths"][rows] / 10, same, *spelled.T]

    # -- files -----------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Any]:
        """Return named arrays for a safetensors file."""
        found = {name: np.ascontiguousarray(each) for name, each in self._shapes.items()}
        for number, scorer in enumerate(self.parts.values()):
            found |= {f"{number}.{name}": each for name, each in scorer.postings.tensors.items()}
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return the rest as plain data."""
        return {
            "names": self.names,
            "language": self.analyzer.language,
            "stop_words": sorted(self.analyzer.stop_words),
            "parts": [{"name": name, "kind": scorer.kind} for name, scorer in self.parts.items()],
            "fusion": self.fusion.as_dict() if self.fusion else None,
        }

    @classmethod
    def of_files(
        cls, data: Mapping[str, Any], tensors: Mapping[str, Any], text_of: Callable[[int], str], n: int
    ) -> Self:
        """Read it back for ``n`` texts; `ArtifactError` when the parts do not fit together."""
        try:
            return cls._read(data, tensors, text_of, n)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError("E_HYBRID", f"the hybrid cannot be read: {type(error).__name__}: {error}") from error

    @classmethod
    def _read(cls, data: Mapping[str, Any], tensors: Mapping[str, Any], text_of: Callable[[int], str], n: int) -> Self:
        analyzer = Analyzer(str(data["language"]), data["stop_words"])
        shapes = {name: tensors[name] for name in ("lengths", "first")}
        if any(shapes[name].shape != (n,) for name in shapes) or shapes["first"].dtype != np.uint64:
            raise ArtifactError("E_POSTINGS", "the hybrid is of other texts")
        parts = {}
        for number, each in enumerate(data["parts"]):
            own = {name.partition(".")[2]: array for name, array in tensors.items() if name.startswith(f"{number}.")}
            parts[each["name"]] = TermScorer(each["kind"], Postings(own, n), _terms_of(each["name"], analyzer))
        if data["names"] and not {"initials", "beginnings"} <= parts.keys():
            raise ArtifactError("E_HYBRID", "the hybrid of names has no initials")
        fusion = LearnedFusion.from_dict(data["fusion"]) if data["fusion"] else None
        found = cls(parts, shapes, text_of, names=bool(data["names"]), analyzer=analyzer, fusion=fusion)
        if fusion is not None and fusion.names != tuple(found.feature_names):
            raise ArtifactError("E_FUSION", "the weights of the fusion are of other parts")
        return found

    @classmethod
    def build(cls, source: Texts) -> Self:
        """Build the parts with the libraries that are their reference; nothing is fused before weights are learned."""
        analyzer = Analyzer(source.language)
        words = source.weighted or source.texts
        terms = [list(dict.fromkeys(analyzer(text))) for text in words]
        parts = {
            "words": _bm25(words, analyzer),
            "TF-IDF": _tfidf(words, analyzer),
            "overlap": TermScorer("keys", Postings.of_keys(terms), analyzer),
        }
        if source.names:
            initials = Postings.of_keys([analysis.initials_of_name(text) for text in source.texts])
            beginnings = Postings.of_keys([analysis.beginnings_of_name(text) for text in source.texts])
            parts |= {
                "letters": _tfidf(source.texts),
                "initials": TermScorer("keys", initials, analysis.initials_asked),
                "beginnings": TermScorer("keys", beginnings, analysis.beginnings_asked),
            }
        for name, values in source.fields.items():
            parts[f"{name}, words"] = _bm25(values, analyzer)
            filled = [len(value) for value in values if value]
            if source.names and filled and np.mean(filled) <= _SHORT_FIELD:
                parts[f"{name}, letters"] = _tfidf(values)
        words_of = [analysis.words_of(text) for text in source.texts]
        shapes = {
            "lengths": np.array([len(each) for each in words_of], dtype=np.int32),
            "first": np.array([term_key(each[0]) if each else 1 for each in words_of], dtype=np.uint64),
        }
        return cls(parts, shapes, source.texts.__getitem__, names=source.names, analyzer=analyzer)


def _terms_of(name: str, analyzer: Analyzer) -> Callable[[str], list[str]]:
    """Return what makes the terms of a query for a part; a field's are read as its words or its letters."""
    return TERMS.get(name.rpartition(", ")[2], analyzer)


def _bm25(texts: Sequence[str], analyzer: Analyzer) -> TermScorer:
    from scipy.sparse import csr_matrix

    from honed.index.lexical import Bm25Index

    found = Bm25Index(texts, analyzer).index
    arrays = tuple(found.scores[name] for name in ("data", "indices", "indptr"))
    matrix = csr_matrix(arrays, shape=(len(arrays[2]) - 1, len(texts)))
    terms = {term: number for term, number in found.vocab_dict.items() if number < matrix.shape[0]}
    matrix = matrix[list(terms.values())]
    return TermScorer("bm25", Postings.build(list(terms), matrix, np.ones(len(terms))), analyzer)


def _tfidf(texts: Sequence[str], analyzer: Analyzer | None = None) -> TermScorer:
    from honed.index.lexical import TfidfIndex

    terms_of = analyzer or analysis.letter_grams
    if not any(map(terms_of, texts)):  # nothing to count
        return TermScorer("cosine", Postings.of_keys([[] for _ in texts]), terms_of)
    found = TfidfIndex([text or " " for text in texts], analyzer)
    terms = list(found.vectorizer.get_feature_names_out())
    postings = Postings.build(terms, found.columns, found.vectorizer.idf_)
    return TermScorer("cosine", postings, terms_of)


def _best(scores: Vectors, depth: int) -> Rows:
    """Return the rows of the highest scores above 0, best first."""
    some = np.flatnonzero(scores)
    return some[top_rows(scores[some], min(depth, len(some)))] if len(some) else some


def _reciprocal(best: Rows, rows: Rows) -> Vectors:
    """Return 1 / rank of each of some rows in a list; 0 where it is not in it."""
    ranks = np.zeros(len(rows), dtype=np.float32)
    ranks[np.searchsorted(rows, best)] = 1 / np.arange(1, len(best) + 1, dtype=np.float32)
    return ranks


def _spelled(letters: str, words: list[str]) -> tuple[float, ...]:
    """Return how well a short query is made of the beginnings of a name's words."""
    reached, used = analysis.in_order(letters, words)
    n = max(1, len(words))
    apart = analysis.in_any_order(letters, words)
    return reached / len(letters), used / n, float(used > 0), len(letters) / used / 4 if used else 0.0, apart / n
