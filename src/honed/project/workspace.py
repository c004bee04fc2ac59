"""A project's folder as the helpers of `honed.project` see it: configuration, artifacts of the last run, a searcher."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from honed.artifacts.index import HybridArtifact, IndexArtifact
from honed.artifacts.models import CrossEncoderArtifact
from honed.config.config import FILE, Config
from honed.core.json import Json
from honed.core.protocols import Vectors
from honed.pipeline.honed_toml import read_config
from honed.pipeline.runner import Listener, Runner
from honed.search.searcher import Searcher
from honed.shapes.systems import PairScorer
from honed.stages.searching import open_searcher


class Workspace:
    """A folder with a honed.toml, and what the last run left in it."""

    def __init__(
        self, folder: str | Path, *, overrides: Mapping[str, Json] | None = None, listener: Listener | None = None
    ) -> None:
        """Read ``folder/honed.toml`` (or the file itself); ``overrides`` maps "section.key" to a value."""
        path = Path(folder)
        self.file = path if path.is_file() else path / FILE
        self.config = with_local_bases(read_config(self.file, overrides), self.file.parent)
        self.runner = Runner(self.config, self.file.parent, listener)
        self._searcher: Searcher | None = None
        self._reranker: PairScorer | None = None

    @property
    def root(self) -> Path:
        """The folder of honed.toml."""
        return self.file.parent

    @property
    def title(self) -> str:
        """What the project is called: as ``[evaluate]`` says, or like its folder."""
        return (self.config.evaluate.title if self.config.evaluate else "") or self.root.resolve().name

    def searcher(self) -> Searcher:
        """Return a searcher over the index of the last run, loaded once."""
        if self._searcher is None:
            index = self.runner.latest(IndexArtifact)
            hybrid = self.runner.latest(HybridArtifact) if self.config.hybrid else None
            self._searcher = open_searcher(index, hybrid, index.encoder().load())
            if self._searcher.may_rerank and self.config.cross_encoder:
                self._searcher.reranker = LazyScorer(self.reranker)
        return self._searcher

    def reranker(self) -> PairScorer:
        """Return the cross-encoder of the last run, loaded once."""
        if self._reranker is None:
            self._reranker = self.runner.latest(CrossEncoderArtifact).scorer().load()
        return self._reranker

    def forget_models(self) -> None:
        """Load models anew when they are needed next: a run may have made others."""
        self._searcher = self._reranker = None


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

    config = replace(config, model=replace(config.model, base=local(config.model.base)))
    if config.cross_encoder:
        config = replace(config, cross_encoder=replace(config.cross_encoder, base=local(config.cross_encoder.base)))
    if config.distil:
        config = replace(config, distil=replace(config.distil, student=local(config.distil.student)))
    return config
