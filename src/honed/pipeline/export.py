"""``honed export``: the last run as a bundle."""

import json
from pathlib import Path

import numpy as np

from honed.core.errors import ConfigError
from honed.core.optional import installed_version
from honed.core.records import EncoderSpec
from honed.data import task
from honed.encode.base_models import resolve
from honed.pipeline.project import Project
from honed.pipeline.stages import read_report
from honed.ship.bundle import BundleContent, write_bundle


def export_bundle(project: Project, target: Path) -> Path:
    """Write the index of the last run with its encoder, names and measures as a bundle.

    Raises `ConfigError` when nothing was indexed yet or the target is no place for a bundle.
    """
    index = project.runner.latest("index")
    if target.is_file() or target.resolve() in (Path.cwd(), project.file.parent.resolve()):
        raise ConfigError("E_OUT", f"{target}: name a new folder for the bundle")
    source = index.read_json("encoder.json")
    folder = (index.folder / source["model"]).resolve() if "model" in source else resolve(source["base"]["base"]).folder
    texts = [row["text"] for row in task.read_rows(index.path("texts.parquet"))]
    entities = task.read_rows(index.path("entities.parquet"))
    text_row = {text: row for row, text in enumerate(texts)}
    entity_row = {entity["entity_id"]: row for row, entity in enumerate(entities)}
    names = task.load_names(index.folder)
    content = BundleContent(
        encoder_folder=folder,
        spec=EncoderSpec.from_dict(source["spec"]),
        vectors=np.load(index.path("vectors.npy"), allow_pickle=False),
        texts=texts,
        names=[(text_row[name.text], entity_row[name.entity_id], name.kind) for name in names],
        entities=[(each["entity_id"], each["label"], json.loads(each["fields"])) for each in entities],
        settings=index.read_json("index.json"),
        facts=_facts(project),
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    return write_bundle(target, content)


def _facts(project: Project) -> dict[str, object]:
    """Return what the manifest says of the bundle's origin: fingerprints, versions, measures."""
    fingerprints = {}
    for stage in ("import", "check", "train", "index", "evaluate"):
        try:
            fingerprints[stage] = project.runner.latest(stage).key
        except ConfigError:
            continue
    measures = None
    if "evaluate" in fingerprints:
        report = read_report(project.runner.latest("evaluate"))
        measures = {
            "protocol": report["protocol"],
            "n_queries": report["n_queries"],
            "systems": {each["name"]: each["measures"] for each in report["systems"]},
        }
    return {
        "fingerprints": fingerprints,
        "versions": {name: installed_version(name) for name in ("honed", "numpy", "tokenizers")},
        "measures": measures,
    }
