"""Lab 03: an exponent from measured points."""

import math
import statistics
from collections.abc import Sequence

# Over which part of each sweep the exponents are fitted, both ends included. Below 256 tokens a step without a cache is
# partly the cost of calling anything at all; the batches are few, so all of them count.
RANGE = {"length": (256, 4096), "batch": (1, 16)}


def median(samples: Sequence[float], warmup: int) -> float:
    """The median of one point's samples, without the first `warmup`; of an even number, the mean of the middle two."""
    return statistics.median(samples[warmup:])


def fit(x: Sequence[float], y: Sequence[float], low: float, high: float) -> tuple[float, float]:
    """(exponent, prefactor) of y = prefactor * x ** exponent: least squares of log y on log x, for low <= x <= high."""
    logs = [(math.log(a), math.log(b)) for a, b in zip(x, y, strict=True) if low <= a <= high]
    mean_x = math.fsum(u for u, _ in logs) / len(logs)
    mean_y = math.fsum(v for _, v in logs) / len(logs)
    slope = math.fsum((u - mean_x) * (v - mean_y) for u, v in logs) / math.fsum((u - mean_x) ** 2 for u, _ in logs)
    return slope, math.exp(mean_y - slope * mean_x)
