"""A project's folder as the helpers of `honed.project` see it: configuration, artifacts of the last run, a searcher."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from honed.artifacts.data import Audit, CheckArtifact
from honed.artifacts.evaluation import EvaluateArtifact
from honed.artifacts.index import HybridArtifact, IndexArtifact
from honed.artifacts.models import CrossEncoderArtifact
from honed.artifacts.report import Report
from honed.config.config import FILE, Config
from honed.core.artifacts import Artifact
from honed.core.errors import GateError
from honed.core.json import Json, JsonObject
from honed.core.protocols import Encoder, PairScorer, Vectors
from honed.encode.joined import AsymmetricEncoder
from honed.evaluate.results import GateResult
from honed.pipeline.honed_toml import config_of, read_tables, with_overrides
from honed.pipeline.runner import Listener, Plan, Runner
from honed.search.searcher import Searcher
from honed.shapes.own_queries import own_query_lines
from honed.shapes.registry import shape_of
from honed.stages.searching import open_searcher

log = logging.getLogger("honed.project")


class Workspace:
    """A folder with a honed.toml, and what the last run left in it."""

    def __init__(
        self, folder: str | Path, *, overrides: Mapping[str, Json] | None = None, listener: Listener | None = None
    ) -> None:
        """Read ``folder/honed.toml`` (or the file itself); ``overrides`` maps "section.key" to a value."""
        path = Path(folder)
        file = path if path.is_file() else path / FILE
        self._open(with_overrides(read_tables(file), overrides or {}), file, listener)

    def _open(self, settings: JsonObject, file: Path, listener: Listener | None) -> None:
        """Take settings, the tables of a honed.toml that lies, or would lie, at ``file``."""
        self.settings, self.file = settings, file
        self.runner = Runner(with_local_bases(config_of(settings, file.name), file.parent), file.parent, listener)
        self._searcher: Searcher | None = None
        self._reranker: PairScorer | None = None

    def changed(self, overrides: Mapping[str, Json], listener: Listener | None = None) -> Self:
        """Return the same workspace with other settings, see `honed.pipeline.honed_toml.with_overrides`."""
        other = type(self).__new__(type(self))
        other._open(with_overrides(self.settings, overrides), self.file, listener or self.runner.tell)
        return other

    @property
    def config(self) -> Config:
        """What honed.toml says; a base model that it leaves open is the one that was chosen last."""
        return self.runner.config

    @property
    def root(self) -> Path:
        """The folder of honed.toml."""
        return self.file.parent

    @property
    def title(self) -> str:
        """What the project is called: as ``[evaluate]`` says, or like its folder."""
        return (self.config.evaluate.title if self.config.evaluate else "") or self.root.resolve().name

    def plan(self, *, start: str | None = None, until: str | None = None) -> list[Plan]:
        """Return what `run` would do with each stage."""
        return self.runner.plan(start=start, until=until)

    def run(self, *, start: str | None = None, until: str | None = None) -> dict[str, Artifact]:
        """Run every stage without a finished artifact, and all from ``start`` on anew; returns the artifacts by stage.

        Raises `honed.core.errors.GateError` after everything is written when a gate of the report failed.
        """
        artifacts = self.runner.run(start=start, until=until)
        self.forget_models()
        if "evaluate" in artifacts:
            refuse_failed(self.report().gates)
        return artifacts

    def report(self) -> Report:
        """Return the report of the last run, as the type that the shape of the data gives it."""
        return shape_of(self.config).read_report(self.runner.latest(EvaluateArtifact))

    def audit(self) -> Audit:
        """Return the audit of the last run."""
        data = self.runner.latest(CheckArtifact).audit()
        return Audit.of(data, [*shape_of(self.config).describe_audit(data), *own_query_lines(data)])

    def searcher(self) -> Searcher:
        """Return a searcher over the index of the last run that ended, loaded once.

        A newer run that did not end changes nothing, and a warning tells of it.
        """
        if self._searcher is None:
            index = self.runner.latest(IndexArtifact)
            hybrid = self.runner.find_latest(HybridArtifact) if self.config.hybrid else None
            for line in self._unfinished(hybrid):
                log.warning(line)
            self._searcher = open_searcher(index, hybrid, _encoder_of(index))
            if self._searcher.may_rerank and self.config.cross_encoder:
                self._searcher.reranker = LazyScorer(self.reranker)
        return self._searcher

    def _unfinished(self, hybrid: HybridArtifact | None) -> list[str]:
        """Return what is to be told of a run that did not end, and of a hybrid that is not there yet."""
        lines = []
        if stages := self.runner.unfinished.stages():
            lines.append(
                f"a newer run has not ended (it is, or broke off, in the stage {stages[-1]}): answers come from what "
                "stood before it; once it is killed,  honed run  goes on with it"
            )
        if self.config.hybrid and hybrid is None:
            lines.append("there is no hybrid yet: answers go by meaning alone until  honed run  has made it")
        return lines

    def reranker(self) -> PairScorer:
        """Return the cross-encoder of the last run, loaded once."""
        if self._reranker is None:
            self._reranker = self.runner.latest(CrossEncoderArtifact).scorer().load()
        return self._reranker

    def forget_models(self) -> None:
        """Load models anew when they are needed next: a run may have made others."""
        self._searcher = self._reranker = None


def _encoder_of(index: IndexArtifact) -> Encoder:
    """Return the encoder of an index, with that of documents where it is another, which is loaded when it is needed."""
    encoder, documents = index.encoder().load(), index.document_models()
    return encoder if documents is None else AsymmetricEncoder(encoder, documents.load)


def refuse_failed(gates: Sequence[GateResult]) -> None:
    """Raise `honed.core.errors.GateError` that names the gates that were not met, if any."""
    failed = [gate for gate in gates if not gate.passed]
    if failed:
        shown = "; ".join(f"{gate.name}: {gate.rule}, got {gate.value:.4f} (low {gate.low})" for gate in failed)
        raise GateError("E_GATE", f"{len(failed)} of {len(gates)} gates failed: {shown}")


class LazyScorer:
    """A cross-encoder that is loaded when it is first asked."""

    def __init__(self, load: Callable[[], PairScorer]) -> None:
        self._load = load

    def score(self, pairs: Sequence[tuple[str, str]]) -> Vectors:
        """Return the scores of pairs ``(n_pairs,)``."""
        return self._load().score(pairs)


def with_local_bases(config: Config, root: Path) -> Config:
    """Return a configuration whose relative model folders are read from where honed.toml lies."""

    def local(name: str) -> str:
        return str(root / name) if name and (root / name).is_dir() and not Path(name).is_absolute() else name

    bases = tuple(local(name) for name in config.model.bases)
    config = replace(config, model=replace(config.model, base=local(config.model.base), bases=bases))
    if config.cross_encoder:
        config = replace(config, cross_encoder=replace(config.cross_encoder, base=local(config.cross_encoder.base)))
    if config.distil:
        teachers = tuple(map(local, config.distil.teachers))
        config = replace(config, distil=replace(config.distil, student=local(config.distil.student), teachers=teachers))
    return config
