"""Lab 03: what a step at 32,768 slots would cost. TODO 9.

Nothing here is measured, and nothing has to be typed: the numbers come from your costs.py and from your fits.
"""

from collections.abc import Sequence

import costs

from courselib.minigpt import Config

SLOTS = 32_768  # held once the step is done: its own token is the last of them


def large_model(c: Config, size: int) -> dict[str, float]:
    """One decode step of one sequence, with a cache: whole numbers, and the memory of the cache once more in GiB."""
    # TODO 9: T and S of that step, and your functions.
    return {"flops": 0, "weight_bytes": 0, "kv_bytes_read": 0, "cache_bytes": 0, "cache_gib": 0.0}


def seconds(
    c: Config, cache: bool, x: Sequence[int], medians_ns: Sequence[float], exponent: float, prefactor_ns: float
) -> dict[str, float]:
    """MiniGPT's step that ends with 32,768 tokens, with a cache or without, extrapolated in two ways.

    by_fit: along your fitted line. by_flops: the median of the longest step that was measured (x are the lengths,
    medians_ns their medians), times its growth in FLOPs from there to 32,768.
    """
    # TODO 9: which T and S has a step that ends with n tokens, with a cache, and without?
    return {"by_fit": 0.0, "by_flops": 0.0}
