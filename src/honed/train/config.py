"""The sections ``[train]``, ``[mine]``, ``[cross_encoder]`` and ``[distil]`` of honed.toml; free of heavy imports."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from honed.core.errors import ConfigError
from honed.core.json import Json
from honed.core.sections import limits, named
from honed.encode.config import PRECISIONS, VOCABULARIES
from honed.train.losses import AUTO, ObjectiveNames

TRACKERS = ("auto", "tensorboard", "mlflow", "wandb", "none")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """The section ``[train]``.

    ``objective`` is one of `honed.train.losses.ObjectiveNames`; "auto" chooses by what the examples hold. ``head``
    "skip" freezes the encoder and trains a linear map with a skip connection over its vectors: seconds, once every text
    is encoded, which is done once.
    ``margin`` (difference of cosines) and ``negatives`` ("semi-hard", "hard", "own": those of the example alone) belong
    to "triplet". ``scale`` is 1 / temperature of the softmax over in-batch negatives; ``symmetric`` adds the loss
    document -> query; ``warmup`` is the share of steps over which the learning rate rises; ``mini_batch_size`` > 0
    caches gradients, so that a batch of any size fits (0 does so above 512); ``evaluations`` is how often the model is
    scored on dev. ``hard_negatives`` is how many of an example's mined negatives are in a batch with it. ``matryoshka``
    lists shorter widths at which the vectors must work too; ``lora`` > 0 trains adapters of that rank instead of the
    weights. ``processes`` > 1 trains on several processes (or GPUs) whose batches count as one; ``track`` "auto" writes
    TensorBoard logs beside the model.

    ``start`` (in honed.toml: ``from``) is what is trained on instead of the base model: the folder of an artifact of
    training, one of the checkpoints that it kept, or a model. ``keep_checkpoints`` keeps the model of every look at
    dev, in ``kept/step-N`` beside the best.
    """

    def __post_init__(self) -> None:
        if self.head != "none" and self.start:
            raise ConfigError("E_CONFIG_RANGE", 'train.from: a head stands on the base model; leave head = "skip" out')
        if self.keep_checkpoints and (self.lora or self.head != "none"):
            raise ConfigError(
                "E_CONFIG_RANGE", "train.keep_checkpoints: not with lora or a head, which are merged last"
            )

    objective: str = field(default=AUTO, metadata=limits(one_of=ObjectiveNames()))
    head: str = field(default="none", metadata=limits(one_of=("none", "skip")))
    margin: float = field(default=0.2, metadata=limits(low=0, high=2))
    negatives: str = field(default="semi-hard", metadata=limits(one_of=("semi-hard", "hard", "own")))
    epochs: float = field(default=4.0, metadata=limits(low=0.001, high=1000))
    batch_size: int = field(default=128, metadata=limits(low=2, high=65536))
    learning_rate: float = field(default=2e-4, metadata=limits(low=0))
    warmup: float = field(default=0.1, metadata=limits(low=0, high=1))
    weight_decay: float = field(default=0.01, metadata=limits(low=0, high=1))
    max_grad_norm: float = field(default=1.0, metadata=limits(low=0))
    scale: float = field(default=20.0, metadata=limits(low=0.1, high=1000))
    symmetric: bool = True
    mini_batch_size: int = field(default=0, metadata=limits(low=0))
    dropout: float = field(default=0.0, metadata=limits(low=0, high=0.9))
    evaluations: int = field(default=4, metadata=limits(low=1, high=1000))
    hard_negatives: int = field(default=1, metadata=limits(low=0, high=64))
    matryoshka: tuple[int, ...] = ()
    lora: int = field(default=0, metadata=limits(low=0, high=1024))
    processes: int = field(default=1, metadata=limits(low=1, high=1024))
    track: str = field(default="auto", metadata=limits(one_of=TRACKERS))
    precision: str = field(default="auto", metadata=limits(one_of=PRECISIONS))
    seed: int = field(default=0, metadata=limits(low=0))
    start: str = field(default="", metadata=named("from"))
    keep_checkpoints: bool = False


CANDIDATE_SOURCES = ("encoder", "bm25", "tfidf")


@dataclass(frozen=True, kw_only=True, slots=True)
class MineConfig:
    """The section ``[mine]``: hard negatives for training.

    ``candidates`` are documents near in the encoder's vectors ("encoder"), in words ("bm25") or in character n-grams
    ("tfidf"), or the union of several; ``encoder`` is the base model ("base") or one that was fine-tuned first without
    mined negatives ("tuned"). Of the ``depth`` nearest, up to ``negatives`` are chosen for each anchor, so that the
    estimated share of false negatives among them stays within ``false_negatives``. ``rescore`` scores candidates with
    the cross-encoder.
    """

    candidates: tuple[str, ...] = ("encoder",)
    encoder: str = field(default="tuned", metadata=limits(one_of=("tuned", "base")))
    depth: int = field(default=30, metadata=limits(low=1, high=1000))
    negatives: int = field(default=4, metadata=limits(low=1, high=100))
    false_negatives: float = field(default=0.02, metadata=limits(low=0, high=1))
    rescore: bool = False
    seed: int = field(default=0, metadata=limits(low=0))

    def check(self, file: str) -> None:
        """Raise `ConfigError` for no source of candidates and for one that is not in `CANDIDATE_SOURCES`."""
        unknown = [source for source in self.candidates if source not in CANDIDATE_SOURCES]
        if unknown or not self.candidates:
            shown, known = unknown[0] if unknown else "empty", ", ".join(CANDIDATE_SOURCES)
            raise ConfigError("E_CONFIG_RANGE", f"{file}: mine.candidates: {shown} is not one of {known}")


@dataclass(frozen=True, kw_only=True, slots=True)
class CrossEncoderConfig:
    """The section ``[cross_encoder]``: a model that reads query and document together, for reranking and as a teacher.

    ``base`` is that of ``[model]`` unless named. A batch has ``batch_size`` anchors, each with its positive and
    ``negatives`` mined ones; ``depth`` is how many hits are reranked, in the report and with ``honed search --rerank``.
    """

    base: str = ""
    epochs: float = field(default=2.0, metadata=limits(low=0.001, high=1000))
    batch_size: int = field(default=32, metadata=limits(low=2, high=65536))
    negatives: int = field(default=3, metadata=limits(low=1, high=100))
    learning_rate: float = field(default=1e-4, metadata=limits(low=0))
    max_length: int = field(default=0, metadata=limits(low=0))
    depth: int = field(default=20, metadata=limits(low=2, high=1000))
    evaluations: int = field(default=2, metadata=limits(low=1, high=1000))
    track: str = field(default="auto", metadata=limits(one_of=TRACKERS))
    seed: int = field(default=0, metadata=limits(low=0))

    def schedule(self) -> TrainConfig:
        """Return the settings of the trainer; what is not named here has its default."""
        return TrainConfig(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            evaluations=self.evaluations,
            track=self.track,
            seed=self.seed,
        )


DISTIL_METHODS = ("match", "pairs", "margin-mse", "kl")
CROSS_ENCODER_METHODS = ("margin-mse", "kl")  # learn a cross-encoder's scores
STUDENT_KINDS = ("layers", "narrow", "static")  # made from the teacher's weights; any other name is a base model


# options that came later: left out of fingerprints at these defaults, so that students of before need not be made anew
_LATER: Mapping[str, object] = {"vocabulary": "whole", "documents": "student", "teachers": (), "output": "own"}


@dataclass(frozen=True, kw_only=True, slots=True)
class DistilConfig:
    """The section ``[distil]``: a small student of the fine-tuned model, which is then what is indexed and shipped.

    ``student`` is "layers" (``layers`` of the teacher's, 0: half of them), "narrow" (``dim`` wide), "static" (token
    vectors alone, ``dim`` wide), the name of a base model, or "auto": the best on dev of several that fit into
    ``max_mb`` (MB of weights in int8) and ``max_ms`` (ms for one query; 0: no limit). ``method`` "match" learns the
    teacher's vectors of all names and ``variants`` of each; "pairs" the cosines of pairs and mined negatives;
    "margin-mse" and "kl" the scores of a cross-encoder. ``vocabulary`` "known" leaves the student the pieces that stand
    in known texts, with the single signs of their scripts. ``documents`` says whose vectors of documents are searched:
    with "teacher" the student encodes queries alone. ``teachers`` are models besides the fine-tuned one (base models,
    or folders of models) whose vectors are joined with its own, each with its own prompts. ``output`` "teacher" gives
    the student the width of the fine-tuned model by a linear layer; "own" does so only where it is wider than what it
    learns.
    """

    student: str = "layers"
    layers: int = field(default=0, metadata=limits(low=0, high=1000))
    dim: int = field(default=0, metadata=limits(low=0, high=100_000))
    method: str = field(default="match", metadata=limits(one_of=DISTIL_METHODS))
    variants: int = field(default=2, metadata=limits(low=0, high=100))
    max_mb: float = field(default=0.0, metadata=limits(low=0))
    max_ms: float = field(default=0.0, metadata=limits(low=0))
    epochs: float = field(default=4.0, metadata=limits(low=0.001, high=1000))
    batch_size: int = field(default=128, metadata=limits(low=2, high=65536))
    learning_rate: float = field(default=0.0, metadata=limits(low=0))
    evaluations: int = field(default=4, metadata=limits(low=1, high=1000))
    track: str = field(default="auto", metadata=limits(one_of=TRACKERS))
    seed: int = field(default=0, metadata=limits(low=0))
    vocabulary: str = field(default="whole", metadata=limits(one_of=VOCABULARIES))
    documents: str = field(default="student", metadata=limits(one_of=("student", "teacher")))
    teachers: tuple[str, ...] = ()
    output: str = field(default="own", metadata=limits(one_of=("own", "teacher")))

    def settings(self) -> dict[str, Json]:
        """Return the settings as plain data; options that came later are left out at their defaults."""
        plain: dict[str, Json] = asdict(self)
        return {name: value for name, value in plain.items() if name not in _LATER or value != _LATER[name]}

    def schedule(self, *, objective: str = "auto") -> TrainConfig:
        """Return the settings of the trainer, without weight decay; what is not named here has its default."""
        return TrainConfig(
            objective=objective,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate or (2e-2 if self.student == "static" else 5e-4),
            weight_decay=0.0,
            evaluations=self.evaluations,
            track=self.track,
            seed=self.seed,
        )

    def check(self, file: str) -> None:
        """Raise `ConfigError` for "auto" without a budget and for settings that do not go together."""
        if self.student == "auto" and not (self.max_mb or self.max_ms):
            raise ConfigError(
                "E_CONFIG_MISSING", f'{file}: distil.student = "auto" needs a budget: max_mb (in int8), max_ms or both'
            )
        for key, kinds in {"layers": ("layers", "narrow"), "dim": ("narrow", "static")}.items():
            if getattr(self, key) and self.student not in kinds:
                raise ConfigError(
                    "E_CONFIG_RANGE", f'{file}: distil.{key} does not go with distil.student = "{self.student}"'
                )
        matched = {
            'student = "auto"': self.student == "auto",
            'documents = "teacher"': self.documents == "teacher",
            "teachers": bool(self.teachers),
            'output = "teacher"': self.output == "teacher",
        }
        for setting, used in matched.items():
            if used and self.method != "match":
                raise ConfigError("E_CONFIG_RANGE", f'{file}: distil.{setting} goes with method = "match"')
