"""The interval of a share that was counted."""

from math import sqrt


def wilson(right: int, n: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of ``right`` of ``n`` (Wilson 1927); (0, 1) when nothing was counted."""
    if not n:
        return 0.0, 1.0
    z, share = 1.959964, right / n
    centre, half = share + z * z / (2 * n), z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (centre - half) / (1 + z * z / n)), min(1.0, (centre + half) / (1 + z * z / n))
