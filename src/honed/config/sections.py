"""honed.toml: one section a stage, in the order of the stages."""

import codecs
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from honed.config.server import ServerSection
from honed.core.errors import ConfigError, did_you_mean
from honed.core.sections import limits, read_section
from honed.data.endpoint import EndpointConfig
from honed.data.importer import SHAPES, SPLITS, ImportConfig
from honed.data.split import SplitConfig
from honed.data.tables import TableFormat
from honed.encode.config import EncoderConfig
from honed.explain.config import ExplainConfig
from honed.index.settings import IndexSettings
from honed.label.config import LabelConfig
from honed.shapes.judgments.judgments import JudgmentsConfig
from honed.shapes.judgments.synthetic import WRITTEN
from honed.shapes.relations.sentences import OFFSETS
from honed.shapes.relations.triplets import TripletConfig
from honed.train.config import TAUGHT, CrossEncoderConfig, DistilConfig, MineConfig, TrainConfig

FILE = "honed.toml"
PROTOCOLS = ("held-out", "catalogue")
# fmt: off
LANGUAGES = (
    "arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "finnish", "french", "german", "greek",
    "hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian", "nepali", "norwegian", "porter", "portuguese",
    "romanian", "russian", "serbian", "spanish", "swedish", "tamil", "turkish", "yiddish",
)
# fmt: on


@dataclass(frozen=True, kw_only=True, slots=True)
class PathsSection:
    """Where data comes from and results go, relative to honed.toml."""

    input: tuple[str, ...]
    output: str = "work"


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSection:
    """What the files hold; ``columns`` maps a role of the shape to a column; ``licence`` is noted in bundles.

    ``offsets`` of entities count "token"s or "character"s; "auto" means tokens where a text is a list of them.
    """

    shape: str = field(metadata=limits(one_of=tuple(SHAPES)))
    columns: Mapping[str, str]
    encoding: str = "utf-8"
    delimiter: str = ""
    quoting: str = field(default="csv", metadata=limits(one_of=("csv", "none")))
    on_bad_row: str = field(default="stop", metadata=limits(one_of=("stop", "quarantine")))
    max_text_chars: int = field(default=100_000, metadata=limits(low=1, high=10_000_000))
    labels: tuple[str, ...] = ()
    empty_label: str = field(default="reject", metadata=limits(one_of=("reject", "abstain")))
    offsets: str = field(default="auto", metadata=limits(one_of=OFFSETS))
    sha256: Mapping[str, str] = field(default_factory=dict)
    slice_by: tuple[str, ...] = ()
    licence: str = ""

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
            ),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitSection:
    """How queries are divided; see `honed.data.split.SplitConfig`."""

    protocol: str = field(default="held-out", metadata=limits(one_of=PROTOCOLS))
    test: float = field(default=0.2, metadata=limits(low=0.01, high=0.9))
    dev: float = field(default=0.1, metadata=limits(low=0.01, high=0.9))
    sample: int = field(default=2000, metadata=limits(low=1))
    seed: int = field(default=0, metadata=limits(low=0))

    def split_config(self) -> SplitConfig:
        """Return what the splitter needs of it."""
        return SplitConfig(**{each.name: getattr(self, each.name) for each in fields(self)})


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselinesSection:
    """The lexical systems to measure against; ``language`` is a Snowball stemmer's."""

    language: str = field(default="english", metadata=limits(one_of=LANGUAGES))


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

    def settings(self) -> dict[str, Any]:
        """Return what is set, as plain data."""
        own = {"names": self.names, "group_by": self.group_by}
        return {**self.without_defaults(), **{name: value for name, value in own.items() if value}}


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswersSection:
    """The section ``[answers]``: whether a first hit is right, and sets of candidates that hold the truth.

    ``absent`` is the share of queries that are expected to have no answer, ``risk`` the chance of a wrong answer that
    is taken, and ``coverage`` how often the right document shall be in the candidate set.
    """

    absent: float = field(default=0.1, metadata=limits(low=0.001, high=0.999))
    risk: float = field(default=0.1, metadata=limits(low=0.001, high=0.999))
    coverage: float = field(default=0.9, metadata=limits(low=0.01, high=0.999))


