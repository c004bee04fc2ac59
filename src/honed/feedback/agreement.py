"""How far two judges agree beyond chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from honed.feedback.examination import Floats
from honed.feedback.ubi_log import Ints


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """Weighted kappa of ``n`` pairs with a 95 % interval, and the share of pairs with the same grade."""

    kappa: float
    low: float
    high: float
    same: float
    n: int


def weighted_kappa(ours: Ints, theirs: Ints, times: Floats | None = None) -> float:
    """Return kappa with quadratic weights (Cohen 1968) of grades ``(n,)``, each pair counted ``times``.

    1 is full agreement, 0 that of chance; NaN where both judges know one and the same grade alone.
    """
    counted = np.ones(len(ours)) if times is None else times
    total = counted.sum()
    observed = (counted * (ours - theirs) ** 2).sum() / total
    means, squares = ([(counted * grades**power).sum() / total for grades in (ours, theirs)] for power in (1, 2))
    by_chance = squares[0] + squares[1] - 2 * means[0] * means[1]
    return float(1 - observed / by_chance) if by_chance > 0 else float("nan")


def measure_agreement(
    ours: Ints, theirs: Ints, groups: Sequence[str], *, draws: int = 1000, seed: int = 0
) -> Agreement:
    """Return the agreement on grades ``(n,)``; pairs of one group (a query) are drawn together (cluster bootstrap)."""
    _, group = np.unique(np.array(groups), return_inverse=True)
    n_groups = int(group.max()) + 1
    generator = np.random.default_rng(seed)
    kappas = np.empty(draws)
    for draw in range(draws):
        times = np.bincount(generator.integers(0, n_groups, n_groups), minlength=n_groups)
        kappas[draw] = weighted_kappa(ours, theirs, times[group].astype(np.float64))
    kept = kappas[np.isfinite(kappas)]
    low, high = np.quantile(kept, [0.025, 0.975]) if len(kept) else (float("nan"), float("nan"))
    return Agreement(
        kappa=weighted_kappa(ours, theirs),
        low=float(low),
        high=float(high),
        same=float((ours == theirs).mean()),
        n=len(ours),
    )
