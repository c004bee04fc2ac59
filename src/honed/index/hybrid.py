"""Words, letters, initials, fields and meaning in one ranking.

`HybridIndex.gather` asks every part for candidates and has every part score each of them; learned weights make one
score of these features. The same object ranks in the report, on the command line, in the server and in a bundle.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Self, TypeAlias

import numpy as np

from honed.core.errors import ArtifactError
from honed.core.json import Json, JsonObject
from honed.core.plain import as_integer, as_list, as_object
from honed.core.protocols import Vectors
from honed.core.ranking import Rows, distinct
from honed.core.tensors import Array, Tensors
from honed.index import kernel, name_forms
from honed.index.analysis import Analyzer
from honed.index.fusion import RRF, LearnedFusion, is_long, kind_of_query
from honed.index.mentions import ALL
from honed.index.name_evidence import NAMES, NameEvidence
from honed.index.name_forms import NameForms
from honed.index.other_scripts import ROMANISED
from honed.index.parts import HybridTexts, build_parts, read_parts
from honed.index.postings import QueryTerms, TermScorer

DENSE = "dense"
HYBRID, HYBRID_TENSORS = "hybrid.json", "hybrid.safetensors"
DEPTH, WIDE = 60, 1000  # candidates of each part: to answer, and for a set that shall hold the truth
_PART_FEATURES = {
    "cosine": ("cosine", "below the best", "rank"),
    "bm25": ("weight", "share of the best", "rank"),
    "keys": ("share of the query", "share of the document", "rank"),
}


class Candidates(NamedTuple):
    """Rows of texts ``(n,)`` that may answer a query, and the features of each ``(n, n_features)``."""

    rows: Rows
    features: Vectors


class Ranking(NamedTuple):
    """Rows ``(n,)`` best first, their fused scores (log-odds), and the features of the first ``(n_features,)``."""

    rows: Rows
    scores: Vectors
    first: Vectors


Cosines: TypeAlias = Callable[[Rows], Vectors]  # the cosine of the query with some rows


class HybridIndex:
    """The parts of a hybrid over some texts, and the weights that fuse them (None: not learned yet).

    ``text_of`` returns the text of a row. ``level`` says which names may be used: all in a search, fewer where the
    hybrid is taught and measured, see `honed.index.mentions`. For queries that are not long it is at most
    ``level_of_short``: where aliases taught the weights, labels alone were their evidence.
    """

    def __init__(
        self,
        parts: Mapping[str, TermScorer],
        forms: NameForms,
        text_of: Callable[[int], str],
        *,
        names: bool,
        analyzer: Analyzer,
        evidence: NameEvidence | None = None,
        fusion: LearnedFusion | None = None,
    ) -> None:
        self.parts, self.names, self.analyzer, self.fusion = dict(parts), names, analyzer, fusion
        self.evidence, self.level, self.level_of_short = evidence, ALL, ALL
        self.choice: Json = None  # why it ranks as it does, for the report
        self._forms, self._text_of = forms, text_of
        self._masses: dict[str, Vectors] = {}
        self.feature_names = [f"{DENSE}: {feature}" for feature in _PART_FEATURES["cosine"]]
        for name, scorer in self.parts.items():
            self.feature_names += [f"{name}: {feature}" for feature in _PART_FEATURES[scorer.kind]]
        self.feature_names += name_forms.FEATURES if names else name_forms.FEATURES[:1]
        self.feature_names += evidence.feature_names if evidence else []

    @classmethod
    def build(cls, source: HybridTexts) -> Self:
        """Build the parts with the libraries that are their reference; nothing is fused before weights are learned."""
        analyzer = Analyzer.of_texts(source.language, source.texts, source.stop_words)
        parts = build_parts(source, analyzer)
        forms = NameForms.of(source.texts)
        text_of = source.texts.__getitem__
        return cls(parts, forms, text_of, names=source.names, analyzer=analyzer, evidence=source.evidence())

    @property
    def part_features(self) -> dict[str, str]:
        """The feature by which each part would rank alone, by part; fields are no rankings of their own."""
        first = {name: f"{name}: {_PART_FEATURES[scorer.kind][0]}" for name, scorer in self.parts.items()}
        own = {name: feature for name, feature in first.items() if ", " not in name}
        return {DENSE: f"{DENSE}: cosine", **own, **({NAMES: f"{NAMES}: weight"} if self.evidence else {})}

    def kind_of(self, text: str) -> int:
        """Return the kind of a query, see `honed.index.fusion.kind_of_query`."""
        return kind_of_query(text, names=self.names, other_scripts=ROMANISED in self.parts)

    # -- asking ----------------------------------------------------------------------------------

    def gather(
        self, text: str, near: Rows, cosines: Cosines, *, depth: int = DEPTH, hidden: Sequence[int] | Rows = ()
    ) -> Candidates:
        """Return a query's candidates: the best ``depth`` of each part, and the first of ``near`` by their vectors.

        ``hidden`` rows are left out, as if they had never been there; ``near`` is longer by as many.
        """
        terms = QueryTerms(text)
        scores = {name: scorer.scores(terms) for name, scorer in self.parts.items()}
        gone = np.asarray(hidden, dtype=np.int64)
        for part_scores in scores.values():
            part_scores[gone] = 0
        near = near[~np.isin(near, gone)][:depth] if len(gone) else near[:depth]
        best = {name: kernel.best_rows(part_scores, depth) for name, part_scores in scores.items()}
        if self.evidence:
            query, level = self.evidence.names.read(text), self._level_for(text)
            best[NAMES] = self.evidence.names.likely(query, depth, level=level, hidden=gone)
        rows = distinct(np.concatenate([near, *best.values()])).astype(np.int64)
        columns = _cosine_columns(cosines(rows), _reciprocal_ranks(near[:DEPTH], rows))
        for name in self.parts:
            ranks = _reciprocal_ranks(best[name][:DEPTH], rows)
            columns += self._part_columns(name, terms, scores[name], rows, ranks)
        if self.names:
            likely = np.concatenate([best[name][:DEPTH] for name in ("initials", "beginnings")])
            columns += self._forms.columns(text, rows, likely, self._text_of)
        else:
            columns.append(self._forms.lengths(rows))
        if self.evidence:
            ranks = _reciprocal_ranks(best[NAMES][:DEPTH], rows)
            columns += self.evidence.columns(query, rows, ranks, level=level)
        return Candidates(rows, np.stack(columns, axis=1).astype(np.float32))

    def _level_for(self, text: str) -> int:
        """Return which names may be used for a query."""
        return self.level if self.names and is_long(text) else min(self.level, self.level_of_short)

    def rank(self, text: str, candidates: Candidates) -> Ranking:
        """Return candidates best first; ties by row number. Needs learned weights."""
        assert self.fusion is not None
        scores = self.fusion.scores(candidates.features, kind=self.kind_of(text))
        order = np.lexsort((candidates.rows, -scores))
        first = candidates.features[order[0]] if len(order) else np.zeros(len(self.feature_names), np.float32)
        return Ranking(candidates.rows[order], scores[order], first)

    def reasons(self, text: str, candidates: Candidates) -> dict[str, Vectors]:
        """Return what each part adds to the score of every candidate ``(n,)``, in log-odds beside the mean candidate.

        All parts of a candidate add up to its score less the mean score. "shape" is what the form of a name tells: its
        length, and how its words spell an acronym.
        """
        assert self.fusion is not None
        added = self.fusion.contributions(candidates.features, kind=self.kind_of(text))
        added -= added.mean(axis=0, keepdims=True) if len(added) else 0.0
        by_part: dict[str, Vectors] = {}
        for name, column in zip(self.feature_names, added.T, strict=True):
            part = name.partition(": ")[0] if ": " in name else "shape"
            by_part[part] = by_part.get(part, 0.0) + column
        return by_part

    def by_ranks(self, candidates: Candidates) -> Ranking:
        """Return candidates by reciprocal rank fusion, which needs no weights: the sum of 1 / (60 + rank)."""
        columns = [at for at, name in enumerate(self.feature_names) if name.endswith(": rank")]
        shares = candidates.features[:, columns].astype(np.float64)
        with np.errstate(divide="ignore"):
            scores = (1 / (RRF + 1 / shares)).sum(axis=1)
        order = np.lexsort((candidates.rows, -scores))
        return Ranking(candidates.rows[order], scores[order], np.zeros(len(self.feature_names), np.float32))

    def _part_columns(self, name: str, query: QueryTerms, scores: Vectors, rows: Rows, ranks: Vectors) -> list[Vectors]:
        """Return the features of candidates by one part, each ``(n_rows,)``; ``scores`` are those of all texts."""
        scorer, of_rows, best = self.parts[name], scores[rows], float(scores.max(initial=0))
        if scorer.kind == "cosine":
            return [of_rows, of_rows - best, ranks]
        if scorer.kind == "bm25":
            return [np.log1p(of_rows), of_rows / max(best, 1e-9), ranks]
        if name not in self._masses:
            self._masses[name] = scorer.postings.masses()
        masses = np.maximum(self._masses[name][rows], 1e-9)
        return [of_rows / max(scorer.query_worth(query), 1e-9), of_rows / masses, ranks]

    # -- files -----------------------------------------------------------------------------------

    def tensors(self) -> dict[str, Array]:
        """Return named arrays for a safetensors file."""
        arrays: dict[str, Array] = {"lengths": self._forms.words, "first": self._forms.first}
        for number, scorer in enumerate(self.parts.values()):
            arrays |= {f"{number}.{name}": array for name, array in scorer.tensors.items()}
        arrays |= self.evidence.tensors() if self.evidence else {}
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    def as_dict(self) -> dict[str, Json]:
        """Return settings, names and weights beside the tensors, as plain data."""
        return {
            "names": self.names,
            **self.analyzer.as_dict(),
            "parts": [self._part(name, scorer) for name, scorer in self.parts.items()],
            **({"evidence": self.evidence.as_dict()} if self.evidence else {}),
            "fusion": self.fusion.as_dict() if self.fusion else None,
            "level_of_short": self.level_of_short,
            "choice": self.choice,
        }

    def _part(self, name: str, scorer: TermScorer) -> dict[str, Json]:
        """Return a part as plain data, with the language of its words where that is its own."""
        terms = scorer.terms_of
        own = terms.as_dict() if isinstance(terms, Analyzer) and terms is not self.analyzer else {}
        return {"name": name, "kind": scorer.kind, **own}

    @classmethod
    def from_files(cls, data: JsonObject, tensors: Tensors, text_of: Callable[[int], str], n: int) -> Self:
        """Read back what `as_dict` and `tensors` returned, for ``n`` texts; `ArtifactError` for other data."""
        try:
            return cls._read(data, tensors, text_of, n)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError("E_HYBRID", f"the hybrid cannot be read: {type(error).__name__}: {error}") from error

    @classmethod
    def _read(cls, data: JsonObject, tensors: Tensors, text_of: Callable[[int], str], n: int) -> Self:
        analyzer = Analyzer.of_dict(data)
        forms = NameForms(words=tensors["lengths"], first=tensors["first"])
        if forms.words.shape != (n,) or forms.first.shape != (n,) or forms.first.dtype != np.uint64:
            raise ArtifactError("E_POSTINGS", "the hybrid is of other texts")
        parts = read_parts(as_list(data["parts"]), tensors, analyzer, n)
        names = bool(data["names"])
        if names and not {"initials", "beginnings"} <= parts.keys():
            raise ArtifactError("E_HYBRID", "the hybrid of names has no initials")
        fusion = LearnedFusion.from_dict(as_object(data["fusion"])) if data["fusion"] else None
        evidence = NameEvidence.read(as_object(data["evidence"]), tensors, n) if "evidence" in data else None
        index = cls(parts, forms, text_of, names=names, analyzer=analyzer, evidence=evidence, fusion=fusion)
        index.choice, index.level_of_short = data.get("choice"), as_integer(data.get("level_of_short", ALL))
        if fusion is not None and fusion.names != tuple(index.feature_names):
            raise ArtifactError("E_FUSION", "the weights of the fusion are of other parts")
        return index


def _cosine_columns(cosines: Vectors, ranks: Vectors) -> list[Vectors]:
    return [cosines, cosines - cosines.max(initial=0), ranks]


def _reciprocal_ranks(best: Rows, rows: Rows) -> Vectors:
    """Return 1 / rank in a list of each of some sorted rows, 0 for those that are not in it."""
    ranks = np.zeros(len(rows), dtype=np.float32)
    ranks[np.searchsorted(rows, best)] = 1 / np.arange(1, len(best) + 1, dtype=np.float32)
    return ranks
