"""A table matched against a catalogue: read, answered in blocks that stand, decided, reviewed and written."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.errors import ConfigError, DataError
from honed.core.fingerprint import fingerprint
from honed.core.journal import Journal
from honed.core.json import Json, JsonObject
from honed.core.writing import write_json
from honed.data.table import Reject, TableFormat
from honed.match.answers import Found, find_all, sampled_fields, with_evidence
from honed.match.decide import Decided, MatchOptions, counted, decide
from honed.match.one_to_one import exclusive
from honed.match.reviews import Review, review_journal, settled
from honed.match.table import Entries, TableColumns, content_of, entries_of, opened, read_entries, shown
from honed.match.writers import as_it_was
from honed.search.searcher import Searcher

Counts: TypeAlias = npt.NDArray[np.int64]
SETTINGS, REVIEWS = "match.json", "reviews.jsonl"


@dataclass(kw_only=True)
class TableMatch:
    """A table, the catalogue that it is matched against, and the folder in which answers and reviews are kept."""

    table: Path
    columns: TableColumns
    form: TableFormat
    searcher: Searcher
    folder: Path

    @classmethod
    def start(
        cls,
        table: Path,
        columns: TableColumns,
        searcher: Searcher,
        *,
        form: TableFormat | None = None,
        folder: Path | None = None,
    ) -> Self:
        """Begin, or go on with what stands in ``folder`` (``TABLE.match`` beside the table).

        Raises `ConfigError` for a field of the catalogue that is not there.
        """
        missing = sorted(set(columns.evidence.values()) - set(searcher.columns))
        if missing:
            raise ConfigError("E_NO_FIELD", f"no field {missing[0]!r}; known: {', '.join(sorted(searcher.columns))}")
        place = folder or table.with_name(table.name + ".match")
        place.mkdir(parents=True, exist_ok=True)
        return cls(table=table, columns=columns, form=form or TableFormat(), searcher=searcher, folder=place)

    @cached_property
    def entries(self) -> Entries:
        """The distinct entries of the table."""
        return read_entries(self.table, self.columns, self.form)

    @cached_property
    def counts(self) -> Counts:
        """How often each entry stands in the table ``(n_entries,)``."""
        return self.entries.counts()

    @cached_property
    def found(self) -> list[Found]:
        """What is found for every entry; answered once, and read from the folder after that."""
        fields = list(self.columns.evidence.values())
        settings = self._settings()
        answers = self.folder / f"answers-{fingerprint(settings)[:12]}"
        found = find_all(self.searcher, self.entries.entries, fields, answers)
        write_json(self.folder / SETTINGS, {**settings, "answers": answers.name})
        if not fields:
            return found
        return with_evidence(self.entries.entries, found, fields, sampled_fields(self.searcher))

    @cached_property
    def exclusive(self) -> list[Found]:
        """What is found where no entity is given to two entries."""
        return exclusive(self.found)

    def _settings(self) -> dict[str, Json]:
        """Return all that the answers depend on."""
        columns = self.columns
        return {
            "table": content_of(self.table),
            "columns": {"name": columns.name, "evidence": dict(columns.evidence), "separator": columns.separator},
            "format": self.form.key(),
            "catalogue": fingerprint(catalogue_facts(self.searcher)),
        }

    @cached_property
    def journal(self) -> Journal[Review]:
        """The reviews of people."""
        return review_journal(self.folder / REVIEWS)

    def take_reviews(self, path: Path) -> int:
        """Add a table of reviews to the journal: columns name and id, an empty id for none; returns how many were new.

        A row holds for the entry of its name and, where the table has them, its columns of evidence.
        """
        columns = replace(self.columns, name="name", separator="")
        known = settled(self.journal.read())
        firsts = {entry.key: one for entry, one in zip(self.entries.entries, self.found, strict=True)}
        new = []
        for row in opened(path, TableFormat()).rows:
            if isinstance(row, Reject):
                raise DataError("E_REVIEWS", str(row))
            values = {name: as_it_was(shown(value)) for name, value in row.values.items()}
            for entry in entries_of(replace(row, values=dict(values)), columns):
                found, answer = firsts.get(entry.key), values.get("id", "")
                if found is not None and (entry.key not in known or known[entry.key].answer != answer):
                    first = found.candidates[0].id if found.candidates else ""
                    who = values.get("who", "")
                    new.append(Review(entry=entry.key, answer=answer, name=entry.name, first=first, who=who))
        return self.journal.add(new)

    def decided(self, options: MatchOptions, reviews: Sequence[Review] | None = None) -> Decided:
        """Return the decision on every entry, by the reviews of the journal or those given."""
        said = self.journal.read() if reviews is None else reviews
        answers = self.searcher.answers
        found = self.exclusive if options.one_to_one else self.found
        return decide(self.entries, found, settled(said), options, answers.dev if answers else None)

    def summary(self, decided: Decided) -> JsonObject:
        """Return the numbers of rows by decision, and the promises."""
        return counted(self.entries, decided)


def catalogue_facts(searcher: Searcher) -> JsonObject:
    """Return what tells one catalogue from another: model, entities, what was learned, the manifest of a bundle."""
    learned = {
        "hybrid": searcher.hybrid.as_dict() if searcher.hybrid else None,
        "answers": searcher.answers.as_dict() if searcher.answers else None,
    }
    return {
        "learned": fingerprint(learned),
        "weights": searcher.encoder.spec.weights,
        "entities": searcher.names.n_entities,
        "texts": searcher.names.n_texts,
        "manifest": fingerprint(searcher.manifest) if searcher.manifest else "",
        "folder": searcher.source.folder.name if searcher.source.folder else "",
    }


def summary_lines(summary: JsonObject, decided: Decided) -> list[str]:
    """Return a summary for people."""
    names = int(str(summary["names"]))
    accepted, none = int(str(summary["accept"])), int(str(summary["none"]))
    share = 100 * accepted / max(names, 1)
    lines = [
        f"{accepted:,} of {names:,} rows accepted ({share:.1f} %), {summary['review']:,} to review, {none:,} have no "
        f"counterpart; {summary['distinct']:,} distinct",
        decided.accepted.sentence(),
    ]
    if decided.missed is not None and none:
        lines.append(decided.missed.sentence("said to have no counterpart"))
    if decided.missed is None:
        lines.append("whether there is a counterpart is not estimated by this catalogue: rows are accepted or reviewed")
    if decided.queue:
        lines.append(f"{len(decided.queue):,} to review in this order, {len(decided.audit)} of them drawn at random")
    if summary["rejected"]:
        lines.append(f"{summary['rejected']} rows could not be read; they are in rejected.jsonl")
    return lines
