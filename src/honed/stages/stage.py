"""What a stage is, and what several stages share."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from honed.config.sections import Config
from honed.core.artifacts import Artifact
from honed.core.errors import DataError
from honed.core.optional import require
from honed.core.protocols import Encoder
from honed.core.records import JudgedTask, Run
from honed.data import task
from honed.data.split import unit_interval
from honed.evaluate.measures import Measure
from honed.evaluate.score import TaskScores
from honed.stages.systems import encoder_run

Inputs = Mapping[str, Artifact]
DEV_CHARS = 2_500_000  # of the corpus that dev is searched in while training; a hundred seconds a look at most
SHIPPED = ("distil", "train")  # the stages whose model is shipped, the first that ran


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What a stage is given: the configuration, the folder of honed.toml, its inputs, and where to write."""

    config: Config
    root: Path
    inputs: Inputs
    folder: Path

    @property
    def logs(self) -> Path:
        """Where TensorBoard's files of the stage go: beside the artifacts, since they carry times and host names."""
        return self.root / self.config.paths.output / "logs" / f"{self.folder.parent.name}-{self.folder.stem}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One step of the pipeline. ``key`` returns all that shapes its result besides its inputs.

    A stage that ``resumes`` finds what a crash left in its folder; the others start from an empty one.
    """

    name: str
    version: int
    needs: tuple[str, ...]
    wanted: Callable[[Config], bool]
    key: Callable[[Config, Path], Mapping[str, Any]]
    run: Callable[[Work], Mapping[str, Any]]
    resumes: bool = False


def model_key(config: Config, root: Path) -> Mapping[str, Any]:
    """Return what identifies the base model and how it is used."""
    from honed.encode.base_models import resolve

    return {**asdict(config.model), "weights": resolve(config.model.base).weights}


def judged(work: Work, direction: str, split: str) -> JudgedTask:
    """Load a judged task; `DataError` when its split is empty."""
    found = task.load_task(work.inputs["check"].folder, direction, split)
    if not found.queries:
        raise DataError("E_SPLIT_EMPTY", f"the {split} split is empty: too few entities, or set [split] test and dev")
    return found


def base_encoder(config: Config, *, precision: str | None = None) -> Any:
    """Load the base model."""
    require("torch encoder")
    from honed.encode.torch_encoder import TorchEncoder

    return TorchEncoder.load(replace(config.model, precision=precision) if precision else config.model)


def trained_encoder(config: Config, inputs: Inputs, *, stages: tuple[str, ...] = SHIPPED) -> Any:
    """Return the encoder of the first of some stages that ran, or the base model where none did."""
    made = next((inputs[name] for name in stages if name in inputs), None)
    if made is None:
        return base_encoder(config)
    require("torch encoder")
    from honed.encode.torch_encoder import TorchEncoder

    return TorchEncoder.load_folder(made.folder / "model", precision=config.model.precision)


def stored_vectors(folder: Path) -> dict[str, Any]:
    """Return the document vector of each string of an index artifact."""
    texts = [row["text"] for row in task.read_rows(folder / "texts.parquet")]
    return dict(zip(texts, np.load(folder / "vectors.npy", allow_pickle=False), strict=True))


def dev_task(work: Work) -> JudgedTask:
    """Return dev as it is looked at while training: of a long corpus the right documents and a fixed draw of others."""
    return narrowed(judged(work, task.FORWARD, "dev"), DEV_CHARS)


def narrowed(judged: JudgedTask, most: int) -> JudgedTask:
    """Return a task whose corpus has about ``most`` characters: every judged document, then others as drawn."""
    if sum(len(document.encoder_text()) for document in judged.corpus) <= most:
        return judged
    asked = {doc_id for grades in judged.qrels.grades.values() for doc_id in grades}
    asked = {document.doc_id for document in judged.corpus if judged.judged_as(document.doc_id) in asked}
    order = sorted(judged.corpus, key=lambda each: (each.doc_id not in asked, unit_interval(0, each.doc_id)))
    kept, left = set(), most
    for document in order:
        left -= len(document.encoder_text())
        if left < 0 and document.doc_id not in asked:
            break
        kept.add(document.doc_id)
    return replace(judged, corpus=[each for each in judged.corpus if each.doc_id in kept])


def dev_score(encoder: Encoder, dev: JudgedTask) -> float:
    """Return MRR@10 on dev: finer than R@1, so that small gains are seen."""
    return mean_reciprocal_rank(encoder_run("dev", encoder, dev, 10), dev)


def mean_reciprocal_rank(run: Run, judged: JudgedTask) -> float:
    """Return MRR@10 of a run."""
    measure = Measure("MRR", 10)
    scores = TaskScores(judged, [measure])
    scores.add(run)
    return float(scores.scores[run.name][measure].mean())


def sampled(judged: JudgedTask, size: int, seed: int) -> JudgedTask:
    """Return a task with a fixed sample of its queries; the corpus stays whole."""
    order = sorted(judged.queries, key=lambda query: unit_interval(seed, query.query_id))[:size]
    kept = frozenset(query.query_id for query in order)
    queries = [query for query in judged.queries if query.query_id in kept]
    slices = {name: ids & kept for name, ids in judged.slices.items() if ids & kept}
    return replace(judged, queries=queries, slices=slices)
