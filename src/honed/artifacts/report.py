"""The report, typed: what every report has, and what judged tasks add; shapes of data add parts of their own."""

from typing import Self

import msgspec

from honed.artifacts.data import script_line
from honed.core.html import html_table
from honed.core.json import Json
from honed.evaluate.answers import AnswerQuality
from honed.evaluate.bases import BaseChoice
from honed.evaluate.headroom import Headroom
from honed.evaluate.page import comparison_sentence, outcomes_sentence
from honed.evaluate.prompts import PromptTrial
from honed.evaluate.results import (
    Comparison,
    FusionChoice,
    GateResult,
    Interval,
    NextStep,
    PublishedFigure,
    QueryOutcomes,
    SystemResult,
)
from honed.train.history import TrainingHistory
from honed.train.reports import MiningReport, StudentReport


class Report(msgspec.Struct, kw_only=True):
    """What was measured, on what data and how it was made; the content of ``report.json``.

    ``headline`` names the measures that are looked at first, ``ceiling`` is the best that any system could reach in the
    first of them (None where nothing bounds it), ``n_candidates`` how many documents were searched. ``audit`` is that
    of the stage "check", ``training`` the history of the fine-tuning, ``next_steps`` what the figures speak for.
    ``words`` tells how BM25 and TF-IDF read words: stemmed or not, which stop words are left out.
    """

    title: str
    protocol: str
    published: list[PublishedFigure]
    audit: dict[str, Json]
    training: TrainingHistory | None = None
    headroom: Headroom | None = None
    seed: int
    versions: dict[str, str | None]
    words: str = ""
    direction: str
    headline: list[str]
    n_queries: int
    n_candidates: int
    ceiling: float | None
    systems: list[SystemResult]
    comparisons: list[Comparison]
    gates: list[GateResult]
    next_steps: list[NextStep] = []

    def system(self, name: str) -> SystemResult | None:
        """Return a system by its name, or None."""
        return next((system for system in self.systems if system.name == name), None)

    def more_lines(self) -> list[str]:
        """Return what else people look for at first, in sentences."""
        return [*self.fact_lines(), *(f"next: {step.sentence()}" for step in self.next_steps)]

    def fact_lines(self) -> list[str]:
        """Return what was found beside the tables, in sentences."""
        return [self.headroom.said_after] if self.headroom and self.headroom.said_after else []

    def script_line(self) -> str:
        """Return how the base model's tokenizer reads the scripts of the texts; empty where that was not counted."""
        return script_line(self.audit)

    def as_dict(self) -> dict[str, Json]:
        """Return the report as plain data, as ``report.json`` holds it."""
        data: dict[str, Json] = msgspec.to_builtins(self)
        return data

    def _repr_html_(self) -> str:
        rows = [
            [system.name, *(f"{value.mean:.3f} ({value.low:.3f}–{value.high:.3f})" for value in self._head(system))]
            for system in self.systems
        ]
        lines = [*(comparison_sentence(comparison) for comparison in self.comparisons), *self.more_lines()]
        gates = [f"gate {gate.name}: {'met' if gate.passed else 'not met'} ({gate.rule})" for gate in self.gates]
        title = f"{self.title}: {self.n_queries} queries, {self.n_candidates} candidates, {self.protocol}"
        return html_table(["system", *self.headline], rows, title) + html_table(
            [""], [[line] for line in (*lines, *gates)]
        )

    def _head(self, system: SystemResult) -> list[Interval]:
        return [system.measures[name] for name in self.headline if name in system.measures]

    @classmethod
    def of_json(cls, data: bytes) -> Self:
        """Read a report back; what this type does not know is left out."""
        return msgspec.json.decode(data, type=cls)


class StudentComparison(StudentReport, frozen=True, kw_only=True):
    """The students that were tried, and the share of first hits that the chosen one has in common with its teacher."""

    agreement: Interval


class Direction(msgspec.Struct, kw_only=True):
    """The tables of one direction of search, with queries that went wrong and queries that fine-tuning won.

    ``own_documents`` is the number of queries that are documents themselves, see `JudgedTask.own_documents`. Where the
    queries are a fixed draw of more, there are ``drawn_from`` in all, otherwise 0.
    """

    direction: str
    n_queries: int
    n_candidates: int
    ceiling: float | None
    systems: list[SystemResult]
    comparisons: list[Comparison]
    student: StudentComparison | None
    gates: list[GateResult]
    wrong: QueryOutcomes | None = None
    won: QueryOutcomes | None = None
    own_documents: int = 0
    drawn_from: int = 0


class JudgedReport(Report, kw_only=True):
    """The report on judged tasks: names and their aliases, queries and documents.

    ``student`` tells how it stands to its teacher, ``reverse`` is the other direction of search, ``answers`` how well
    it is known whether a first hit is right, ``latency`` what a query takes (ms), ``mining`` how negatives were chosen,
    ``model`` how the base model is used. ``wrong`` are queries that what is shipped got wrong, ``won`` those that the
    base model got wrong and fine-tuning right. ``own_documents`` queries are documents themselves. ``fusion`` tells
    why the hybrid ranks as it does, ``prompts`` what others score on dev (None where there are no others),
    ``bases`` how the base model was chosen (None where honed.toml names it).
    """

    student: StudentComparison | None = None
    reverse: Direction | None = None
    answers: AnswerQuality | None = None
    latency: dict[str, dict[str, float]] | None = None
    mining: MiningReport | None = None
    model: Json = None
    wrong: QueryOutcomes | None = None
    won: QueryOutcomes | None = None
    own_documents: int = 0
    drawn_from: int = 0
    fusion: FusionChoice | None = None
    prompts: PromptTrial | None = None
    bases: BaseChoice | None = None

    def prompt_line(self) -> str:
        """Return the warning that other prompts are surely better; empty where none are."""
        return self.prompts.sentence() if self.prompts else ""

    def own_document_line(self) -> str:
        """Return how many queries are documents themselves and what that means for their rankings; empty for none."""
        if not self.own_documents:
            return ""
        return (
            f"{self.own_documents} of {self.n_queries} test queries are documents themselves: each query's own "
            "document is left out of its ranking"
        )

    def fact_lines(self) -> list[str]:
        """Return what came of the estimate before training, of chances and sets, of the student, and of queries."""
        lines = super().fact_lines()
        if self.bases:
            lines.append(self.bases.sentence())
        if self.prompt_line():
            lines.append(self.prompt_line())
        if self.own_documents:
            lines.append(self.own_document_line())
        if self.fusion:
            lines.append(self.fusion.sentence())
        if self.answers:
            lines.append(self.answers.line())
        if self.student:
            same = self.student.agreement
            lines.append(
                f"first hits that student and teacher share: {100 * same.mean:.1f} % "
                f"({100 * same.low:.1f} to {100 * same.high:.1f})"
            )
        return lines + [outcomes_sentence(outcomes) for outcomes in (self.wrong, self.won) if outcomes and outcomes.n]
