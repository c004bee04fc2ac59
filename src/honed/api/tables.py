"""Whole tables against the catalogue of a project, or against themselves."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from honed.api.create import CreatedWorkspace
from honed.api.deduping import DedupedTable, dedupe_table
from honed.api.frames import Data
from honed.api.matching import Matched, match_table


class TablesWorkspace(CreatedWorkspace):
    """A workspace that decides the rows of tables."""

    def match(
        self,
        data: Data,
        *,
        column: str = "name",
        evidence: Mapping[str, str] | Sequence[str] = (),
        max_error: float = 0.01,
        max_missed: float = 0.05,
        confidence: float = 0.9,
        one_to_one: bool = False,
        separator: str = "",
        reviews: Data | None = None,
        folder: str | Path | None = None,
    ) -> Matched:
        """Match the names of a table against the catalogue of the last run; see `honed.api.matching.match_table`."""
        return match_table(
            self.searcher(),
            data,
            column=column,
            evidence=evidence,
            max_error=max_error,
            max_missed=max_missed,
            confidence=confidence,
            one_to_one=one_to_one,
            separator=separator,
            reviews=reviews,
            folder=folder,
        )

    def dedupe(
        self,
        data: Data,
        *,
        column: str = "name",
        evidence: Mapping[str, str] | Sequence[str] = (),
        against: Data | None = None,
        against_column: str = "",
        max_error: float = 0.01,
        confidence: float = 0.9,
        reviews: Data | None = None,
    ) -> DedupedTable:
        """Find the rows of a table, or of two, that mean the same; see `honed.api.deduping.dedupe_table`.

        Names are compared by the model of the last run too.
        """
        return dedupe_table(
            data,
            column=column,
            evidence=evidence,
            against=against,
            against_column=against_column,
            encoder=self.searcher().encoder,
            max_error=max_error,
            confidence=confidence,
            reviews=reviews,
        )
