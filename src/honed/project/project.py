"""The Python face of a project folder: the same verbs as the command line."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from honed.config.sections import FILE, Config
from honed.core.artifacts import Artifact
from honed.core.errors import ConfigError, GateError
from honed.core.filters import Filter
from honed.core.optional import require
from honed.core.text import fold
from honed.data.endpoint import hypothetical_passage
from honed.pipeline.runner import Listener, Plan, Runner
from honed.project.endpoint import open_endpoint
from honed.search.hits import Hits
from honed.search.searcher import Searcher
from honed.stages.all import read_report
from honed.stages.searching import open_searcher


class Project:
    """A folder with a honed.toml.

    >>> Project("my-folder").run()["evaluate"]  # doctest: +SKIP
    """

    def __init__(
        self, folder: str | Path, *, overrides: Mapping[str, Any] | None = None, listener: Listener | None = None
    ) -> None:
        """Read ``folder/honed.toml`` (or the file itself); ``overrides`` maps "section.key" to a value."""
        path = Path(folder)
        self.file = path if path.is_file() else path / FILE
        self.config = _with_local_base(Config.read(self.file, overrides), self.file.parent)
        self.runner = Runner(self.config, self.file.parent, listener)
        self._searcher: Searcher | None = None
        self._scorer: Any = None
        self._desk: Any = None

    def plan(self, *, start: str | None = None, until: str | None = None) -> list[Plan]:
        """Return what a run would do."""
        return self.runner.plan(start=start, until=until)

    def run(self, *, start: str | None = None, until: str | None = None) -> dict[str, Artifact]:
        """Run every stage that does not stand; returns the artifact of each.

        Raises `GateError` after everything is written when a gate of the report failed.
        """
        artifacts = self.runner.run(start=start, until=until)
        self._searcher = self._scorer = self._desk = None
        if "evaluate" in artifacts:
            refuse_failed(read_report(artifacts["evaluate"])["gates"])
        return artifacts

    def report(self) -> dict[str, Any]:
        """Return the report of the last run."""
        return read_report(self.runner.latest("evaluate"))

    def audit(self) -> dict[str, Any]:
        """Return the audit of the last run."""
        return dict(self.runner.latest("check").read_json("audit.json"))

    def searcher(self) -> Searcher:
        """Return a searcher over the index of the last run, loaded once."""
        if self._searcher is None:
            fused = self.runner.latest("hybrid").folder if self.config.hybrid else None
            self._searcher = open_searcher(self.runner.latest("index").folder, fused)
            if self._searcher.may_rerank and self.config.cross_encoder:
                self._searcher.reranker = _Later(self._reranker)
        return self._searcher

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
            return [list(each.hits) for each in answers]
        if self.config.cross_encoder is None:
            raise ConfigError("E_NO_RERANKER", "nothing to rerank with: honed.toml has no section [cross_encoder]")
        if direction != "alias-to-label":
            raise ConfigError("E_OPTION", "the cross-encoder was trained from alias to label; rerank in that direction")
        wide = max(k, self.config.cross_encoder.depth)
        found = self.searcher().search_many(texts, wide, direction=direction, where=where)
        return [each[:k] for each in reranked_hits(texts, found, self._reranker())]

    def hypothetical(self, texts: Sequence[str]) -> tuple[list[str], str]:
        """Return for each query a passage that would answer it, and what that took of the [endpoint] (HyDE)."""
        endpoint = open_endpoint(self.config, self.file.parent)
        return [hypothetical_passage(endpoint, text) for text in texts], str(endpoint.spent)

    def explain(self, first: str, second: str, *, model: str = "") -> dict[str, Any]:
        """Return what each word adds to the likeness of two texts, for every model of the last run or for one.

        Plain data: ``models``, each with ``name``, ``cosine``, ``texts`` (words, contributions, attention, check) and
        ``pairs`` ``(n_words_a, n_words_b)``.
        """
        if self._desk is None:
            from honed.shapes.relations.explain import Desk

            require("torch encoder")
            self._desk = Desk(self)
        found: dict[str, Any] = self._desk.explain(first, second, only=model)
        return found

    @staticmethod
    def explanation_page(found: Mapping[str, Any]) -> str:
        """Return what `explain` found as one HTML file that needs nothing else."""
        from honed.explain.page import static_page

        return static_page(found)

    @staticmethod
    def explanation_picture(found: Mapping[str, Any]) -> bytes:
        """Return what `explain` found as a PNG."""
        from honed.explain.picture import draw

        return draw(found)

    def _reranker(self) -> Any:
        if self._scorer is None:
            require("torch encoder")
            from honed.encode.cross_encoder import PairScorer

            self._scorer = PairScorer.load_folder(self.runner.latest("cross_encoder").folder / "model")
        return self._scorer


class _Later:
    """A cross-encoder that is loaded when it is first asked."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load

    def score(self, pairs: Sequence[tuple[str, str]]) -> Any:
        """Return the scores of pairs."""
        return self._load().score(pairs)


def reranked_hits(texts: Sequence[str], found: Sequence[Hits], scorer: Any) -> list[Hits]:
    """Return hits in the order of a cross-encoder; those that bear the text as a known name stay first."""
    scores = iter(scorer.score([(text, hit.text) for text, hits in zip(texts, found, strict=True) for hit in hits]))
    ordered = []
    for text, hits in zip(texts, found, strict=True):
        keyed = [((fold(hit.matched) != fold(text), -float(next(scores)), hit.rank), hit) for hit in hits]
        keyed.sort(key=lambda each: each[0])
        ordered.append([replace(hit, rank=rank) for rank, (_, hit) in enumerate(keyed, 1)])
    return ordered


def _with_local_base(config: Config, root: Path) -> Config:
    """Read relative model folders from where honed.toml lies."""
    for section, key in (("model", "base"), ("cross_encoder", "base"), ("distil", "student")):
        settings: Any = getattr(config, section)
        name = getattr(settings, key, "")
        if name and (root / name).is_dir() and not Path(name).is_absolute():
            changed: dict[str, Any] = {section: replace(settings, **{key: str(root / name)})}
            config = replace(config, **changed)
    return config


def refuse_failed(gates: Sequence[Mapping[str, Any]]) -> None:
    """Raise `GateError` naming the gates that failed."""
    failed = [gate for gate in gates if not gate["passed"]]
    if failed:
        shown = "; ".join(
            f"{gate['name']}: {gate['rule']}, got {gate['value']:.4f} (low {gate['low']})" for gate in failed
        )
        raise GateError("E_GATE", f"{len(failed)} of {len(gates)} gates failed: {shown}")
