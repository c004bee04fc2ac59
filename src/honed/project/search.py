"""Searching a project: its catalogue, reranked by its cross-encoder where no hybrid weighs that in."""

from collections.abc import Sequence
from dataclasses import dataclass

from honed.core.errors import ConfigError
from honed.core.filters import Filter
from honed.core.records import Answer
from honed.data.endpoint import hypothetical_passage, open_endpoint
from honed.project.rerank import reranked_hits
from honed.project.workspace import Workspace
from honed.search.request import ALIAS_TO_LABEL


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOptions:
    """How a search is made: up to ``k`` hits of what passes ``where`` (see `honed.core.filters`).

    ``rerank`` lets the cross-encoder judge the first hits, within ``budget_ms`` for all queries (0: as it needs).
    ``candidates`` asks for a set of candidates; ``passages`` are texts such as would answer each query (HyDE).
    """

    k: int = 10
    direction: str = ALIAS_TO_LABEL
    where: Filter | None = None
    rerank: bool = False
    budget_ms: float = 0.0
    candidates: bool = False
    passages: Sequence[str] = ()


def answer_queries(project: Workspace, texts: Sequence[str], options: SearchOptions) -> list[Answer]:
    """Return the answer to each text; see `honed.search.searcher.Searcher.answer_many`.

    With ``rerank`` and without a hybrid the hits are in the order of the cross-encoder alone. Raises `ConfigError` for
    reranking without a cross-encoder, or in the other direction.
    """
    searcher = project.searcher()
    if options.rerank and searcher.hybrid is None:
        return _reranked(project, texts, options)
    return searcher.answer_many(
        texts,
        options.k,
        direction=options.direction,
        where=options.where,
        candidates=options.candidates,
        passages=options.passages,
        rerank=options.rerank,
        budget_ms=options.budget_ms,
    )


def _reranked(project: Workspace, texts: Sequence[str], options: SearchOptions) -> list[Answer]:
    if project.config.cross_encoder is None:
        raise ConfigError("E_NO_RERANKER", "nothing to rerank with: honed.toml has no section [cross_encoder]")
    if options.direction != ALIAS_TO_LABEL:
        raise ConfigError("E_OPTION", "the cross-encoder was trained from alias to label; rerank in that direction")
    wide = max(options.k, project.config.cross_encoder.depth)
    hits_of_texts = project.searcher().search_many(texts, wide, direction=options.direction, where=options.where)
    return [Answer(hits=hits[: options.k]) for hits in reranked_hits(texts, hits_of_texts, project.reranker())]


def write_passages(project: Workspace, texts: Sequence[str]) -> tuple[list[str], str]:
    """Return a hypothetical passage for each query (HyDE), and the requests and tokens that the [endpoint] took."""
    endpoint = open_endpoint(project.config.endpoint, project.root / project.config.paths.output)
    return [hypothetical_passage(endpoint, text) for text in texts], str(endpoint.spent)
