"""Lab 03: what a step at 32,768 slots would cost."""

from collections.abc import Sequence

import costs

from courselib.minigpt import Config

SLOTS = 32_768  # held once the step is done: its own token is the last of them


def large_model(c: Config, size: int) -> dict[str, float]:
    """One decode step of one sequence, with a cache."""
    T, S = 1, SLOTS - 1
    held = costs.cache_bytes(c, 1, SLOTS, size)
    return {
        "flops": costs.flops(c, 1, T, S),
        "weight_bytes": costs.weight_bytes(c, size),
        "kv_bytes_read": costs.kv_bytes_read(c, 1, T, S, size),
        "cache_bytes": held,
        "cache_gib": held / 2**30,
    }


def seconds(
    c: Config, cache: bool, x: Sequence[int], medians_ns: Sequence[float], exponent: float, prefactor_ns: float
) -> dict[str, float]:
    """MiniGPT's step at that length, in two ways: along the fitted line, and as the FLOPs grow from the longest step
    that was measured."""
    longest = max(x)
    measured = medians_ns[list(x).index(longest)]
    return {
        "by_fit": prefactor_ns * SLOTS**exponent / 1e9,
        "by_flops": measured * work(c, cache, SLOTS) / work(c, cache, longest) / 1e9,
    }


def work(c: Config, cache: bool, n: int) -> int:
    """FLOPs of the step that ends with n tokens."""
    return costs.flops(c, 1, 1, n - 1) if cache else costs.flops(c, 1, n, 0)
