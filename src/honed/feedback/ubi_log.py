"""Logs of User Behavior Insights (https://o19s.github.io/ubi) to impressions: what stood where, what was clicked."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from honed.core.errors import DataError
from honed.core.json import Json
from honed.core.text import fold, is_blank

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
CLICKS = ("click", "click_through", "add_to_cart", "purchase")
IMPRESSIONS = ("impression",)
_LONGEST_LINE = 1 << 22  # bytes


class Event(NamedTuple):
    """What a user did with a hit; ``ordinal`` is its place from 1 as the client told it, 0 where it did not."""

    query_id: str
    doc_id: str
    is_click: bool
    ordinal: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """A search that was answered."""

    text: str
    doc_ids: tuple[str, ...]
    application: str


@dataclass(kw_only=True)
class UbiLog:
    """Searches by query_id and the events about them; ``left_out`` counts what is not used, by reason."""

    searches: dict[str, Search] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, kw_only=True)
class Impressions:
    """Hits that were shown, one an element of ``(n,)``: ``query`` and ``doc`` are places in ``texts`` and ``doc_ids``.

    Queries whose texts fold alike are one, under the text that was typed most often. ``position`` counts from 0.
    """

    texts: list[str]
    doc_ids: list[str]
    query: Ints
    doc: Ints
    position: Ints
    is_clicked: Flags
    n_searches: int
    left_out: Mapping[str, int]


def log_parts(file: Path) -> list[Path]:
    """Return a log with its older parts (``FILE.1``, ...), the oldest first."""
    older = [part for part in file.parent.glob(f"{file.name}.*") if part.name.removeprefix(f"{file.name}.").isdigit()]
    return [*sorted(older, key=lambda part: -int(part.suffix[1:])), file]


def read_ubi_log(
    files: Iterable[Path], clicks: Iterable[str] = CLICKS, impressions: Iterable[str] = IMPRESSIONS
) -> UbiLog:
    """Read files of JSON lines, each a query or an event of UBI, in any order.

    ``clicks`` and ``impressions`` are the action_names that count as such. Raises `DataError` when no line is a query.
    """
    log, kinds = UbiLog(), {**dict.fromkeys(impressions, False), **dict.fromkeys(clicks, True)}
    for file in files:
        for entry in _entries(file, log.left_out):
            if "action_name" in entry:
                _add_event(log, entry, kinds)
            else:
                _add_search(log, entry)
    if not log.searches:
        raise DataError("E_UBI", "no line is a query of UBI with user_query, query_id and query_response_hit_ids")
    return log


def _entries(file: Path, left_out: Counter[str]) -> Iterator[Mapping[str, Json]]:
    """Yield the objects of a file; lines that are none are counted."""
    with file.open("rb") as lines:
        while line := lines.readline(_LONGEST_LINE):
            if not line.strip():
                continue
            try:
                entry: Json = json.loads(line)
            except (ValueError, RecursionError):
                entry = None
            if isinstance(entry, dict):
                yield entry
            else:
                left_out["lines that are no JSON object"] += 1


def _add_search(log: UbiLog, entry: Mapping[str, Json]) -> None:
    query_id, text, hits = (entry.get(name) for name in ("query_id", "user_query", "query_response_hit_ids"))
    if not isinstance(query_id, str) or not isinstance(text, str) or not isinstance(hits, list) or is_blank(text):
        log.left_out["queries without text, id or hits"] += 1
        return
    attributes = entry.get("query_attributes")
    if isinstance(attributes, dict) and attributes.get("target") == "aliases":
        log.left_out["searches for aliases"] += 1
    elif query_id in log.searches:
        log.left_out["queries whose query_id was there before"] += 1
    else:
        doc_ids = dict.fromkeys(intern(str(hit)) for hit in hits)
        application = intern(str(entry.get("application") or ""))
        log.searches[intern(query_id)] = Search(text=text, doc_ids=tuple(doc_ids), application=application)


def _add_event(log: UbiLog, entry: Mapping[str, Json], kinds: Mapping[str, bool]) -> None:
    query_id, action = entry.get("query_id"), entry.get("action_name")
    attributes = entry.get("event_attributes")
    about, position = (
        (attributes.get("object"), attributes.get("position")) if isinstance(attributes, dict) else (None, None)
    )
    doc_id = about.get("object_id") if isinstance(about, dict) else None
    if not isinstance(action, str) or action not in kinds:
        log.left_out["events of other actions"] += 1
    elif not isinstance(query_id, str) or not isinstance(doc_id, str | int):
        log.left_out["events without query_id or object_id"] += 1
    else:
        ordinal = position.get("ordinal") if isinstance(position, dict) else None
        place = ordinal if isinstance(ordinal, int) and ordinal > 0 else 0
        log.events.append(Event(intern(query_id), intern(str(doc_id)), kinds[action], place))


def impressions_of(log: UbiLog, most_positions: int) -> Impressions:
    """Return what was shown, down to ``most_positions``.

    Where a client reports impressions, those are what was shown, and what was clicked; a search without either was not
    looked at (typed further, say). Where it reports none, all hits of its searches were shown in their order.
    """
    left_out = log.left_out.copy()
    reporting = {
        log.searches[event.query_id].application
        for event in log.events
        if not event.is_click and event.query_id in log.searches
    }
    shown, clicked = _events_by_search(log, left_out)
    queries, docs = dict[str, int](), dict[str, int]()
    typed: list[Counter[str]] = []
    rows: list[tuple[int, int, int, bool]] = []
    n_searches = 0
    for query_id, search in log.searches.items():
        places: Mapping[str, int] = {doc_id: place for place, doc_id in enumerate(search.doc_ids, 1)}
        if search.application in reporting:
            places = shown.get(query_id, {})
        if not places:
            left_out["searches of which nothing was shown"] += 1
            continue
        n_searches += 1
        query = queries.setdefault(fold(search.text), len(queries))
        if query == len(typed):
            typed.append(Counter())
        typed[query][search.text] += 1
        for doc_id, place in places.items():
            if place > most_positions:
                left_out[f"impressions below position {most_positions}"] += 1
                continue
            doc = docs.setdefault(doc_id, len(docs))
            rows.append((query, doc, place - 1, (query_id, doc_id) in clicked))
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    return Impressions(
        texts=[min(texts, key=lambda text: (-texts[text], text)) for texts in typed],
        doc_ids=list(docs),
        query=table[:, 0],
        doc=table[:, 1],
        position=table[:, 2],
        is_clicked=table[:, 3] > 0,
        n_searches=n_searches,
        left_out=left_out,
    )


def _events_by_search(log: UbiLog, left_out: Counter[str]) -> tuple[dict[str, dict[str, int]], set[tuple[str, str]]]:
    """Return the place of each hit that events tell of, by search, and which hit of which search was clicked."""
    shown: dict[str, dict[str, int]] = {}
    clicked: set[tuple[str, str]] = set()
    ranks: dict[str, dict[str, int]] = {}
    for event in sorted(log.events, key=lambda event: event.is_click):  # where a hit stood, the impression tells
        search = log.searches.get(event.query_id)
        if search is None:
            left_out["events about a query that is not in the log"] += 1
            continue
        if event.query_id not in ranks:
            ranks[event.query_id] = {doc_id: place for place, doc_id in enumerate(search.doc_ids, 1)}
        rank = ranks[event.query_id].get(event.doc_id)
        if rank is None:
            left_out["events about what was no hit of the query"] += 1
            continue
        shown.setdefault(event.query_id, {}).setdefault(event.doc_id, event.ordinal or rank)
        if event.is_click:
            clicked.add((event.query_id, event.doc_id))
    return shown, clicked
