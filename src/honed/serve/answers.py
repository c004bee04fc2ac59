"""What is answered over HTTP: the classes of answers, as they are written and as they are documented."""

from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from honed.core.records import Answer, EncoderSpec, Hit

JsonValue: TypeAlias = Any  # any JSON; msgspec knows it by this name


class Candidate(msgspec.Struct, kw_only=True, frozen=True):
    """An entity of a candidate set."""

    doc_id: str
    text: str


class SearchResult(msgspec.Struct, kw_only=True, frozen=True):
    """The hits of one text, and what is known of them where the bundle has learned it."""

    query: str
    truncated: Annotated[bool, Meta(description="Whether the model did not see the end of the query.")]
    hits: Sequence[Hit]
    chance: Annotated[float, Meta(description="The estimated chance that the first hit is right.")] | UnsetType = UNSET
    match: Annotated[bool, Meta(description="Whether the chance is high enough.")] | UnsetType = UNSET
    candidates: (
        Annotated[list[Candidate], Meta(description="A set that holds the right answer at the chosen rate.")]
        | UnsetType
    ) = UNSET

    @classmethod
    def of(cls, query: str, answer: Answer, *, truncated: bool) -> "SearchResult":
        """Return an answer of a searcher as it is written."""
        candidates = answer.candidates
        return cls(
            query=query,
            truncated=truncated,
            hits=list(answer.hits),
            chance=UNSET if answer.chance is None else answer.chance,
            match=UNSET if answer.match is None else answer.match,
            candidates=(
                UNSET if candidates is None else [Candidate(doc_id=hit.doc_id, text=hit.text) for hit in candidates]
            ),
        )


class SearchResults(msgspec.Struct, kw_only=True, frozen=True):
    """The results of several texts, in their order."""

    results: list[SearchResult]


class EncodeResult(msgspec.Struct, kw_only=True, frozen=True):
    """The unit vectors of some texts, in their order."""

    dim: int
    vectors: list[list[float]]


class BundleInfo(msgspec.Struct, kw_only=True, frozen=True):
    """What is served: the manifest of the bundle (there is more in it than is listed here), and the server."""

    format: str
    version: int
    precision: str
    spec: EncoderSpec
    index: dict[str, JsonValue]
    counts: Annotated[dict[str, int], Meta(description="How many entities, names and texts.")]
    files: Annotated[dict[str, int], Meta(description="The size of every file in bytes.")]
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
