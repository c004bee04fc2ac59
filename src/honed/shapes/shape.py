"""What a shape of data is to the rest of honed: one protocol, and a base with what most shapes have in common.

Whatever the shape, it compiles down to training examples, judged retrieval tasks, and names to search. A new shape is
one package that defines a class with this protocol and registers it (`honed.shapes.registry`, or the entry point
``honed.shapes`` of another package); nothing else knows its name.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Protocol

from honed.artifacts.data import CheckArtifact, ImportArtifact
from honed.artifacts.evaluation import EvaluateArtifact
from honed.artifacts.report import JudgedReport, Report
from honed.config.config import Config
from honed.core.errors import ConfigError
from honed.core.json import Json, JsonObject
from honed.core.protocols import Encoder
from honed.core.records import Example, JudgedTask, Run
from honed.core.stage import Inputs, Stage, Work
from honed.data.rows import Record, Role, RowReader
from honed.data.tables import Row, Table, TableFormat, open_tables, table_files
from honed.data.task import Entity, Name
from honed.encode.bases import Use
from honed.evaluate.measures import Measure
from honed.shapes.proposal import InitFiles, Proposal
from honed.shapes.texts import whole_text

DevScore = Callable[[Encoder], float]
# generic sections that go with judged tasks alone
JUDGED_SECTIONS = frozenset({"queries", "mine", "cross_encoder", "distil", "hybrid", "answers"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """What a shape is compiled from: configuration, folder of honed.toml, imported records, where to write.

    With ``own_queries`` dev and test are queries of the user's own, so that everything else may be trained on.
    """

    config: Config
    root: Path
    imported: ImportArtifact
    folder: Path
    unknown: Callable[[str], bool] | None  # tells whether the base model's tokenizer knows no part of a text
    own_queries: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Compiled:
    """The result of compiling records: audit, training examples, judged tasks, entities and their names.

    ``audit`` is plain data, with ``findings`` by code; ``tasks`` are judged tasks with their split ("dev" or "test");
    ``entities`` and ``names`` are what is searched. What a shape makes in stages of its own stays empty here.
    """

    audit: JsonObject
    examples: Sequence[Example] | None = None
    tasks: Sequence[tuple[JudgedTask, str]] = ()
    entities: Sequence[Entity] | None = None
    names: Sequence[Name] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class DirectionPlan:
    """One direction of judged search: the name of its tasks, what the report calls it, and what is measured.

    ``main`` says that gates, hybrid and student are judged by it; ``bounded`` that queries of one text have several
    right answers, so that there is a ceiling.
    """

    name: str
    title: str
    measures: tuple[Measure, ...]
    main: bool = True
    bounded: bool = False


class Evaluation(Protocol):
    """The services that the stage "evaluate" offers to a shape for its report."""

    @property
    def work(self) -> Work[Config]:
        """Configuration, inputs, folder and executor of the stage."""
        ...

    def judged_report(self, directions: Sequence[DirectionPlan]) -> JudgedReport:
        """Measure every system on the judged tasks of some directions, the main one first."""
        ...


class Shape(Protocol):
    """A kind of data: how its rows are read, what it compiles to, and how a model of it is measured."""

    name: str
    summary: str  # one line for people who choose
    roles: Sequence[Role]
    keeps_empty_fields: bool
    sections: Mapping[str, type]  # its own sections of honed.toml, by name
    optional: frozenset[str]  # generic sections that go with it, of `JUDGED_SECTIONS`
    stages: Sequence[Stage[Config]]  # its own stages, after "check" and before training
    prompts: Use  # what the base model's prompts are for: names like names, or passages for questions
    reads_names: bool  # what is searched are names: letters and initials count
    forecasts: bool  # whether fine-tuning is likely to help is estimated before it begins
    updates: bool  # new rows can be taught to the model in use

    def propose(self, files: InitFiles, *, asked: bool) -> Proposal | None:
        """Return a honed.toml for some files, or None where they are of another shape.

        ``asked`` says that the user named this shape: what is missing is then a `DataError`.
        """
        ...

    def check_config(self, config: Config, file: str) -> None:
        """Raise `ConfigError` for sections that do not go together."""
        ...

    def tables(self, path: Path, form: TableFormat) -> Iterator[Table]:
        """Yield the tables that a path names."""
        ...

    def input_files(self, config: Config) -> Sequence[str]:
        """Return all files that the rows come from, as honed.toml names them."""
        ...

    def with_files(self, config: Config, root: Path, files: Sequence[str]) -> Config:
        """Return a configuration that reads more files, each by what it holds; ``root`` is the folder of honed.toml."""
        ...

    def check_columns(self, columns: Mapping[str, str]) -> None:
        """Raise `ConfigError` when the columns that were named for the roles do not go together."""
        ...

    def parse_row(self, row: Row, reader: RowReader) -> Record:
        """Return the record of a row; `BadRowError` when it cannot be used."""
        ...

    def texts(self, records: Iterable[Record], config: Config) -> Iterator[str]:
        """Yield what an encoder reads of records."""
        ...

    def settings(self, config: Config, root: Path) -> dict[str, Json]:
        """Return the settings that `compile` depends on beside records and generic settings, as plain data."""
        ...

    def compile(self, source: Source) -> Compiled:
        """Audit the records and compile them to training examples, judged tasks, entities and names."""
        ...

    def describe_audit(self, audit: JsonObject) -> list[str]:
        """Return the sentences that summarise an audit."""
        ...

    def depth(self, config: Config) -> int:
        """Return how many hits of each system are looked at."""
        ...

    def index_settings(self, config: Config) -> dict[str, Json]:
        """Return settings of the index that hold unless honed.toml says otherwise."""
        ...

    def directions(self, config: Config) -> Sequence[DirectionPlan]:
        """Return the directions of judged search, the main one first; none where there are no judged tasks."""
        ...

    def lexical_runs(
        self, test: JudgedTask, direction: DirectionPlan, check: CheckArtifact, config: Config
    ) -> list[Run]:
        """Return the runs of the systems that need no model."""
        ...

    def known_names(self, check: CheckArtifact) -> Sequence[Name]:
        """Return the names by which a search looks entities up exactly, known aliases among them; none: no look-up."""
        ...

    def together(self, check: CheckArtifact, config: Config) -> list[list[str]]:
        """Return groups of document texts: where one is right for a query, no other is a negative for it."""
        ...

    def dev_score(self, work: Work[Config]) -> DevScore:
        """Return the function that scores a model on dev during training; higher is better."""
        ...

    def evaluation_settings(self, config: Config) -> dict[str, Json]:
        """Return the settings that the report depends on beside the generic ones, as plain data."""
        ...

    def sample_queries(self, inputs: Inputs, texts: Sequence[str]) -> list[str]:
        """Return texts such as people will search with, to compare a bundle with the trained model.

        ``texts`` are the names in the index.
        """
        ...

    def evaluate(self, evaluation: Evaluation) -> Report:
        """Measure what was trained and return the report."""
        ...

    def read_report(self, artifact: EvaluateArtifact) -> Report:
        """Return the report of an evaluation, as the type that `evaluate` returned."""
        ...

    def render(self, report: Report) -> str:
        """Return the report as one HTML page."""
        ...


class ShapeBase:
    """Defaults of a shape; a shape overrides what differs."""

    name: str = ""
    summary: str = ""
    roles: Sequence[Role] = ()
    keeps_empty_fields: bool = False
    sections: Mapping[str, type] = MappingProxyType({})
    optional: frozenset[str] = frozenset()
    stages: Sequence[Stage[Config]] = ()
    report: ClassVar[type[Report]] = Report
    prompts: Use = "search"
    reads_names: bool = False
    forecasts: bool = False
    updates: bool = False

    def tables(self, path: Path, form: TableFormat) -> Iterator[Table]:
        """Yield the tables that a path names: itself, or those directly in a folder."""
        return (table for file in table_files(path) for table in open_tables(file, form))

    def input_files(self, config: Config) -> Sequence[str]:
        """Return the tables of ``[paths]``."""
        return config.paths.input

    def with_files(self, config: Config, root: Path, files: Sequence[str]) -> Config:
        """Return a configuration with more tables in ``[paths]``."""
        return replace(config, paths=replace(config.paths, input=tuple(dict.fromkeys([*config.paths.input, *files]))))

    def check_columns(self, columns: Mapping[str, str]) -> None:
        """Accept any columns."""

    def parse_row(self, row: Row, reader: RowReader) -> Record:
        """Return the record of a row, read by the roles alone."""
        return reader.read(row)

    def texts(self, records: Iterable[Record], config: Config) -> Iterator[str]:
        """Yield title and text of each record."""
        return (whole_text(record.get("title", ""), record.get("text", "")) for record in records)

    def propose(self, files: InitFiles, *, asked: bool) -> Proposal | None:
        """Propose nothing: honed.toml is written by hand."""
        return None

    def settings(self, config: Config, root: Path) -> dict[str, Json]:
        """Return none."""
        return {}

    def describe_audit(self, audit: JsonObject) -> list[str]:
        """Return none beside the findings."""
        return []

    def depth(self, config: Config) -> int:
        """Return how many hits are looked at: as ``[evaluate]`` says."""
        return config.depth

    def index_settings(self, config: Config) -> dict[str, Json]:
        """Return none."""
        return {}

    def directions(self, config: Config) -> Sequence[DirectionPlan]:
        """Return none."""
        return ()

    def lexical_runs(
        self, test: JudgedTask, direction: DirectionPlan, check: CheckArtifact, config: Config
    ) -> list[Run]:
        """Return none."""
        return []

    def known_names(self, check: CheckArtifact) -> Sequence[Name]:
        """Return none: nothing is looked up."""
        return ()

    def together(self, check: CheckArtifact, config: Config) -> list[list[str]]:
        """Return none: every document stands for itself."""
        return []

    def evaluation_settings(self, config: Config) -> dict[str, Json]:
        """Return none."""
        return {}

    def read_report(self, artifact: EvaluateArtifact) -> Report:
        """Return the report as the type that the shape declares."""
        return artifact.report(self.report)

    def _check_needs(self, config: Config, file: str, needs: Mapping[str, Sequence[str]]) -> None:
        """Raise `ConfigError` for a section without one that it needs."""
        for section, needed in needs.items():
            missing = [name for name in needed if not config.has(name)]
            if config.has(section) and missing:
                raise ConfigError("E_CONFIG_MISSING", f"{file}: [{section}] needs the section [{missing[0]}]")
