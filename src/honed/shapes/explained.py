"""The models of a run, ready to be taken apart word by word."""

from pathlib import Path
from typing import TYPE_CHECKING

from honed.config.config import Config
from honed.encode.models import BaseModel, TrainedModel
from honed.explain.config import ExplainConfig
from honed.shapes.systems import BASE, TUNED

if TYPE_CHECKING:
    from honed.explain.attribution import Explainer


def explain_section(config: Config) -> ExplainConfig:
    """Return the section [explain], or its defaults."""
    return config.section(ExplainConfig) or ExplainConfig()


def explained_models(config: Config, trained: Path | None) -> dict[str, "Explainer"]:
    """Return an explainer of the base model, and of the fine-tuned one in a folder where there is one.

    All in fp32: what is explained are differences, and bf16 would drown the small ones.
    """
    from honed.explain.attribution import Explainer

    settings = explain_section(config)
    sources: dict[str, BaseModel | TrainedModel] = {BASE: BaseModel(config=config.model, precision="fp32")}
    if trained is not None:
        sources[TUNED] = TrainedModel(folder=trained, precision="fp32")
    return {
        name: Explainer(source.load(), steps=settings.steps, reference=settings.reference)
        for name, source in sources.items()
    }
