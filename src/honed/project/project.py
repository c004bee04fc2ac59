"""A project in Python: a folder with a honed.toml, and the same verbs as the command line."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from honed.artifacts.data import CheckArtifact
from honed.artifacts.evaluation import EvaluateArtifact
from honed.artifacts.report import Report
from honed.core.artifacts import Artifact
from honed.core.errors import ConfigError, GateError
from honed.core.filters import Filter
from honed.core.json import JsonObject
from honed.data.endpoint import hypothetical_passage, open_endpoint
from honed.evaluate.results import GateResult
from honed.pipeline.runner import Plan
from honed.project.explain import PairExplainer
from honed.project.rerank import reranked_hits
from honed.project.workspace import Workspace
from honed.search.hits import Hits
from honed.shapes.registry import shape_of


class Project(Workspace):
    """A folder with a honed.toml.

    >>> Project("my-folder").run()["evaluate"]  # doctest: +SKIP
    """

    _explainer: PairExplainer | None = None

    def plan(self, *, start: str | None = None, until: str | None = None) -> list[Plan]:
        """Return what a run would do."""
        return self.runner.plan(start=start, until=until)

    def run(self, *, start: str | None = None, until: str | None = None) -> dict[str, Artifact]:
        """Run every stage that does not stand; returns the artifact of each.

        Raises `GateError` after everything is written when a gate of the report failed.
        """
        artifacts = self.runner.run(start=start, until=until)
        self.forget_models()
        self._explainer = None
        if "evaluate" in artifacts:
            refuse_failed(self.report().gates)
        return artifacts

    def report(self) -> Report:
        """Return the report of the last run."""
        made = self.runner.latest(EvaluateArtifact)
        return read_report(made, self)

    def audit(self) -> JsonObject:
        """Return the audit of the last run, as plain data."""
        audit = self.runner.latest(CheckArtifact).audit()
        assert isinstance(audit, Mapping)
        return audit

    def search(
        self,
        texts: str | Sequence[str],
        k: int = 10,
        *,
        direction: str = "alias-to-label",
        where: Filter | None = None,
        rerank: bool = False,
    ) -> Hits | list[Hits]:
        """Search with one text (returns its hits) or with several (returns a list of hits for each).

        ``where`` is a filter on the fields of entities, see `honed.core.filters`.
        ``rerank`` lets the project's cross-encoder judge the first hits: beside the hybrid's own scores where there is
        one, alone where not; scores stay cosines.
        """
        if isinstance(texts, str):
            return self.search_many([texts], k, direction=direction, where=where, rerank=rerank)[0]
        return self.search_many(texts, k, direction=direction, where=where, rerank=rerank)

    def search_many(
        self,
        texts: Sequence[str],
        k: int = 10,
        *,
        direction: str = "alias-to-label",
        where: Filter | None = None,
        rerank: bool = False,
    ) -> list[Hits]:
        """Return the hits of each text; see `search`."""
        if not rerank:
            return self.searcher().search_many(texts, k, direction=direction, where=where)
        if self.config.hybrid is not None and self.config.cross_encoder is not None:
            answers = self.searcher().answer_many(texts, k, direction=direction, where=where, rerank=True)
            return [list(answer.hits) for answer in answers]
        if self.config.cross_encoder is None:
            raise ConfigError("E_NO_RERANKER", "nothing to rerank with: honed.toml has no section [cross_encoder]")
        if direction != "alias-to-label":
            raise ConfigError("E_OPTION", "the cross-encoder was trained from alias to label; rerank in that direction")
        wide = max(k, self.config.cross_encoder.depth)
        found = self.searcher().search_many(texts, wide, direction=direction, where=where)
        return [hits[:k] for hits in reranked_hits(texts, found, self.reranker())]

    def hypothetical(self, texts: Sequence[str]) -> tuple[list[str], str]:
        """Return for each query a passage that would answer it, and what that took of the [endpoint] (HyDE)."""
        endpoint = open_endpoint(self.config.endpoint, self.root / self.config.paths.output)
        return [hypothetical_passage(endpoint, text) for text in texts], str(endpoint.spent)

    def explain(self, first: str, second: str, *, model: str = "") -> dict[str, Any]:
        """Return what each word adds to the likeness of two texts, for every model of the last run or for one.

        Plain data: ``models``, each with ``name``, ``cosine``, ``texts`` (words, contributions, attention, check) and
        ``pairs`` ``(n_words_a, n_words_b)``.
        """
        if self._explainer is None:
            self._explainer = PairExplainer.of(self)
        return self._explainer.explain(first, second, only=model)

    @staticmethod
    def explanation_page(found: Mapping[str, Any]) -> str:
        """Return what `explain` found as one HTML file that needs nothing else."""
        from honed.explain.explanation import ExplanationSet
        from honed.explain.page import static_page

        return static_page(msgspec.convert(found, ExplanationSet))

    @staticmethod
    def explanation_picture(found: Mapping[str, Any]) -> bytes:
        """Return what `explain` found as a PNG."""
        from honed.explain.explanation import ExplanationSet
        from honed.explain.picture import draw_png

        return draw_png(msgspec.convert(found, ExplanationSet))


def read_report(made: EvaluateArtifact, project: Workspace) -> Report:
    """Return a report as the type that the shape of the project's data gives it."""
    return shape_of(project.config).read_report(made)


def refuse_failed(gates: Sequence[GateResult]) -> None:
    """Raise `GateError` naming the gates that failed."""
    failed = [gate for gate in gates if not gate.passed]
    if failed:
        shown = "; ".join(f"{gate.name}: {gate.rule}, got {gate.value:.4f} (low {gate.low})" for gate in failed)
        raise GateError("E_GATE", f"{len(failed)} of {len(gates)} gates failed: {shown}")
