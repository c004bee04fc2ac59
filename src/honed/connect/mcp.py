"""The Model Context Protocol: a catalogue as tools for language models, over stdin and stdout or over HTTP.

Import it where the module ``mcp`` is installed (``honed[mcp]``).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from honed.connect.reconciliation_evidence import judge
from honed.core.errors import HonedError
from honed.core.filters import Filter
from honed.core.records import Hit
from honed.core.version import __version__
from honed.search.searcher import Searcher
from honed.serve.limits import Limits

if TYPE_CHECKING:
    from honed.serve.gate import Gate

PATH = "/mcp"
_LIMITS = Limits()
_MOST_WAITING = 64
_MOST_CANDIDATES = 50
INSTRUCTIONS = (
    "A catalogue of named entities. Use resolve to find out which entity a name means, and whether it is one of them; "
    "search to look around; entity for all that is known of one."
)
Result = TypeVar("Result")
Value: TypeAlias = str | bool | int | float
Text = Annotated[str, Field(min_length=1, max_length=_LIMITS.max_chars, description="A name or a few words.")]
Count = Annotated[int, Field(ge=1, le=_LIMITS.max_k, description="How many hits.")]
EntityId = Annotated[str, Field(min_length=1, max_length=_LIMITS.max_chars, description="The id of a hit.")]
FieldFilter = Annotated[
    Mapping[str, Value | Sequence[Value] | Mapping[str, Value]] | None,
    Field(description="For each field a value, a list of values, or a range with gte, gt, lte, lt."),
]


@dataclass(frozen=True, kw_only=True)
class FoundEntity:
    """An entity that was found: the name that matched, the score by which it is ranked, and its chance to be right."""

    id: str
    name: str
    matched: str
    score: float
    chance: float | None
    fields: dict[str, str]

    @classmethod
    def of(cls, hit: Hit) -> "FoundEntity":
        """Return a hit of a search."""
        fields = {name: str(value) for name, value in hit.fields.items()}
        return cls(id=hit.doc_id, name=hit.text, matched=hit.matched, score=hit.score, chance=hit.chance, fields=fields)


@dataclass(frozen=True, kw_only=True)
class SearchAnswer:
    """What was found, best first."""

    hits: list[FoundEntity]


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """Whether a name is that of an entity.

    ``decision`` is "match" where the first candidate is given as the answer at the risk of the catalogue, "no match"
    where nothing is, and "undecided" where the catalogue has not learned what a match is. ``chance`` is the estimated
    chance that the first candidate is right; ``promise`` says what is promised of the matches.
    """

    decision: Literal["match", "no match", "undecided"]
    entity: FoundEntity | None
    chance: float | None
    promise: str
    candidates: list[FoundEntity]


@dataclass(frozen=True, kw_only=True)
class EntityAnswer:
    """All that is known of an entity."""

    id: str
    name: str
    fields: dict[str, str]
    aliases: list[str]


class CatalogueTools:
    """The tools over a searcher; one call is answered at a time, and only so many may wait."""

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="honed-mcp")
        self._waiting = 0

    async def search(self, query: Text, k: Count = 10, filter: FieldFilter = None) -> SearchAnswer:  # noqa: A002
        """Find entities whose names or meaning are like a text, best first; a filter on fields leaves others out."""
        hits = await self._do(lambda: self._searcher.search(query, k, where=_plain(filter)))
        return SearchAnswer(hits=[FoundEntity.of(hit) for hit in hits])

    async def resolve(self, text: Text) -> Resolution:
        """Tell which entity a name means, how likely that is right, and whether that is enough to rely on it."""
        return await self._do(lambda: resolve(self._searcher, text))

    async def entity(self, id: EntityId) -> EntityAnswer:  # noqa: A002
        """Tell all that is known of an entity: its fields and its other names."""
        record = await self._do(lambda: self._searcher.entity(id))
        fields = {name: str(value) for name, value in record["fields"].items()}
        return EntityAnswer(id=record["id"], name=record["label"], fields=fields, aliases=record["aliases"])

    async def _do(self, call: Callable[[], Result]) -> Result:
        """Return the result of a call; `ToolError`, which the client sees, for what honed refuses."""
        if self._waiting >= _MOST_WAITING:
            raise ToolError("every place is taken; try again")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, call)
        except HonedError as error:
            raise ToolError(error.message) from None
        finally:
            self._waiting -= 1


def _plain(filter_: Mapping[str, Value | Sequence[Value] | Mapping[str, Value]] | None) -> Filter | None:
    return dict(filter_) if filter_ else None


def resolve(searcher: Searcher, text: str) -> Resolution:
    """Return whether a text is the name of an entity, with those that it may mean."""
    model = searcher.answers
    answer = searcher.answer(text, _MOST_CANDIDATES, candidates=model is not None)
    judged = judge(answer, (), lambda *_: (), model)
    in_set = None if answer.candidates is None else {hit.doc_id for hit in answer.candidates}
    hits = [one.hit for one in judged if in_set is None or one.hit.doc_id in in_set] or list(answer.hits)
    is_match = bool(judged) and judged[0].match
    return Resolution(
        decision="undecided" if model is None else "match" if is_match else "no match",
        entity=FoundEntity.of(judged[0].hit) if is_match else None,
        chance=answer.chance,
        promise=model.promise_sentence() if model else "no promise: the catalogue was made without [answers]",
        candidates=[FoundEntity.of(hit) for hit in hits[: 10 if in_set is None else _MOST_CANDIDATES]],
    )


def make_server(searcher: Searcher, name: str) -> MCPServer:
    """Return a server with the tools over a searcher."""
    server: MCPServer = MCPServer(name=name, instructions=INSTRUCTIONS, version=__version__, log_level="ERROR")
    tools = CatalogueTools(searcher)
    for tool in (tools.search, tools.resolve, tools.entity):
        server.tool()(tool)
    return server


def http_app(server: MCPServer, hosts: frozenset[str], api_key: str = "") -> "Gate":
    """Return the ASGI application of a server at ``/mcp``, behind the gate of honed's own server."""
    from honed.serve.access import Access
    from honed.serve.gate import Gate
    from honed.serve.metrics import Metrics

    app = server.streamable_http_app(
        streamable_http_path=PATH, json_response=True, stateless_http=True, max_request_body_size=_LIMITS.max_body
    )
    return Gate(app, _LIMITS, Metrics(), Access(hosts, api_key))
