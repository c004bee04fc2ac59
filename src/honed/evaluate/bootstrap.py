"""Intervals and paired tests that respect groups: queries of one entity are drawn together.

Cluster bootstrap, percentile interval (Efron & Tibshirani 1993, ch. 13); paired randomisation test by group
(Smucker, Allan, Carterette 2007).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from honed.evaluate.results import Interval

Floats = npt.NDArray[np.float64]


class Bootstrap:
    """Resamples groups of queries; one instance gives every system the same draws, so differences are paired."""

    def __init__(self, groups: Sequence[str], *, draws: int = 1000, level: float = 0.95, seed: int = 0) -> None:
        names = {name: index for index, name in enumerate(dict.fromkeys(groups))}
        self.group = np.array([names[name] for name in groups], dtype=np.int64)
        self.sizes = np.bincount(self.group, minlength=len(names)).astype(np.float64)
        self.draws, self.level, self.seed = draws, level, seed

    def _sums(self, values: Floats) -> Floats:
        """Return the sums by group of ``(n_queries, n_columns)`` values."""
        sums = np.zeros((len(self.sizes), values.shape[1]))
        np.add.at(sums, self.group, values)
        return sums

    def intervals(self, values: Floats) -> list[Interval]:
        """Return mean and interval of each column of ``(n_queries, n_columns)`` scores."""
        if not len(self.group):
            return [Interval(mean=0.0, low=0.0, high=0.0)] * values.shape[1]
        sums, n_groups = self._sums(values), len(self.sizes)
        random = np.random.default_rng(self.seed)
        means = np.empty((self.draws, values.shape[1]))
        for draw in range(self.draws):
            times = np.bincount(random.integers(0, n_groups, n_groups), minlength=n_groups)
            means[draw] = times @ sums / (times @ self.sizes)
        tail = (1 - self.level) / 2
        low, high = np.quantile(means, [tail, 1 - tail], axis=0)
        whole = values.mean(axis=0)
        return [Interval(mean=float(m), low=float(a), high=float(b)) for m, a, b in zip(whole, low, high, strict=True)]

    def over_seeds(self, values: Floats) -> Interval:
        """Return mean and interval of ``(n_seeds, n_queries)`` scores, for the luck of seeds and that of queries.

        The variances of the seeds' means and of the groups (by bootstrap) are added; the interval is Student's, with
        Satterthwaite's degrees of freedom, since a few seeds say little about their spread.
        """
        from scipy.stats import t

        mean, n_seeds = float(values.mean()), len(values)
        sums, n_groups = self._sums(values.mean(axis=0)[:, None])[:, 0], len(self.sizes)
        random = np.random.default_rng(self.seed)
        means = np.empty(self.draws)
        for draw in range(self.draws):
            times = np.bincount(random.integers(0, n_groups, n_groups), minlength=n_groups)
            means[draw] = times @ sums / (times @ self.sizes)
        of_seeds = float(values.mean(axis=1).var(ddof=1)) / n_seeds if n_seeds > 1 else 0.0
        of_queries = float(means.var(ddof=1))
        freedom = (of_seeds + of_queries) ** 2 * (n_seeds - 1) / of_seeds**2 if of_seeds else 1e9
        half = float(t.ppf((1 + self.level) / 2, freedom)) * (of_seeds + of_queries) ** 0.5
        return Interval(mean=mean, low=mean - half, high=mean + half)

    def p_value(self, differences: Floats, *, flips: int = 5000) -> float:
        """Return the two-sided p of "no difference" for paired differences ``(n_queries,)``."""
        sums = self._sums(differences[:, None])[:, 0]
        observed = abs(sums.sum())
        random = np.random.default_rng(self.seed)
        as_large = 0
        for start in range(0, flips, 500):
            signs = random.integers(0, 2, (min(500, flips - start), len(sums)), dtype=np.int8) * 2 - 1
            as_large += int((np.abs(signs @ sums) >= observed - 1e-12).sum())
        return (as_large + 1) / (flips + 1)
