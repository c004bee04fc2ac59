"""Explanations of two texts by the models of a project."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from honed.artifacts.models import TrainArtifact
from honed.core.errors import ConfigError
from honed.core.optional import require
from honed.explain.explanation import ExplanationSet
from honed.project.workspace import Workspace
from honed.shapes.explained import explain_section, explained_models

if TYPE_CHECKING:
    from honed.explain.attribution import Explainer


@dataclass(frozen=True)
class PairExplainer:
    """The models of a project, loaded once, and explanations of any two texts by them."""

    models: "dict[str, Explainer]"
    seed: int

    @classmethod
    def of(cls, project: Workspace) -> Self:
        """Load the base model, and the fine-tuned one where there is one."""
        require("torch encoder")
        trained = project.runner.find_latest(TrainArtifact) if project.config.train else None
        models = explained_models(project.config, trained.model if trained else None)
        return cls(models, explain_section(project.config).seed)

    def explain(self, first: str, second: str, *, only: str = "") -> ExplanationSet:
        """Return why two texts are close, by every model or by one.

        Raises `DataError` for a text without words, `ConfigError` for a model that is not there.
        """
        from honed.explain.pairs import explain

        if only and only not in self.models:
            raise ConfigError("E_OPTION", f"no model {only!r}; there are: {', '.join(self.models)}")
        return ExplanationSet(
            models=[
                explain(explainer, first, second, name=name, seed=self.seed)
                for name, explainer in self.models.items()
                if only in ("", name)
            ]
        )
