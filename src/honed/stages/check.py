"""The stage "check": the audit, and what the shape of the data compiles to."""

from collections.abc import Callable, Mapping
from pathlib import Path

from honed.artifacts.data import AUDIT, CheckArtifact, ImportArtifact, ScriptAudit
from honed.config.config import Config
from honed.core.json import Json
from honed.core.stage import Stage, Work
from honed.core.writing import write_json
from honed.data import task
from honed.encode.base_models import local_folder
from honed.encode.wordpieces import unknown_text
from honed.shapes.own_queries import query_settings, read_own_queries, with_own_queries
from honed.shapes.registry import shape_of
from honed.shapes.scripts import audit_scripts, sampled_texts, with_scripts
from honed.shapes.shape import Source


def _settings(config: Config, root: Path) -> dict[str, Json]:
    return {
        "shape": config.data.shape,
        "has_ids": "id" in config.data.columns,
        "has_splits": "split" in config.data.columns,
        "quarantine": config.data.on_bad_row == "quarantine",
        "declared": bool(config.data.labels),
        "weak": False,
        "slice_by": list(config.data.slice_by),
        "split": config.split.settings(),
        "base": config.model.base,
        **({"max_length": config.model.max_length} if config.model.max_length else {}),  # of texts that are cut
        **shape_of(config).settings(config, root),
        **query_settings(config, root),
    }


def _run(work: Work[Config]) -> dict[str, Json]:
    """Compile the records by their shape, and write the audit, examples, judged tasks and names."""
    imported, shape = work.inputs.need(ImportArtifact), shape_of(work.config)
    own = read_own_queries(work.config, work.root, work.folder)
    source = Source(
        config=work.config,
        root=work.root,
        imported=imported,
        folder=work.folder,
        unknown=_unknown_to(work.config),
        own_queries=own is not None,
    )
    compiled = shape.compile(source)
    if own is not None:
        compiled = with_own_queries(compiled, own, shape.directions(work.config)[0].name)
    if compiled.examples is not None:
        task.save_examples(work.folder / task.EXAMPLES, compiled.examples)
    if compiled.entities is not None:
        task.save_names(work.folder, compiled.entities, compiled.names)
    for judged, split in compiled.tasks:
        task.save_task(work.folder, judged, split)
    audit = with_scripts(compiled.audit, _scripts(work.config, imported))
    write_json(work.folder / AUDIT, {"import": imported.accounting(), **audit})
    findings = audit["findings"]
    assert isinstance(findings, Mapping)
    return {"findings": {code: finding["count"] for code, finding in findings.items() if isinstance(finding, Mapping)}}


def _unknown_to(config: Config) -> Callable[[str], bool] | None:
    """Return a test for texts that the base model's tokenizer knows nothing of, where the model is on disk."""
    folder = local_folder(config.model.base)
    return unknown_text(folder) if folder else None


def _scripts(config: Config, imported: ImportArtifact) -> ScriptAudit | None:
    """Return how the base model's tokenizer reads the letters of the texts, where the model is on disk."""
    folder, shape = local_folder(config.model.base), shape_of(config)
    if folder is None:
        return None
    texts = sampled_texts(shape.texts(imported.records(), config), imported.accepted)
    return audit_scripts(config.model.base, folder, texts)


STAGE: Stage[Config] = Stage(
    name="check",
    artifact=CheckArtifact,
    needs=(ImportArtifact,),
    wanted=lambda _: True,
    settings=_settings,
    run=_run,
)
