"""Artifacts of measuring: baselines' runs, the estimate before training, the report with the scores behind it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from honed.artifacts.report import Report
from honed.core.artifacts import Artifact
from honed.core.errors import ConfigError
from honed.core.json import Json
from honed.core.records import Run
from honed.evaluate.measures import Scores
from honed.evaluate.prompts import PromptTrial
from honed.evaluate.runs import load_runs
from honed.evaluate.score import GROUPS, SCORES

R = TypeVar("R", bound=Report)
RUNS, HEADROOM, REPORT, REPORT_PAGE = "runs", "headroom.json", "report.json", "report.html"
PROMPTS = "prompts.json"


class BaselinesArtifact(Artifact):
    """The runs of the systems that nothing was trained for."""

    def runs(self, direction: str) -> list[Run]:
        """Return the runs on the test queries of a direction."""
        return load_runs(self.folder / RUNS / direction)

    def base_spec(self) -> Json:
        """Return the specification of the base model (pooling, prompts, dimensions), as plain data."""
        return self.manifest.facts["base"]

    def prompt_trial(self) -> PromptTrial | None:
        """Return what other prompts score on dev; None where none were tried."""
        return self.read(PROMPTS, PromptTrial) if self.has(PROMPTS) else None


class HeadroomArtifact(Artifact):
    """The estimate of the gain by fine-tuning, made before training."""

    def estimate(self) -> dict[str, Json]:
        """Return the estimate as plain data."""
        return self.read(HEADROOM, dict[str, Json])


class ReportPart(Artifact):
    """An artifact that has a part of the report for itself."""

    def report_part(self) -> tuple[str, msgspec.Struct]:
        """Return the name of the part, and the part."""
        raise NotImplementedError


class EvaluateArtifact(Artifact):
    """The report, as data and as a page, and the scores of every system on every query."""

    @property
    def page(self) -> Path:
        """The report as one HTML file."""
        return self.path(REPORT_PAGE)

    def report(self, kind: type[R]) -> R:
        """Return the report as a type of report."""
        return self.read(REPORT, kind)

    def report_json(self) -> dict[str, Json]:
        """Return the report as plain data."""
        return self.read(REPORT, dict[str, Json])

    def scores(self) -> tuple[Mapping[str, Mapping[str, Scores]], np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
        """Return the scores ``(n_queries,)`` by system and measure, and the groups ``(n_queries,)`` of the queries.

        Raises `ConfigError` where the shape of the data keeps none.
        """
        if not self.has(SCORES):
            raise ConfigError("E_COMPARE", f"{self.folder}: no scores for each query")
        systems: dict[str, dict[str, Scores]] = {}
        with np.load(self.path(SCORES), allow_pickle=False) as stored:
            for name in stored.files:
                if name != GROUPS:
                    system, measure = name.rsplit("/", 1)
                    systems.setdefault(system, {})[measure] = stored[name]
            return systems, stored[GROUPS]
