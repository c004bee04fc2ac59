"""Simulated searches, of which is known how likely a hit is looked at, and how attractive it is."""

from dataclasses import dataclass

import numpy as np

from honed.feedback.examination import Floats
from honed.feedback.ubi_log import Impressions


@dataclass(frozen=True, kw_only=True)
class World:
    """Queries with as many hits as positions.

    ``attractiveness`` is ``(n_queries, n_hits)``, ``examination`` of the positions ``(n_hits,)``.
    """

    attractiveness: Floats
    examination: Floats

    @classmethod
    def drawn(cls, generator: np.random.Generator, n_queries: int, examination: Floats) -> "World":
        shape = (n_queries, len(examination))
        return cls(attractiveness=generator.beta(1.0, 3.0, shape), examination=examination)

    def impressions(self, generator: np.random.Generator, n_searches: int, noise: float) -> Impressions:
        """Return what is shown and clicked in ``n_searches`` of each query.

        The order of hits has nothing to do with their attractiveness; it is one order a query, and with ``noise`` hits
        change places from search to search.
        """
        n_queries, n_hits = self.attractiveness.shape
        usual = generator.permuted(np.tile(np.arange(n_hits, dtype=float), (n_queries, 1)), axis=1)
        searches = np.repeat(np.arange(n_queries), n_searches)
        order = np.argsort(usual[searches] + noise * generator.standard_normal((len(searches), n_hits)), axis=1)
        chance = np.take_along_axis(self.attractiveness[searches], order, axis=1) * self.examination
        return Impressions(
            texts=[f"query {number}" for number in range(n_queries)],
            doc_ids=[f"d{number}" for number in range(n_queries * n_hits)],
            query=np.repeat(searches, n_hits),
            doc=(searches[:, None] * n_hits + order).ravel(),
            position=np.tile(np.arange(n_hits), len(searches)),
            is_clicked=(generator.random(chance.shape) < chance).ravel(),
            n_searches=len(searches),
            left_out={},
        )


def concordance(scores: Floats, truth: Floats) -> float:
    """Return the share of pairs of hits of a query ``(n_queries, n_hits)`` that scores put in the true order."""
    above = np.sign(scores[:, :, None] - scores[:, None, :]) * np.sign(truth[:, :, None] - truth[:, None, :])
    return float((above > 0).sum() / (truth[:, :, None] != truth[:, None, :]).sum())
