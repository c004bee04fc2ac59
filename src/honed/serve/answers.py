"""What is answered over HTTP: the classes of answers, as they are written and as they are documented."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from honed.core.records import Answer, EncoderSpec, Hit
from honed.match.decide import NO_MATCH, Decision
from honed.match.single import SingleMatch

JsonValue: TypeAlias = Any  # any JSON; msgspec knows it by this name


class SearchHit(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One answer of a search."""

    doc_id: str
    text: str
    score: Annotated[
        float,
        Meta(
            description="The number by which hits are ranked: 1 for a known name, otherwise the share that the hybrid "
            "or the cross-encoder gives to the hit, or the cosine where meaning alone ranks."
        ),
    ]
    cosine: Annotated[float, Meta(description="The cosine of the query and what matched.")]
    matched: Annotated[str, Meta(description="The name that matched.")]
    rank: int
    fields: Mapping[str, str]
    chance: Annotated[float | None, Meta(description="The estimated chance that the hit is right.")] = None
    reasons: Annotated[
        Mapping[str, float] | None,
        Meta(description="What each part of the hybrid added, in log-odds, where it was asked for."),
    ] = None

    @classmethod
    def of(cls, hit: Hit) -> "SearchHit":
        """Return a hit of a searcher as it is written."""
        return cls(
            doc_id=hit.doc_id,
            text=hit.text,
            score=hit.score,
            cosine=hit.cosine,
            matched=hit.matched,
            rank=hit.rank,
            fields=hit.fields,
            chance=hit.chance,
            reasons=hit.reasons,
        )


class Candidate(msgspec.Struct, kw_only=True, frozen=True):
    """An entity of a candidate set."""

    doc_id: str
    text: str


class SearchResult(msgspec.Struct, kw_only=True, frozen=True):
    """The hits of one text, and what is known of them where the bundle has learned it."""

    query: str
    truncated: Annotated[bool, Meta(description="Whether the model did not see the end of the query.")]
    hits: list[SearchHit]
    chance: Annotated[float, Meta(description="The estimated chance that the first hit is right.")] | UnsetType = UNSET
    match: Annotated[bool, Meta(description="Whether the chance is high enough.")] | UnsetType = UNSET
    candidates: (
        Annotated[list[Candidate], Meta(description="A set that holds the right answer at the chosen rate.")]
        | UnsetType
    ) = UNSET
    query_id: Annotated[str, Meta(description="The id of the search in the log, for events about it.")] | UnsetType = (
        UNSET
    )

    @classmethod
    def of(cls, query: str, answer: Answer, *, truncated: bool) -> "SearchResult":
        """Return an answer of a searcher as it is written."""
        candidates = answer.candidates
        return cls(
            query=query,
            truncated=truncated,
            hits=[SearchHit.of(hit) for hit in answer.hits],
            chance=UNSET if answer.chance is None else answer.chance,
            match=UNSET if answer.match is None else answer.match,
            candidates=(
                UNSET if candidates is None else [Candidate(doc_id=hit.doc_id, text=hit.text) for hit in candidates]
            ),
        )


class SearchResults(msgspec.Struct, kw_only=True, frozen=True):
    """The results of several texts, in their order."""

    results: list[SearchResult]


class MatchCandidate(msgspec.Struct, kw_only=True, frozen=True):
    """An entity that a row may mean, with the fields that were given as evidence."""

    id: str
    name: str
    chance: Annotated[float | None, Meta(description="The estimated chance that it is right, evidence taken in.")]
    fields: Mapping[str, str]


class MatchedRow(msgspec.Struct, kw_only=True, frozen=True):
    """What is decided of a row."""

    query: Annotated[str, Meta(description="The name of the row.")]
    decision: Annotated[
        Decision,
        Meta(description="accept: the entity is given; review: it is proposed; none: there is no counterpart."),
    ]
    id: Annotated[str | None, Meta(description="The entity that is given or proposed.")]
    name: str | None
    chance: float | None
    absent: Annotated[float | None, Meta(description="The estimated chance that there is no counterpart.")]
    candidates: list[MatchCandidate]

    @classmethod
    def of(cls, query: str, match: SingleMatch, *, estimated: bool) -> "MatchedRow":
        """Return a match as it is written; ``estimated`` tells whether the catalogue estimates chances."""
        candidates = [
            MatchCandidate(id=one.id, name=one.name, chance=one.chance if estimated else None, fields=one.fields)
            for one in match.found.candidates
        ]
        given = candidates[0] if candidates and match.decision != NO_MATCH else None
        return cls(
            query=query,
            decision=match.decision,
            id=given.id if given else None,
            name=given.name if given else None,
            chance=given.chance if given else None,
            absent=match.found.absent,
            candidates=candidates,
        )


class MatchPromise(msgspec.Struct, kw_only=True, frozen=True):
    """What is promised of accepted rows, and on what it rests: what dev taught, or nothing."""

    source: Literal["dev", "nothing"]
    sentence: str


class MatchResults(msgspec.Struct, kw_only=True, frozen=True):
    """What is decided of some rows, in their order."""

    promise: MatchPromise
    results: list[MatchedRow]


class EncodeResult(msgspec.Struct, kw_only=True, frozen=True):
    """The unit vectors of some texts, in their order."""

    dim: int
    vectors: list[list[float]]


class BundleParts(msgspec.Struct, kw_only=True, frozen=True):
    """What a search can be asked for."""

    hybrid: Annotated[bool, Meta(description="Whether hits can be explained.")]
    reranker: Annotated[bool, Meta(description="Whether a cross-encoder can judge the first hits.")]
    risk: Annotated[float | None, Meta(description="The share of the matches that may be wrong.")]
    promise: Annotated[str | None, Meta(description="What is promised of that share, or why nothing is.")]
    coverage: Annotated[float | None, Meta(description="How often a set of candidates holds the right answer.")]


class BundleInfo(msgspec.Struct, kw_only=True, frozen=True):
    """What is served: the manifest of the bundle (there is more in it than is listed here), and the server."""

    format: str
    version: int
    precision: str
    spec: EncoderSpec
    index: dict[str, JsonValue]
    counts: Annotated[dict[str, int], Meta(description="How many entities, names and texts.")]
    files: Annotated[dict[str, int], Meta(description="The size of every file in bytes.")]
    parts: BundleParts
    fingerprint: Annotated[str, Meta(description="The sha256 of the manifest.")] = msgspec.field(name="self")
    engine: str
    honed: Annotated[str, Meta(description="The version of the server.")]


class Reloaded(msgspec.Struct, kw_only=True, frozen=True):
    """The bundle that answers now."""

    fingerprint: Annotated[str, Meta(description="The sha256 of its manifest.")] = msgspec.field(name="self")


class Status(msgspec.Struct, kw_only=True, frozen=True):
    """The state of the server."""

    status: str


class ErrorBody(msgspec.Struct, kw_only=True, frozen=True):
    """What is wrong."""

    code: Annotated[str, Meta(examples=["E_QUERY_EMPTY"])]
    message: str


class ErrorAnswer(msgspec.Struct, kw_only=True, frozen=True):
    """The answer to a request that cannot be answered."""

    error: ErrorBody
