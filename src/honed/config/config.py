"""The whole of honed.toml, typed: the sections that go with every shape, and those of the shape at hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from honed.config.judge import JudgeSection
from honed.config.sections import (
    MOST_QUERIES,
    AnswersSection,
    BaselinesSection,
    DataSection,
    EvaluateSection,
    GateSection,
    HybridSection,
    IndexSection,
    PathsSection,
    QueriesSection,
    SplitSection,
)
from honed.config.server import ServerSection
from honed.core.errors import ConfigError, did_you_mean
from honed.core.json import Json
from honed.core.sections import table_of
from honed.data.endpoint import EndpointConfig
from honed.encode.config import EncoderConfig
from honed.evaluate.measures import Measure
from honed.index.analysis import STOP_WORDS, Analyzer
from honed.train.config import CROSS_ENCODER_METHODS, CrossEncoderConfig, DistilConfig, MineConfig, TrainConfig
from honed.train.losses import needs_teacher

FILE = "honed.toml"
S = TypeVar("S")


class Checked(Protocol):
    """A section that can tell whether its values go together."""

    def check(self, file: str) -> None:
        """Raise `ConfigError` where they do not; ``file`` is named in the message."""
        ...


# sections that go with any shape, in the order of the stages
SECTIONS: Mapping[str, type] = {
    "paths": PathsSection,
    "data": DataSection,
    "model": EncoderConfig,
    "split": SplitSection,
    "queries": QueriesSection,
    "baselines": BaselinesSection,
    "mine": MineConfig,
    "cross_encoder": CrossEncoderConfig,
    "train": TrainConfig,
    "distil": DistilConfig,
    "index": IndexSection,
    "hybrid": HybridSection,
    "answers": AnswersSection,
    "endpoint": EndpointConfig,
    "judge": JudgeSection,
    "evaluate": EvaluateSection,
    "gate": GateSection,
    "server": ServerSection,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """What honed.toml says; a section that is absent is None, and leaves its stage out.

    ``own`` are the sections that the shape of the data declares, by name; ask for one with `section`.
    """

    paths: PathsSection
    data: DataSection
    model: EncoderConfig = field(default_factory=EncoderConfig)
    split: SplitSection = field(default_factory=SplitSection)
    queries: QueriesSection | None = None
    baselines: BaselinesSection | None = None
    mine: MineConfig | None = None
    cross_encoder: CrossEncoderConfig | None = None
    train: TrainConfig | None = None
    distil: DistilConfig | None = None
    index: IndexSection | None = None
    hybrid: HybridSection | None = None
    answers: AnswersSection | None = None
    endpoint: EndpointConfig | None = None
    judge: JudgeSection | None = None
    evaluate: EvaluateSection | None = None
    gate: GateSection | None = None
    server: ServerSection | None = None
    own: Mapping[str, object] = field(default_factory=dict)

    def section(self, kind: type[S]) -> S | None:
        """Return the shape's section of a type, or None where honed.toml has none."""
        return next((section for section in self.own.values() if isinstance(section, kind)), None)

    def has(self, name: str) -> bool:
        """Tell whether a section is there, by its name."""
        return name in self.own or getattr(self, name, None) is not None

    @property
    def wants_scores(self) -> str:
        """The setting that needs a cross-encoder's scores of the examples, or an empty string."""
        if self.mine and self.mine.rescore:
            return "mine.rescore"
        if self.train and needs_teacher(self.train.objective):
            return f"train.objective {self.train.objective}"
        return (
            f"distil.method {self.distil.method}" if self.distil and self.distil.method in CROSS_ENCODER_METHODS else ""
        )

    @property
    def title(self) -> str:
        """What reports are named by."""
        return (self.evaluate.title if self.evaluate else "") or ", ".join(self.paths.input)

    @property
    def language(self) -> str:
        """The language of the words of texts: those of their columns by [data.language], else that of [baselines].

        Several are joined by "+".
        """
        usual = self.baselines.language if self.baselines else "english"
        of_columns, weighted = self.data.languages(), self.hybrid.weights if self.hybrid else ()
        several = {of_columns.get(column, usual) for column in self.data.text_columns}
        return "+".join(sorted(several | {of_columns[column] for column in weighted if column in of_columns})) or usual

    @property
    def field_languages(self) -> dict[str, str]:
        """The languages of the fields of [hybrid] that have one of their own, by field."""
        fields = self.hybrid.fields if self.hybrid else ()
        return {name: language for name, language in self.data.languages().items() if name in fields}

    def check_languages(self, file: str) -> None:
        """Raise `ConfigError` for a language of a column whose words are not searched."""
        fields = (*self.hybrid.fields, *self.hybrid.weights) if self.hybrid else ()
        searched = sorted({*self.data.text_columns, *fields})
        for name in self.data.languages():
            if name not in searched:
                raise ConfigError(
                    "E_CONFIG_KEY",
                    f"{file}: data.language: {name} is no column of texts and in no hybrid.fields"
                    f"{did_you_mean(name, searched)} (known: {', '.join(searched)})",
                )

    def analyzer(self, texts: Sequence[str]) -> Analyzer:
        """Return how the words of some texts are read."""
        return Analyzer.of_texts(self.language, texts, self.stop_words)

    @property
    def stop_words(self) -> str:
        """Which words of English texts are left out."""
        return self.baselines.stop_words if self.baselines else STOP_WORDS[0]

    @property
    def seed(self) -> int:
        """The seed of what is drawn to measure."""
        return self.evaluate.seed if self.evaluate else 0

    @property
    def depth(self) -> int:
        """How many hits of each system are looked at."""
        return self.evaluate.k if self.evaluate else 20

    @property
    def most_queries(self) -> int:
        """How many queries of a split are measured at most."""
        return self.evaluate.queries if self.evaluate else MOST_QUERIES

    @property
    def query_settings(self) -> dict[str, Json]:
        """How many queries are measured at most, as plain data for a fingerprint; empty where it is as usual."""
        return {"queries": self.most_queries} if self.most_queries != MOST_QUERIES else {}

    def measures(self, usual: Sequence[Measure]) -> tuple[Measure, ...]:
        """Return the usual measures of a report, then those that [evaluate] and [gate] name, each once."""
        named = (*(self.evaluate.measures if self.evaluate else ()), *((self.gate.measure,) if self.gate else ()))
        return tuple(dict.fromkeys((*usual, *(Measure.parse(name) for name in named if name))))

    def gate_measure(self, first: Measure) -> Measure:
        """Return the measure that gates are judged by; ``first`` is that of a report whose gates name none."""
        return Measure.parse(self.gate.measure) if self.gate and self.gate.measure else first

    def tables(self) -> dict[str, Json]:
        """Return the configuration as the tables of a TOML file; what is not set is left out."""
        sections = {name: getattr(self, name) for name in SECTIONS} | dict(self.own)
        return {name: _plain(table_of(section)) for name, section in sections.items() if section is not None}


def _plain(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return value
