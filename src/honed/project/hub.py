"""``honed export --to hf``: the trained model as a sentence-transformers folder, ready for the Hub."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from honed.artifacts.index import IndexArtifact
from honed.artifacts.models import TrainArtifact
from honed.core.errors import ConfigError
from honed.core.json import Json
from honed.core.writing import new_folder
from honed.project.facts import project_facts
from honed.project.model_card import model_card
from honed.project.workspace import Workspace


def export_hub(project: Workspace, target: Path) -> Path:
    """Write the model with prompts and a model card; `ConfigError` where the target exists."""
    index = project.runner.latest(IndexArtifact)
    if target.exists():
        raise ConfigError("E_OUT", f"{target}: exists; name a new folder")
    spec = index.spec()
    ours = shutil.ignore_patterns("honed_spec.json", "README.md", ".*")
    with new_folder(target) as folder:
        shutil.copytree(index.model_folder(), folder, ignore=ours, dirs_exist_ok=True)
        settings = folder / "config_sentence_transformers.json"
        content = json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
        content["prompts"] = {"query": spec.query_prompt, "document": spec.document_prompt}
        content["similarity_fn_name"] = "cosine"
        settings.write_text(json.dumps(content, indent=2), encoding="utf-8")
        card = model_card(project_facts(project), _training(project), spec)
        (folder / "README.md").write_text(card, encoding="utf-8")
    return target


def _training(project: Workspace) -> dict[str, Json] | None:
    """Return the settings of the training, with the objective that it came to."""
    if project.config.train is None:
        return None
    history = project.runner.latest(TrainArtifact).history()
    settings: dict[str, Json] = asdict(project.config.train)
    return {**settings, "objective": history.objective or project.config.train.objective}
