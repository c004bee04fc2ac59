"""What a catalogue answers to the entries of a table, kept in blocks on disk, so that a stopped run goes on."""

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from honed.core.json import Json
from honed.core.plain import as_number
from honed.core.progress import progress
from honed.core.records import Answer, Hit
from honed.core.writing import write_text
from honed.match.entry import Entry
from honed.match.evidence import FieldEvidence, is_sure, learn_field
from honed.search.scores import KNOWN_NAME
from honed.search.searcher import Searcher

BLOCK = 512  # entries that are answered together, and lost together by a kill
_BLOCKS_AT_ONCE = 2
CANDIDATES = 5
KNOWN = 1.0  # the chance of a name that one entity of the catalogue bears
_MOST_ESTIMATED = 0.9999  # what is estimated never stands level with it
_CATALOGUE_SAMPLE = 5_000
_MOST_SURE = 20_000  # entries that evidence is learned from


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """An entity that a name may mean: id, name, the fields that are evidence, and the chance that it is right.

    ``chance`` is the score of the hit where the catalogue estimates no chances.
    """

    id: str
    name: str
    chance: float
    fields: Mapping[str, str]

    def as_dict(self) -> dict[str, Json]:
        """Return it as plain data."""
        return {"id": self.id, "name": self.name, "chance": self.chance, "fields": dict(self.fields)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What was found for an entry: candidates, the likeliest first, and the chance that there is none (or unknown).

    ``given`` tells that the first may be given to the entry: False where other entries have all of them.
    """

    candidates: Sequence[Candidate]
    absent: float | None = None
    given: bool = True

    @property
    def proposal(self) -> Candidate | None:
        """The first candidate, where it may be given."""
        return self.candidates[0] if self.candidates and self.given else None

    @property
    def chance(self) -> float:
        """The chance that the proposal is right; 0 without one."""
        return 0.0 if self.proposal is None else self.proposal.chance

    def as_dict(self) -> dict[str, Json]:
        """Return it as plain data."""
        return {"candidates": [one.as_dict() for one in self.candidates], "absent": self.absent}

    @classmethod
    def from_dict(cls, data: Mapping[str, Json]) -> "Found":
        """Read it back; `KeyError` or `TypeError` for what is none."""
        rows = data["candidates"]
        assert isinstance(rows, list)
        candidates = [
            Candidate(
                id=str(one["id"]), name=str(one["name"]), chance=as_number(one["chance"]), fields=dict(one["fields"])
            )
            for one in rows
            if isinstance(one, dict)
        ]
        absent = data["absent"]
        return cls(candidates=candidates, absent=None if absent is None else as_number(absent))


def find_all(searcher: Searcher, entries: Sequence[Entry], fields: Sequence[str], folder: Path) -> list[Found]:
    """Return what is found for every entry, in their order; blocks that are in ``folder`` are not asked again."""
    folder.mkdir(parents=True, exist_ok=True)
    blocks = [entries[start : start + BLOCK] for start in range(0, len(entries), BLOCK)]
    places = [folder / f"{number:06d}.jsonl" for number in range(len(blocks))]
    stands = [place.is_file() for place in places]  # asked once: another run may write meanwhile
    answers = _answers(searcher, [block for block, done in zip(blocks, stands, strict=True) if not done])
    found: list[Found] = []
    with progress("match rows", len(entries)) as bar:
        for block, place, done in zip(blocks, places, stands, strict=True):
            if not done:
                rows = [json.dumps(found_of(one, fields).as_dict(), ensure_ascii=False) for one in next(answers)]
                write_text(place, "\n".join(rows) + "\n")
            lines = place.read_text(encoding="utf-8").rstrip("\n").split("\n")
            found += [Found.from_dict(json.loads(line)) for line in lines]
            bar.advance(len(block))
    return found


def _answers(searcher: Searcher, blocks: Sequence[Sequence[Entry]]) -> Iterator[list[Answer]]:
    """Yield the answers to blocks of entries; of a bundle one block is encoded while the one before is searched."""

    def ask(block: Sequence[Entry]) -> list[Answer]:
        return searcher.answer_many([entry.name for entry in block], CANDIDATES)

    if searcher.source.folder is None or not searcher.manifest:  # its encoder may not be asked by two threads
        yield from map(ask, blocks)
        return
    with ThreadPoolExecutor(_BLOCKS_AT_ONCE) as pool:
        asked: deque[Future[list[Answer]]] = deque()
        for block in blocks:
            asked.append(pool.submit(ask, block))
            if len(asked) > _BLOCKS_AT_ONCE:
                yield asked.popleft().result()
        while asked:
            yield asked.popleft().result()


def found_of(answer: Answer, fields: Sequence[str]) -> Found:
    """Return an answer of the catalogue as candidates, with the fields that are evidence."""
    estimated = answer.chance is not None
    return Found(candidates=[_candidate(hit, fields, estimated=estimated) for hit in answer.hits], absent=answer.absent)


def _candidate(hit: Hit, fields: Sequence[str], *, estimated: bool) -> Candidate:
    chance = (hit.chance or 0.0) if estimated else max(0.0, min(1.0, hit.score))
    if hit.score < KNOWN_NAME:
        chance = min(chance, _MOST_ESTIMATED)
    shown = {name: hit.fields.get(name, "") for name in fields}
    return Candidate(id=hit.doc_id, name=hit.text, chance=round(chance, 4), fields=shown)


def sampled_fields(searcher: Searcher) -> list[Mapping[str, str]]:
    """Return the fields of some 5,000 entities, spread over the catalogue; the same ones every time."""
    names = searcher.names
    step = max(1, names.n_entities // _CATALOGUE_SAMPLE)
    return [names.entity(row).fields for row in range(0, names.n_entities, step)]


def with_evidence(
    entries: Sequence[Entry], found: Sequence[Found], fields: Sequence[str], catalogue: Sequence[Mapping[str, str]]
) -> list[Found]:
    """Return what was found with the agreement of other columns taken in; ``catalogue`` samples entities' fields.

    ``fields`` are those of the catalogue, in the order of the values of the entries.
    """
    sure = [at for at, one in enumerate(found) if is_sure(one.chance)][:_MOST_SURE]
    learned = [
        learn_field(
            [entries[at].values[place] for at in sure],
            [found[at].candidates[0].fields[name] for at in sure],
            [entity.get(name, "") for entity in catalogue],
        )
        for place, name in enumerate(fields)
    ]
    return [weighed(entry, one, fields, learned) for entry, one in zip(entries, found, strict=True)]


def weighed(entry: Entry, found: Found, fields: Sequence[str], learned: Sequence[FieldEvidence]) -> Found:
    """Return chances by Bayes' rule: those of the names, times what agreements say; what is not listed says nothing."""
    asked = list(zip(learned, entry.values, fields, strict=True))
    factors = [
        prod(one.factor(value, candidate.fields[name]) for one, value, name in asked) for candidate in found.candidates
    ]
    weights = [candidate.chance * factor for candidate, factor in zip(found.candidates, factors, strict=True)]
    rest = max(0.0, 1 - sum(candidate.chance for candidate in found.candidates))
    total = sum(weights) + rest
    if total <= 0:
        return found
    absent = None if found.absent is None else min(found.absent, rest) / total
    return with_chances(found, [weight / total for weight in weights], absent)


def with_chances(found: Found, chances: Sequence[float], absent: float | None) -> Found:
    """Return what was found with other chances, of its candidates in their order, and that there is none."""
    candidates = [
        replace(candidate, chance=_told(chance, candidate.chance))
        for candidate, chance in zip(found.candidates, chances, strict=True)
    ]
    candidates.sort(key=lambda candidate: -candidate.chance)
    return Found(candidates=candidates, absent=None if absent is None else round(absent, 4))


def _told(chance: float, before: float) -> float:
    """Return a chance as it is told; what was an estimate before stays one."""
    return round(chance if before >= KNOWN else min(chance, _MOST_ESTIMATED), 4)
