"""What people reviewed as data to learn from: pairs for ``honed update``, and dev queries for ``[queries]``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from honed.core.text import fold
from honed.data.split import unit_interval
from honed.match.reviews import NONE, UNSURE, Review, settled
from honed.match.run import TableMatch
from honed.match.writers import written_csv
from honed.search.searcher import Searcher

PAIR_COLUMNS = {"alias": "alias", "label": "label", "id": "id"}  # role to column, where nothing else is said
_QUERY_SHARE = 0.5  # of the entities, where both files are written


@dataclass(frozen=True, kw_only=True, slots=True)
class Taught:
    """How many pairs and queries were written; ``known`` pairs were left out, since the catalogue has the alias."""

    pairs: int
    queries: int
    known: int


def write_lessons(
    match: TableMatch, pairs: Path | None, queries: Path | None, columns: Mapping[str, str] | None = None
) -> Taught:
    """Write what people are sure of and agree on as CSV files, each where it is asked for.

    Pairs have the name of the table as alias, and label and id of the entity, under the names of ``columns`` (role to
    column). Queries have text, ids (empty: no answer) and split, which is dev. With both files an entity is in one of
    them, by a draw by its id: what was learned from is not measured with.
    """
    both = pairs is not None and queries is not None
    taught, asked = [], []
    for review in settled(match.journal.read()).values():
        if review.answer == UNSURE or not review.name:
            continue
        held_out = review.answer == NONE or unit_interval(0, f"query {review.answer}") < _QUERY_SHARE
        if queries is not None and (held_out or not both):
            asked.append({"text": review.name, "ids": review.answer, "split": "dev"})
        if pairs is not None and review.answer != NONE and not (both and held_out):
            taught.append(review)
    rows = list(_pairs(match.searcher, taught))
    if pairs is not None:
        names = (
            PAIR_COLUMNS if columns is None else {role: name for role, name in columns.items() if role in PAIR_COLUMNS}
        )
        _write(pairs, list(names.values()), [[row[role] for role in names] for row in rows])
    if queries is not None:
        _write(queries, ["text", "ids", "split"], [list(row.values()) for row in asked])
    return Taught(pairs=len(rows), queries=len(asked), known=len(taught) - len(rows))


def _pairs(searcher: Searcher, reviews: Sequence[Review]) -> Iterator[dict[str, str]]:
    """Yield alias, label and id of each review whose name is none of its entity's yet."""
    for review in reviews:
        row = searcher.names.entity_row(review.answer)
        label = searcher.names.entity(row).label if row is not None else review.chosen
        known = [label, *(searcher.names.aliases(row) if row is not None else ())]
        if label and fold(review.name) not in map(fold, known):
            yield {"alias": review.name, "label": label, "id": review.answer}


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with written_csv(path, header) as write:
        for row in rows:
            write(row)