@dataclass(frozen=True, kw_only=True, slots=True)
class HybridSection:
    """The section ``[hybrid]``: words, letters, initials, known names and meaning fused, with weights learned on dev.

    ``fields`` of an entity or a document (a website, a brand) are searched beside its text, each with weights of its
    own that are learned; ``weights`` say how many times more a field counts in the text that words are searched in.
    ``penalty`` keeps the learned weights small.
    """

    fields: tuple[str, ...] = ()
    weights: Mapping[str, int] = field(default_factory=dict)
    penalty: float = field(default=10.0, metadata=limits(low=1e-6, high=1e6))

    def check(self, file: str) -> None:
        """Raise `ConfigError` for a weight that is no small whole number."""
        for name, weight in self.weights.items():
            if not 1 <= weight <= 20:
                raise ConfigError("E_CONFIG_RANGE", f"{file}: hybrid.weights.{name}: {weight} is not in 1..20")


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrievalSection:
    """The section ``[retrieval]``: labelled texts that others search, and the same label is right.

    ``input`` are tables with a text, a label and a split in ``columns``; without any it is the project's own labelled
    texts. ``corpus`` and ``queries`` name the splits. ``exclude_duplicates`` leaves queries out whose text stands in
    the corpus. ``neighbours`` vote for the label of a query (k-NN). ``annoy_trees`` > 0 puts an Annoy index beside
    exact search, which looks at ``annoy_search_k`` nodes (0: trees times hits, Annoy's own choice).
    """

    input: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    corpus: tuple[str, ...] = ("train",)
    queries: tuple[str, ...] = ("test",)
    exclude_duplicates: bool = False
    neighbours: int = field(default=10, metadata=limits(low=1, high=1000))
    annoy_trees: int = field(default=0, metadata=limits(low=0, high=10_000))
    annoy_search_k: int = field(default=0, metadata=limits(low=0))

    def check(self, file: str) -> None:
        """Raise `ConfigError` for unknown splits and for a table whose columns are not named."""
        for name in ("corpus", "queries"):
            for each in getattr(self, name):
                if each not in SPLITS:
                    raise ConfigError(
                        "E_CONFIG_RANGE", f"{file}: retrieval.{name}: {each} is not one of {', '.join(SPLITS)}"
                    )
        if set(self.corpus) & set(self.queries):
            raise ConfigError("E_CONFIG_RANGE", f"{file}: retrieval.queries: a split cannot be searched with itself")
        for role in ("text", "label", "split") if self.input else ():
            if role not in self.columns:
                raise ConfigError("E_CONFIG_MISSING", f"{file}: retrieval.columns.{role}: which column is it?")


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
    """What is measured and reported; ``latency`` adds what a query takes, which no two runs agree on."""

    k: int = field(default=20, metadata=limits(low=10, high=10_000))
    seed: int = field(default=0, metadata=limits(low=0))
    title: str = ""
    latency: bool = False
    published: tuple[Published, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class GateSection:
    """The rules a result must meet, each on the bound of an interval; shares, so that 0.05 is 5 points of R@1.

    ``gain_over_base`` and ``gain_over_best_baseline`` are of the fine-tuned model. With a student: ``student_gap`` is
    the most that it may lose against its teacher, ``agreement`` the least share of first hits that the two share.
    ``slice_gap`` is the most that a slice of at least 100 queries may lose: the student against its teacher, otherwise
    the fine-tuned model against the base model. Of what is shipped: ``size_mb`` of weights in int8, ``latency_ms`` of
    one query from text to hits, and ``index_recall``, the share of the exact 10 nearest that the index finds.
    """

    gain_over_base: float = field(default=0.0, metadata=limits(low=-1, high=1))
    gain_over_best_baseline: float | None = field(default=None, metadata=limits())
    student_gap: float = field(default=0.05, metadata=limits(low=0, high=1))
    agreement: float = field(default=0.75, metadata=limits(low=0, high=1))
    slice_gap: float | None = field(default=None, metadata=limits(low=0, high=1))
    size_mb: float | None = field(default=None, metadata=limits(low=0))
    latency_ms: float | None = field(default=None, metadata=limits(low=0))
    index_recall: float | None = field(default=None, metadata=limits(low=0, high=1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """The whole of honed.toml; a stage whose section is absent is left out."""

    paths: PathsSection
    data: DataSection
    model: EncoderConfig = field(default_factory=EncoderConfig)
    judgments: JudgmentsConfig | None = None
    split: SplitSection = field(default_factory=SplitSection)
    label: LabelConfig | None = None
    triplets: TripletConfig | None = None
    baselines: BaselinesSection | None = None
    mine: MineConfig | None = None
    cross_encoder: CrossEncoderConfig | None = None
    train: TrainConfig | None = None
    distil: DistilConfig | None = None
    index: IndexSection | None = None
    hybrid: HybridSection | None = None
    answers: AnswersSection | None = None
    endpoint: EndpointConfig | None = None
    retrieval: RetrievalSection | None = None
    explain: ExplainConfig | None = None
    evaluate: EvaluateSection | None = None
    gate: GateSection | None = None
    server: ServerSection | None = None

    @property
    def writes_queries(self) -> bool:
        """Tell whether a language model shall write queries for documents."""
        return bool(self.judgments and self.judgments.synthetic and WRITTEN in self.judgments.synthetic_kinds)

    @property
    def wants_scores(self) -> bool:
        """Tell whether examples shall carry a cross-encoder's scores."""
        return bool(_wants_scores({"mine": self.mine, "train": self.train, "distil": self.distil}))

    @classmethod
    def read(cls, path: Path, overrides: Mapping[str, Any] | None = None) -> Self:
        """Read a configuration file; ``overrides`` maps ``section.key`` to a value.

        Raises `ConfigError` that names file, key, what was given and what is allowed.
        """
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            raise ConfigError("E_NO_CONFIG", f"{path}: no such file; make one with  honed init YOUR-DATA.csv") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError("E_CONFIG_TOML", f"{path}: not TOML: {error}") from error
        for name, value in (overrides or {}).items():
            section, key = name.split(".")
            if isinstance(tables.setdefault(section, {}), dict):
                tables[section][key] = value
        return cls.from_tables(tables, path.name)

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any], file: str) -> Self:
        """Read a configuration from plain tables; ``file`` is named in errors."""
        for name in tables:
            if name not in SECTIONS:
                raise ConfigError(
                    "E_CONFIG_KEY",
                    f"{file}: {name}: unknown section{did_you_mean(name, SECTIONS)} (known: {', '.join(SECTIONS)})",
                )
        sections = {name: read_section(SECTIONS[name], table, name, file) for name, table in tables.items()}
        _check_together(sections, file)
        for name in ("paths", "data"):
            if name not in sections:
                raise ConfigError(
                    "E_CONFIG_MISSING", f"{file}: the section [{name}] is missing; see  honed init --help"
                )
        found = cls(**sections)
        if found.writes_queries and found.endpoint is None:
            raise ConfigError("E_CONFIG_MISSING", f'{file}: judgments.synthetic_kinds "endpoint" needs [endpoint]')
        return found


SECTIONS: Mapping[str, type[Any]] = {
    "paths": PathsSection,
    "data": DataSection,
    "model": EncoderConfig,
    "judgments": JudgmentsConfig,
    "split": SplitSection,
    "label": LabelConfig,
    "triplets": TripletConfig,
    "baselines": BaselinesSection,
    "mine": MineConfig,
    "cross_encoder": CrossEncoderConfig,
    "train": TrainConfig,
    "distil": DistilConfig,
    "index": IndexSection,
    "hybrid": HybridSection,
    "answers": AnswersSection,
    "endpoint": EndpointConfig,
    "retrieval": RetrievalSection,
    "explain": ExplainConfig,
    "evaluate": EvaluateSection,
    "gate": GateSection,
    "server": ServerSection,
}


def _check_together(sections: Mapping[str, Any], file: str) -> None:
    """Check what one key alone cannot show."""
    if paths := sections.get("paths"):
        output = Path(paths.output).as_posix()
        if output in {Path(each).as_posix() for each in paths.input} or output in ("", "."):
            raise ConfigError(
                "E_CONFIG_PATH",
                f"{file}: paths.output: {paths.output} is also paths.input; results need a folder of their own",
            )
    for name in ("server", "mine", "distil", "triplets", "retrieval", "judgments", "hybrid", "endpoint"):
        if section := sections.get(name):
            section.check(file)
    if (split := sections.get("split")) and split.test + split.dev >= 1:
        raise ConfigError("E_CONFIG_RANGE", f"{file}: split.test + split.dev must stay below 1")
    if model := sections.get("model"):
        _check_max_length(model, file)
    if data := sections.get("data"):
        _check_data(data, file)
    for name, shapes in _SHAPES_OF.items():
        if data and name in sections and data.shape not in shapes:
            listed = " or ".join(f'"{shape}"' for shape in shapes)
            raise ConfigError("E_CONFIG_SHAPE", f"{file}: [{name}] goes with data.shape = {listed}")
    if index := sections.get("index"):
        index.check(f"{file}: index")
        if index.backend == "annoy":
            raise ConfigError("E_CONFIG_RANGE", f"{file}: index.backend: annoy is there to be measured, by honed tune")
    if index and index.names == "all" and "hybrid" in sections:
        raise ConfigError("E_CONFIG_RANGE", f'{file}: [hybrid] ranks labels: index.names must be "labels"')
    if data and data.shape == "judgments" and "judgments" not in sections:
        raise ConfigError("E_CONFIG_MISSING", f"{file}: the section [judgments] is missing: queries and qrels")
    if data and data.shape in ("labels", "relations"):
        _check_grouped(sections, file)
        return
    gate = sections.get("gate")
    for wanted, needs in {
        "mine": ("train",),
        "distil": ("train",),
        "cross_encoder": ("mine",),
        "hybrid": ("index",),
        "answers": ("hybrid",),
        "gate": ("train", "evaluate", "index"),
        "evaluate": ("index",) if "train" in sections else ("baselines",),
    }.items():
        missing = [name for name in needs if name not in sections]
        if wanted in sections and missing:
            raise ConfigError("E_CONFIG_MISSING", f"{file}: [{wanted}] needs the section [{missing[0]}]")
    if gate and "baselines" not in sections:
        raise ConfigError(
            "E_CONFIG_MISSING", f"{file}: [gate] needs the section [baselines], which holds the base model"
        )
    distil = sections.get("distil")
    if distil and distil.method == "pairs" and "mine" not in sections:
        raise ConfigError("E_CONFIG_MISSING", f"{file}: distil.method pairs needs the section [mine]")
    wants = _wants_scores(sections)
    if wants and "cross_encoder" not in sections:
        raise ConfigError("E_CONFIG_MISSING", f"{file}: {wants} needs the section [cross_encoder]")


def _check_data(data: DataSection, file: str) -> None:
    if len(data.delimiter) > 1:
        raise ConfigError("E_CONFIG_RANGE", f"{file}: data.delimiter: {data.delimiter!r} is not one character")
    try:
        codecs.lookup(data.encoding)
    except LookupError:
        raise ConfigError("E_CONFIG_RANGE", f"{file}: data.encoding: unknown encoding {data.encoding!r}") from None


# section -> the shapes that it goes with, where not with all
_SHAPES_OF = {
    "label": ("labels",),
    "triplets": ("relations",),
    "retrieval": ("labels", "relations"),
    "explain": ("relations",),
    "judgments": ("judgments",),
    **dict.fromkeys(("mine", "cross_encoder", "distil", "hybrid", "answers"), ("aliases", "judgments")),
}


def _check_grouped(sections: Mapping[str, Any], file: str) -> None:
    """Check the sections of shapes whose texts stand in classes: pairs have stages of their own."""
    shape = sections["data"].shape
    reads = shape == "labels" and {"label", "train", "index"} & set(sections)
    if reads and not {"title", "text"} & set(sections["data"].columns):
        raise ConfigError(
            "E_CONFIG_MISSING", f"{file}: labelling needs data.columns.text or title: what is to be read?"
        )
    needs = {"evaluate": ("index",), "gate": ("evaluate", "train"), "retrieval": ("evaluate",)}
    if shape == "relations":
        needs["train"] = ("triplets",)
    for wanted, needed in needs.items():
        missing = [name for name in needed if name not in sections]
        if wanted in sections and missing:
            raise ConfigError("E_CONFIG_MISSING", f"{file}: [{wanted}] needs the section [{missing[0]}]")
    gate = sections.get("gate")
    for name in ("slice_gap", "size_mb", "latency_ms", "index_recall"):
        if gate and getattr(gate, name) is not None:
            raise ConfigError("E_CONFIG_SHAPE", f'{file}: gate.{name} does not go with data.shape = "{shape}"')


def _wants_scores(sections: Mapping[str, Any]) -> str:
    """Return the setting that needs scores of a cross-encoder, or an empty string."""
    mine, train, distil = (sections.get(name) for name in ("mine", "train", "distil"))
    if mine and mine.rescore:
        return "mine.rescore"
    if train and train.objective in TAUGHT:
        return f"train.objective {train.objective}"
    return f"distil.method {distil.method}" if distil and distil.method in TAUGHT else ""


def _check_max_length(model: EncoderConfig, file: str) -> None:
    """Compare with the model's positions where the model is on disk; the encoder checks again when it loads."""
    import json

    from honed.encode.base_models import local_folder

    folder = local_folder(model.base)
    if not model.max_length or folder is None or not (folder / "config.json").is_file():
        return
    limit = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("max_position_embeddings")
    if limit and model.max_length > limit:
        raise ConfigError(
            "E_CONFIG_RANGE", f"{file}: model.max_length: {model.max_length} is over the model's {limit} positions"
        )
