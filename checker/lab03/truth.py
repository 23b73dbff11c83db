"""What is right, worked out here: whole numbers, from the shapes alone.

The convention is the brief's. Two operations count, the products with a weight matrix and attention, a multiplication
and an addition being two. tests/checker/lab03 holds these formulas against courselib.counting, which counts real calls.
"""

from __future__ import annotations

from collections.abc import Iterator

from checker.lab03.schemas import Costs, Generation, Shape, Step

QUANTITIES = ("flops", "weight_bytes", "kv_bytes_read", "kv_bytes_written", "cache_bytes")


def matrices(c: Shape) -> int:
    """Numbers in all the matrices that a pass multiplies with. A tied head is multiplied with too."""
    qkv = c.dim * (c.n_heads + 2 * c.n_kv_heads) * c.head_dim
    out = c.n_heads * c.head_dim * c.dim
    mlp = (3 if c.activation == "swiglu" else 2) * c.dim * c.ff_dim
    return c.n_layers * (qkv + out + mlp) + c.dim * c.vocab_size


def flops(c: Shape, B: int, T: int, S: int) -> int:
    """A row of each token goes through the layers, and one row of each sequence, its last, through the head."""
    head = c.dim * c.vocab_size
    seen = sum((S + 1, S + T)) * T // 2  # the first token sees S + 1 slots, the last S + T
    return 2 * B * (T * (matrices(c) - head) + head) + 4 * B * c.n_layers * c.n_heads * c.head_dim * seen


def slot_bytes(c: Shape, size: int) -> int:
    """K and V, of all layers and K/V heads, of one token."""
    return 2 * c.n_layers * c.n_kv_heads * c.head_dim * size


def of_pass(c: Shape, B: int, T: int, S: int, size: int) -> Costs:
    slot = B * slot_bytes(c, size)
    return Costs(
        flops=flops(c, B, T, S),
        weight_bytes=matrices(c) * size,
        kv_bytes_read=(S + T) * slot,
        kv_bytes_written=T * slot,
        cache_bytes=(S + T) * slot,
    )


def of_step(case: Step) -> Costs:
    return of_pass(case.shape, case.B, case.T, case.S, case.size)


def of_generation(case: Generation) -> Costs:
    """The sums of its passes, and what is held at the end: the last new token has not been through the model."""
    passes = [of_pass(case.shape, case.B, T, S, case.size) for T, S in passes_of(case.prompt, case.new, case.cache)]
    total = {name: sum(getattr(each, name) for each in passes) for name in QUANTITIES}
    if case.cache:
        return Costs(**{**total, "cache_bytes": passes[-1].cache_bytes})
    return Costs(**{**total, "kv_bytes_written": 0, "cache_bytes": 0})


def passes_of(prompt: int, new: int, cache: bool) -> Iterator[tuple[int, int]]:
    """T and S of each pass of a generation."""
    for i in range(new):
        if not cache:
            yield prompt + i, 0
        else:
            yield (1, prompt + i - 1) if i else (prompt, 0)
