"""The stage "index": the vectors of all names by the shipped model or its teacher, and how they are searched."""

from pathlib import Path

import numpy as np

from honed.artifacts.data import VECTORS, CheckArtifact, SearchRecords
from honed.artifacts.index import ENCODER, SETTINGS, TEXTS, IndexArtifact
from honed.artifacts.models import ShippedModel
from honed.config.config import Config
from honed.core.effort import DataFacts, Effort
from honed.core.json import Json
from honed.core.stage import Stage, Work
from honed.core.writing import write_json
from honed.data import task
from honed.encode.models import encoder_source
from honed.shapes.registry import shape_of
from honed.stages.shipped import document_encoder, documents_place, model_place, shipped_model


def _settings(config: Config, root: Path) -> dict[str, Json]:
    return {
        "index": config.index.settings() if config.index else None,
        "model": encoder_source(config.model).identity(),
    }


def _run(work: Work[Config]) -> dict[str, Json]:
    """Encode every distinct name once."""
    records = work.inputs.need(SearchRecords)
    texts = list(dict.fromkeys(name.text for name in records.names()))
    source = shipped_model(work.config, work.inputs)
    vectors = document_encoder(work.config, work.inputs, work.executor.encoder).encode(texts, "document")
    np.save(work.folder / VECTORS, vectors, allow_pickle=False)
    task.write_rows(work.folder / TEXTS, [{"text": text} for text in texts], task.TEXTS)
    records.copy_names(work.folder)
    model: dict[str, Json] = {"base": work.config.model.kept()}
    if trained := work.inputs.find(ShippedModel):
        model = model_place(trained, work.config.model.precision)
    model |= documents_place(work.config, work.inputs)
    spec = work.executor.model(source).spec
    write_json(work.folder / ENCODER, {**model, "spec": spec.as_dict()})
    settings = {**shape_of(work.config).index_settings(work.config)}
    settings |= work.config.index.settings() if work.config.index else {}
    write_json(work.folder / SETTINGS, settings)
    return {"strings": len(texts), "dim": spec.dim}


def _effort(config: Config, facts: DataFacts) -> Effort:
    again = config.train is not None and config.train.head == "none"  # else the base model's vectors are there
    return Effort(encoded=(facts.names,) if again or not config.baselines else (), vectors=facts.names.count)


STAGE: Stage[Config] = Stage(
    name="index",
    artifact=IndexArtifact,
    needs=(CheckArtifact, SearchRecords, ShippedModel),
    wanted=lambda config: config.index is not None,
    settings=_settings,
    run=_run,
    command="Encode the names and build the search index.",
    effort=_effort,
)
