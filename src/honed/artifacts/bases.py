"""The base model that was chosen among several."""

from honed.core.artifacts import Artifact
from honed.evaluate.bases import BaseChoice

CHOICE = "choice.json"


class BasesArtifact(Artifact):
    """The choice among base models, with what was found of each."""

    def choice(self) -> BaseChoice:
        """Return the choice."""
        return self.read(CHOICE, BaseChoice)
