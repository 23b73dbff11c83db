"""The counts are those of the arithmetic itself, number by number; what is computed stays what it was."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from courselib import bits
from courselib.counting import Call, Counts, counting
from courselib.generate import generate
from courselib.kernels import current_ops, use_ops
from courselib.kv_cache import KVCache
from courselib.minigpt import Config, MiniGPT
from courselib.seeding import seed_everything


class Tally:
    """A number that only counts what is done to it."""

    done = 0

    def __add__(self, other: object) -> "Tally":
        Tally.done += 1
        return self

    __mul__ = __add__


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    Tally.done = 0


def tallies(*shape: int) -> np.ndarray:
    return np.full(shape, Tally(), dtype=object)


def model(**changes: object) -> MiniGPT:
    seed_everything(3)
    return MiniGPT(Config(**{"vocab_size": 31, "n_layers": 2, "max_slots": 64, **changes})).eval().requires_grad_(False)


@pytest.mark.parametrize(("M", "K", "N"), [(1, 1, 1), (3, 5, 4), (7, 16, 2)])
def test_a_product_counts_what_its_numbers_count(M: int, K: int, N: int) -> None:
    x, w, y = tallies(M, K), tallies(K, N), tallies(M, N)
    for k in range(K):
        y = y + x[:, k : k + 1] * w[k]
    with counting() as counts:
        current_ops().linear(torch.zeros(M, K), torch.zeros(K, N))
    assert counts.calls == [Call("linear", Tally.done, 4 * K * N, 0, 4 * (M * K + M * N))]
    assert counts.flops == 2 * M * N * K


def rows_seen(past: int, first: int, count: int) -> Iterator[range]:
    for t in range(count):
        yield range(first, past + t + 1)


@pytest.mark.parametrize(
    ("past", "first", "count"),
    [
        ([0], [0], [5]),  # a prefill
        ([7], [0], [1]),  # a decode step
        ([4], [0], [3]),  # a chunk on a warm cache
        ([0, 3], [0, 0], [5, 1]),  # right padding
        ([0, 0], [4, 0], [5, 5]),  # left padding: rows before the first token see nothing
        ([2, 0], [4, 0], [2, 0]),  # nothing but padding so far; a sequence that has stopped
    ],
)
def test_attention_counts_what_its_numbers_count(past: list[int], first: list[int], count: list[int]) -> None:
    B, H, H_kv, d_h = len(past), 4, 2, 3
    T, S = max(count), max(p + n for p, n in zip(past, count, strict=True))
    slots: set[tuple[int, int]] = set()
    for b in range(B):
        for seen in rows_seen(past[b], first[b], count[b]):
            slots |= {(b, s) for s in seen}
            for _ in range(H):
                q, k, v, out = tallies(d_h), tallies(len(seen), d_h), tallies(len(seen), d_h), tallies(d_h)
                for j in range(len(seen)):
                    score = Tally()
                    for d in range(d_h):
                        score = score + q[d] * k[j, d]
                    out = out + v[j] * score
    q, kv = torch.zeros(B, H, T, d_h), torch.zeros(B, H_kv, S, d_h)
    with counting() as counts:
        current_ops().attention(q, kv, kv, past, first, count)
    kv_bytes = 2 * H_kv * d_h * 4 * len(slots)
    assert counts.calls == [Call("attention", Tally.done, 0, kv_bytes, 2 * 4 * q.numel())]


def test_a_pass_is_the_sum_of_its_layers_and_its_head() -> None:
    m, ids = model(), torch.arange(6)[None]
    c = m.config
    with counting() as counts:
        m(ids, last_only=True)
    products = sum(w.numel() for block in m.blocks for w in (block.w_qkv, block.w_o, block.w_up, block.w_down))
    head = c.dim * c.vocab_size
    assert len(counts.calls) == 5 * c.n_layers + 1
    assert counts.of("linear").flops == 2 * (6 * products + head)  # the head sees the last token only
    assert counts.of("attention").flops == 4 * c.n_layers * c.dim * (1 + 2 + 3 + 4 + 5 + 6)
    assert counts.weight_bytes == 4 * (products + head)
    assert counts.kv_bytes == 4 * c.n_layers * 6 * 2 * c.n_kv_heads * c.head_dim
    assert counts.bytes == counts.weight_bytes + counts.kv_bytes + counts.activation_bytes
    assert counts.flops == counts.of("linear").flops + counts.of("attention").flops


def test_a_cache_saves_products_and_no_weights() -> None:
    m, n = model(), 9
    with counting() as cached:
        generate([1], n, temperature=0, model=m)
    with counting() as full:
        generate([1], n, temperature=0, model=m, cache=False)
    assert cached.weight_bytes == full.weight_bytes
    assert cached.kv_bytes == full.kv_bytes
    tokens = sum(range(1, n + 1))
    per_token = 2 * sum(w.numel() for b in m.blocks for w in (b.w_qkv, b.w_o, b.w_up, b.w_down))
    assert full.of("linear").flops - cached.of("linear").flops == (tokens - n) * per_token
    assert full.of("attention").flops > cached.of("attention").flops


@pytest.mark.parametrize("name", ["fixed", "fixed-torch", "stock"])
def test_what_is_computed_stays_what_it_was(name: str) -> None:
    m, ids = model(n_layers=1), torch.arange(5)[None]
    with use_ops(name) as ops:
        plain = m(ids, KVCache.for_model(m))
        with counting() as counts:
            assert current_ops().NAME == ops.NAME
            counted = m(ids, KVCache.for_model(m))
        assert current_ops() is ops
    assert bits.equal(plain, counted)
    assert counts.calls


def test_a_block_counts_the_blocks_inside_it_and_nothing_after() -> None:
    x, w = torch.zeros(1, 2), torch.zeros(2, 3)
    with counting() as outer:
        current_ops().linear(x, w)
        with counting() as inner:
            current_ops().linear(x, w)
        with use_ops("stock") as ops:  # takes the counter's place
            ops.linear(x, w)
    current_ops().linear(x, w)
    assert (len(outer.calls), len(inner.calls)) == (2, 1)


def test_an_operation_that_is_not_counted_is_told_apart() -> None:
    with pytest.raises(ValueError, match=r'^"softmax" is not counted: expected "linear" or "attention"$'):
        Counts().of("softmax")
