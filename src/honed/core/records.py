"""The records that every room shares: frozen, keyword-only, without behaviour beyond their own reading."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

from honed.core.errors import ArtifactError
from honed.core.json import Json
from honed.core.text import fold


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """A text that is searched with."""

    query_id: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A document that can be retrieved."""

    doc_id: str
    text: str
    title: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)

    def encoder_text(self) -> str:
        """Return the text that is encoded: title and text."""
        return f"{self.title} {self.text}" if self.title else self.text


@dataclass(frozen=True, kw_only=True, slots=True)
class Qrels:
    """Judged grades by query and document; a document that is not there is unjudged, not grade 0."""

    grades: Mapping[str, Mapping[str, int]]

    def relevant(self, query_id: str) -> set[str]:
        """Return the documents with a grade above 0."""
        return {doc_id for doc_id, grade in self.grades.get(query_id, {}).items() if grade > 0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What a system returned: for each query its documents, best first, ties by document id."""

    name: str
    hits: Mapping[str, Sequence[tuple[str, float]]]

    @classmethod
    def sorted(cls, name: str, hits: Mapping[str, Iterable[tuple[str, float]]]) -> Self:
        """Build a run from hits in any order."""
        order = {query_id: sorted(ranking, key=lambda hit: (-hit[1], hit[0])) for query_id, ranking in hits.items()}
        return cls(name=name, hits=order)

    def without(self, own: Mapping[str, str]) -> Self:
        """Return the run without one document of each query: ``own`` are documents by query id."""
        if not own:
            return self
        hits = {
            query_id: [hit for hit in ranked if hit[0] != own.get(query_id)] for query_id, ranked in self.hits.items()
        }
        return type(self)(name=self.name, hits=hits)

    def by_parent(self, parents: Mapping[str, str]) -> Self:
        """Return the run with each document where its first passage stood; ``parents`` are documents by passage."""
        hits: dict[str, dict[str, float]] = {}
        for query_id, ranking in self.hits.items():
            best = hits.setdefault(query_id, {})
            for doc_id, score in ranking:
                best.setdefault(parents.get(doc_id, doc_id), score)
        return self.sorted(self.name, {query_id: best.items() for query_id, best in hits.items()})


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One training example; ``source`` names where it came from.

    ``weight`` scales its loss; ``score`` is the similarity that a scored pair should have, in [-1, 1]; ``teacher``
    holds a teacher's scores of the positive and of each negative, higher is closer, or nothing. Texts of one ``group``
    are all right for each other; ``negative_groups`` are those of the negatives, where they are known ("" where not).
    """

    anchor: str
    positive: str
    negatives: tuple[str, ...] = ()
    weight: float = 1.0
    source: str = ""
    score: float | None = None
    teacher: tuple[float, ...] = ()
    group: str = ""
    negative_groups: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """One answer of a search.

    ``score`` is the number by which hits are ranked, higher is better: 1 for a known name, otherwise the share that the
    hybrid or the cross-encoder gives to the hit, between 0 and 1, or the cosine where meaning alone ranks; see
    `honed.search.scores`. ``cosine`` is that of the query and ``matched``, in [-1, 1]. ``rank`` starts at 1. ``chance``
    is the estimated chance that the hit is right, and ``reasons`` is what each part of the hybrid added, in log-odds,
    the most first; None where that was not learned, or not asked for.
    """

    doc_id: str
    text: str
    score: float
    cosine: float
    matched: str
    rank: int
    fields: Mapping[str, str] = field(default_factory=dict)
    chance: float | None = None
    reasons: Mapping[str, float] | None = None

    def as_dict(self) -> dict[str, Json]:
        """Return the hit as plain data for JSON; what is not known is left out."""
        shown: dict[str, Json] = {
            "doc_id": self.doc_id,
            "text": self.text,
            "score": self.score,
            "cosine": self.cosine,
            "matched": self.matched,
            "rank": self.rank,
            "fields": dict(self.fields),
        }
        if self.chance is not None:
            shown["chance"] = self.chance
        if self.reasons is not None:
            shown["reasons"] = dict(self.reasons)
        return shown


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The hits of a search, and what is known of them, where that was learned.

    ``chance`` is the estimated chance that the first hit is right, ``match`` whether the answer is given at the risk
    that was chosen, and ``candidates`` a set that holds the right answer at the chosen rate, where one was asked for.
    ``absent`` is the estimated chance that the catalogue holds no answer.
    """

    hits: Sequence[Hit]
    chance: float | None = None
    match: bool | None = None
    candidates: Sequence[Hit] | None = None
    absent: float | None = None

    def as_dict(self) -> dict[str, Json]:
        """Return the answer as plain data for JSON; what is not known is left out."""
        shown: dict[str, Json] = {"hits": [hit.as_dict() for hit in self.hits]}
        if self.chance is not None:
            shown |= {"chance": self.chance, "match": self.match}
        if self.candidates is not None:
            shown["candidates"] = [{"doc_id": hit.doc_id, "text": hit.text} for hit in self.candidates]
        return shown


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderSpec:
    """Everything that is needed to use an encoder as it was meant; saved with it and checked on load.

    ``weights`` is the sha256 over the model's files: weights, pooling, tokenizer, configuration;
    ``max_length`` counts tokens, ``similarity`` is "cosine" or "dot".
    """

    weights: str
    pooling: str
    normalize: bool
    dim: int
    max_length: int
    query_prompt: str = ""
    document_prompt: str = ""
    similarity: str = "cosine"

    def prompt(self, role: str) -> str:
        """Return the prompt for the role "query" or "document"."""
        return {"query": self.query_prompt, "document": self.document_prompt}[role]

    def as_dict(self) -> dict[str, Any]:
        """Return the spec as plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read a spec back; a missing or unknown field is an `ArtifactError`."""
        known = {item.name for item in fields(cls)}
        if set(data) != known:
            odd = sorted(set(data) ^ known)
            raise ArtifactError("E_SPEC", f"encoder spec: missing or unknown fields {', '.join(odd)}")
        return cls(**data)


def holds_most(text: str, query: str) -> bool:
    """Tell whether a text is a query, but for a title before it: it holds the folded query, which is half of it."""
    folded = fold(text)
    return query in folded and 2 * len(query) >= len(folded)


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedTask:
    """A judged retrieval task: what to search with, what to find, and the judgements.

    ``groups`` gives the unit of resampling for each query (its entity): queries of one group are not independent.
    ``slices`` maps a slice name to the ids of its queries. Where the corpus holds passages, ``parents`` names the
    document of each, and the judgements are of those. ``absent`` are queries that are known to have no right document.
    """

    name: str
    queries: Sequence[Query]
    corpus: Sequence[Document]
    qrels: Qrels
    groups: Mapping[str, str]
    slices: Mapping[str, frozenset[str]]
    parents: Mapping[str, str] = field(default_factory=dict)
    absent: Sequence[Query] = ()

    def with_absent(self) -> "JudgedTask":
        """Return the task with the queries that have no answer among the others."""
        return replace(self, queries=[*self.queries, *self.absent], absent=())

    def own_documents(self) -> dict[str, str]:
        """Return the documents that are queries themselves, by query id: one id, and one text but for case and blanks.

        Where questions are searched among questions (Quora, ArguAna) a query finds itself first; as in BEIR that is no
        answer, unless it was judged to be one.
        """
        texts = {query.query_id: fold(query.text) for query in self.queries}
        own = {}
        for document in self.corpus:
            query_id = self.judged_as(document.doc_id)
            text, judged = texts.get(query_id), self.qrels.grades.get(query_id, {})
            if text and judged.get(query_id, 0) <= 0 and holds_most(document.text, text):
                own[query_id] = query_id
        return own

    def judged_as(self, doc_id: str) -> str:
        """Return the id under which a document of the corpus is judged."""
        return self.parents.get(doc_id, doc_id)
