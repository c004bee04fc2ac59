"""The sections of honed.toml that go with every shape of data; those of one shape are declared by the shape."""

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Self

from honed.core.errors import ConfigError
from honed.core.json import Json
from honed.core.sections import limits
from honed.data.rows import SPLITS, ImportConfig
from honed.data.split import ON_LEAK, SplitConfig
from honed.data.table import QUOTING, TableFormat, named_columns
from honed.evaluate.measures import MEASURES, Measure
from honed.index.analysis import STOP_WORDS
from honed.index.languages import LANGUAGES, language_name
from honed.index.settings import IndexSettings

PROTOCOLS = ("held-out", "catalogue")
OFFSETS = ("auto", "token", "character")
# what the columns of queries are usually called
QUERY_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "query_id": ("query_id", "qid"),
    "text": ("text", "query", "string", "name"),
    "ids": ("ids", "entity_ids", "doc_ids", "id", "entity_id", "doc_id"),
    "split": ("split",),
}
MOST_QUERIES = 25_000  # that are measured: exact search of each in all documents takes time


@dataclass(frozen=True, kw_only=True, slots=True)
class PathsSection:
    """Where data comes from and results go, relative to honed.toml.

    Vectors of up to ``cache_gb`` GB are kept in ``output``; those that were not used for longest go first.
    """

    input: tuple[str, ...]
    output: str = "work"
    cache_gb: float = field(default=8.0, metadata=limits(low=0))

    def check(self, file: str) -> None:
        """Raise `ConfigError` when results would be written over the data."""
        output = Path(self.output).as_posix()
        if output in {Path(path).as_posix() for path in self.input} or output in ("", "."):
            raise ConfigError(
                "E_CONFIG_PATH",
                f"{file}: paths.output: {self.output} is also paths.input; results need a folder of their own",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSection:
    """What the files hold; ``columns`` maps a role of the shape to a column; ``licence`` is noted in bundles.

    ``offsets`` of entities count "token"s or "character"s; "auto" means tokens where a text is a list of them.
    ``ends`` of entities are "inclusive" (the last token or character) or "exclusive" (the place after it).
    ``header`` names the columns of delimited files without a line of names. ``separator`` stands between the aliases of
    a cell that holds several. ``decimal`` maps columns to their decimal mark, where it is no point. ``language`` maps
    columns, or their roles, to the language of their words, a name or an ISO 639-1 code. ``splits`` maps what the
    column or the names of the files call a split to "train", "dev" or "test".
    """

    shape: str
    columns: Mapping[str, str]
    encoding: str = "utf-8"
    delimiter: str = ""
    quoting: str = field(default="csv", metadata=limits(one_of=QUOTING))
    header: tuple[str, ...] = ()
    ends: str = field(default="auto", metadata=limits(one_of=("auto", "exclusive", "inclusive")))
    separator: str = ""
    decimal: Mapping[str, str] = field(default_factory=dict)
    language: Mapping[str, str] = field(default_factory=dict)
    on_bad_row: str = field(default="stop", metadata=limits(one_of=("stop", "quarantine")))
    max_text_chars: int = field(default=100_000, metadata=limits(low=1, high=10_000_000))
    labels: tuple[str, ...] = ()
    empty_label: str = field(default="reject", metadata=limits(one_of=("reject", "abstain")))
    offsets: str = field(default="auto", metadata=limits(one_of=OFFSETS))
    sha256: Mapping[str, str] = field(default_factory=dict)
    slice_by: tuple[str, ...] = ()
    licence: str = ""
    splits: Mapping[str, str] = field(default_factory=dict)

    def import_config(self) -> ImportConfig:
        """Return what the importer needs of it."""
        return ImportConfig(
            shape=self.shape,
            columns=dict(self.columns),
            on_bad_row=self.on_bad_row,
            declared_labels=self.labels,
            empty_label=self.empty_label,
            offsets=self.offsets,
            sha256=dict(self.sha256),
            format=TableFormat(
                encoding=self.encoding,
                delimiter=self.delimiter,
                quoting=self.quoting,
                max_text_chars=self.max_text_chars,
                header=self.header,
            ),
            separator=self.separator,
            decimal=dict(self.decimal),
            ends=self.ends,
            splits=dict(self.splits),
        )

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns that make the texts which are searched: title and text, names where there are none."""
        texts = [self.columns[role] for role in ("title", "text") if role in self.columns]
        return tuple(texts or [self.columns[role] for role in ("label", "alias") if role in self.columns])

    def languages(self) -> dict[str, str]:
        """Return the language of the words of each column that has one of its own."""
        return {self.columns.get(name, name): language_name(language) for name, language in self.language.items()}

    def check(self, file: str) -> None:
        """Raise `ConfigError` for a delimiter of several signs, an encoding, language or split that does not exist."""
        if len(self.delimiter) > 1:
            raise ConfigError("E_CONFIG_RANGE", f"{file}: data.delimiter: {self.delimiter!r} is not one character")
        for column, mark in self.decimal.items():
            if mark not in (",", "."):
                raise ConfigError("E_CONFIG_RANGE", f'{file}: data.decimal.{column}: {mark!r} is not "," or "."')
        for name, split in self.splits.items():
            if split not in SPLITS:
                known = ", ".join(SPLITS)
                raise ConfigError("E_CONFIG_RANGE", f"{file}: data.splits.{name}: {split!r} is not one of {known}")
        for column, language in self.language.items():
            if not language_name(language):
                listed = ", ".join(LANGUAGES)
                raise ConfigError(
                    "E_CONFIG_RANGE", f"{file}: data.language.{column}: unknown language {language!r} (known: {listed})"
                )
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            message = f"{file}: data.encoding: unknown encoding {self.encoding!r}"
            raise ConfigError("E_CONFIG_RANGE", message) from None


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitSection:
    """How queries are divided; see `honed.data.split.SplitConfig`."""

    protocol: str = field(default="held-out", metadata=limits(one_of=PROTOCOLS))
    test: float = field(default=0.2, metadata=limits(low=0.01, high=0.9))
    dev: float = field(default=0.1, metadata=limits(low=0.01, high=0.9))
    sample: int = field(default=2000, metadata=limits(low=1))
    seed: int = field(default=0, metadata=limits(low=0))
    on_leak: str = field(default="withhold", metadata=limits(one_of=ON_LEAK))

    def settings(self) -> dict[str, Json]:
        """Return what shapes the splits, as plain data; without the usual way with leaks, which were once refused."""
        settings: dict[str, Json] = asdict(self)
        if self.on_leak == ON_LEAK[0]:
            del settings["on_leak"]
        return settings

    def split_config(self) -> SplitConfig:
        """Return what the splitter needs of it."""
        return SplitConfig(**{item.name: getattr(self, item.name) for item in fields(self)})

    def check(self, file: str) -> None:
        """Raise `ConfigError` when nothing would be left to train on."""
        if self.test + self.dev >= 1:
            raise ConfigError("E_CONFIG_RANGE", f"{file}: split.test + split.dev must stay below 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class QueriesSection:
    """The section ``[queries]``: tables of real queries with the ids of the records that they mean.

    ``columns`` maps "text", "ids", "split" and "query_id" to columns; without it usual names are looked for. A cell may
    hold several ids, as a list or parted by ``separator``, or none. Queries that are called train or dev teach the
    hybrid and what goes with it, those called test are what the report measures.
    """

    input: tuple[str, ...]
    columns: Mapping[str, str] = field(default_factory=dict)
    separator: str = ""

    def check(self, file: str) -> None:
        """Raise `ConfigError` for a role that queries do not have."""
        for role in self.columns:
            if role not in QUERY_COLUMNS:
                known = ", ".join(QUERY_COLUMNS)
                raise ConfigError("E_CONFIG_KEY", f"{file}: queries.columns: unknown role {role} (known: {known})")

    def columns_of(self, header: Sequence[str]) -> dict[str, str]:
        """Return the column of each role in a table: as stated, or by its usual names; roles without one are absent."""
        return named_columns(header, QUERY_COLUMNS, self.columns)


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselinesSection:
    """The lexical systems to measure against; ``language`` is a Snowball stemmer's; "auto" finds out which.

    With "auto" words are stemmed by their script, those in Latin letters by the commonest language of the texts; with
    "none" they are not stemmed. ``stop_words`` are those that are left out of English texts.
    """

    language: str = field(default="english", metadata=limits(one_of=LANGUAGES))
    stop_words: str = field(default="lucene", metadata=limits(one_of=STOP_WORDS))


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexSection(IndexSettings):
    """The search index: the backend with its parameters, see `honed.index.settings.IndexSettings`, and what it holds.

    ``names`` "labels" searches the labels by meaning and known aliases by exact look-up; "all" searches the aliases by
    meaning too, which answers slips in known aliases better and unseen aliases worse (acronyms attract each other).
    ``group_by`` names a field: of all that share its value only the best is a hit (passages that honed cut are grouped
    by their document unasked).
    """

    names: str = field(default="labels", metadata=limits(one_of=("all", "labels")))
    group_by: str = ""

    def settings(self) -> dict[str, Json]:
        """Return what is set, as plain data."""
        names = {"names": self.names, "group_by": self.group_by}
        return {**self.without_defaults(), **{name: value for name, value in names.items() if value}}

    def check(self, where: str = "honed.toml") -> Self:
        """Return the section itself; `ConfigError` for parameters that do not go with the backend."""
        IndexSettings.check(self, f"{where}: index")
        return self


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswersSection:
    """The section ``[answers]``: whether a first hit is right, and sets of candidates that hold the truth.

    ``absent`` is the share of queries that are expected to have no answer; None takes that of dev where it has such
    queries, else a tenth. ``risk`` is the share of the answers given that may be wrong, ``confidence`` how sure that is
    to be kept, and ``coverage`` how often the right document shall be in the candidate set.
    """

    absent: float | None = field(default=None, metadata=limits(low=0.001, high=0.999))
    risk: float = field(default=0.1, metadata=limits(low=0.001, high=0.999))
    confidence: float = field(default=0.9, metadata=limits(low=0.5, high=0.999))
    coverage: float = field(default=0.9, metadata=limits(low=0.01, high=0.999))


@dataclass(frozen=True, kw_only=True, slots=True)
class HybridSection:
    """The section ``[hybrid]``: words, letters, initials, known names and meaning fused, with weights learned on dev.

    ``fields`` of an entity or a document (a website, a brand) are searched beside its text, each with weights of its
    own that are learned; ``weights`` say how many times more a field counts in the text that words are searched in.
    ``penalty`` keeps the learned weights near those that many data sets taught. ``kinds`` are fields whose values say
    what kind of thing an entity is (a type; "a|b" are two): each common value gets a weight.
    ``other_scripts`` compares names and queries across scripts: "auto" where not all of them are Latin.
    """

    fields: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    weights: Mapping[str, int] = field(default_factory=dict)
    penalty: float = field(default=10.0, metadata=limits(low=1e-6, high=1e6))
    other_scripts: str = field(default="auto", metadata=limits(one_of=("auto", "on", "off")))

    def check(self, file: str) -> None:
        """Raise `ConfigError` for a weight that is no small whole number."""
        for name, weight in self.weights.items():
            if not 1 <= weight <= 20:
                raise ConfigError("E_CONFIG_RANGE", f"{file}: hybrid.weights.{name}: {weight} is not in 1..20")


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A figure from elsewhere to stand beside ours, under its own protocol."""

    name: str
    measure: str
    value: float
    protocol: str = field(metadata=limits(one_of=PROTOCOLS))
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateSection:
    """What is measured and reported; ``latency`` adds what a query takes, which no two runs agree on.

    ``measures`` are reported beside the usual ones, such as "P@5", also those of plug-ins. Of more than ``queries``
    in a split a fixed draw is measured.
    """

    k: int = field(default=20, metadata=limits(low=10, high=10_000))
    seed: int = field(default=0, metadata=limits(low=0))
    title: str = ""
    latency: bool = False
    published: tuple[Published, ...] = ()
    measures: tuple[str, ...] = ()
    queries: int = field(default=MOST_QUERIES, metadata=limits(low=100))

    def check(self, file: str) -> None:
        """Raise `ConfigError` for a measure that is unknown."""
        for name in self.measures:
            check_measure(name, f"{file}: evaluate.measures")


def check_measure(name: str, where: str) -> None:
    """Raise `ConfigError`, with the place of the setting, for a measure that is unknown or no plug-in's."""
    try:
        MEASURES[Measure.parse(name).name]
    except ConfigError as error:
        raise ConfigError(error.code, f"{where}: {error.message}") from None


@dataclass(frozen=True, kw_only=True, slots=True)
class GateSection:
    """The rules a result must meet, each on the bound of an interval; shares, so that 0.05 is 5 points of R@1.

    ``gain_over_base`` and ``gain_over_best_baseline`` are of the fine-tuned model. With a student: ``student_gap`` is
    the most that it may lose against its teacher, ``agreement`` the least share of first hits that the two share.
    ``slice_gap`` is the most that a slice of at least 100 queries may lose: the student against its teacher, otherwise
    the fine-tuned model against the base model. Of what is shipped: ``size_mb`` of weights in int8, ``latency_ms`` of
    one query from text to hits, and ``index_recall``, the share of the exact 10 nearest that the index finds.
    ``measure`` is what gains and losses are judged by, such as "nDCG@10"; empty: the first one of the report.
    """

    gain_over_base: float = field(default=0.0, metadata=limits(low=-1, high=1))
    gain_over_best_baseline: float | None = field(default=None, metadata=limits())
    student_gap: float = field(default=0.05, metadata=limits(low=0, high=1))
    agreement: float = field(default=0.75, metadata=limits(low=0, high=1))
    slice_gap: float | None = field(default=None, metadata=limits(low=0, high=1))
    size_mb: float | None = field(default=None, metadata=limits(low=0))
    latency_ms: float | None = field(default=None, metadata=limits(low=0))
    index_recall: float | None = field(default=None, metadata=limits(low=0, high=1))
    measure: str = ""

    def check(self, file: str) -> None:
        """Raise `ConfigError` for a measure that is unknown."""
        if self.measure:
            check_measure(self.measure, f"{file}: gate.measure")
