"""Lab 03: an exponent from measured points. TODO 5 to 7.

After each change: python analyse.py, then check again. Nothing is timed by it, so it takes seconds.
"""

from collections.abc import Sequence

# TODO 7: over which part of each sweep (x from, x to, both included) are the exponents fitted? Three points at least.
# Look at the curves first: is every part of them straight? Say in your README.md why you chose it.
RANGE = {"length": (64, 4096), "batch": (1, 16)}


def median(samples: Sequence[float], warmup: int) -> float:
    """The median of one point's samples, without the first `warmup`; of an even number, the mean of the middle two."""
    # TODO 5: why the median, and not the mean? Look for the slowest sample in your results.json.
    return 0.0


def fit(x: Sequence[float], y: Sequence[float], low: float, high: float) -> tuple[float, float]:
    """(exponent, prefactor) of y = prefactor * x ** exponent, for the points with low <= x <= high.

    Least squares of log y on log x. The points may come in any order, and y may be anything that is above 0.
    """
    # TODO 6: on logarithms a power law is a straight line. What is its slope, and what is its intercept?
    return 0.0, 0.0
