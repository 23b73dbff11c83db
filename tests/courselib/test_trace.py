"""A trace shows what was computed, and first_divergence finds one flipped bit exactly where it was flipped."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from courselib import bits
from courselib.generate import generate
from courselib.kv_cache import KVCache
from courselib.minigpt import Config, MiniGPT
from courselib.trace import NAMES, Divergence, Trace, first_divergence

L, H, H_KV, D_H, V = 3, 4, 2, 8, 40
PROMPTS = [[1, 2, 3, 4, 5], [6, 7], [8, 9, 10]]
NEW = 4


def model() -> MiniGPT:
    torch.manual_seed(1)
    config = Config(vocab_size=V, n_layers=L, dim=H * D_H, n_heads=H, n_kv_heads=H_KV, ff_dim=48, max_slots=24)
    return MiniGPT(config).eval().requires_grad_(False)


MODEL = model()


class FlippingCache(KVCache):
    """A KV cache with one bug: one bit of one float flips as its slot is written."""

    def __init__(self, *shape: Any, layer: int, pair: int, row: int, head: int, slot: int, dim: int, bit: int) -> None:
        super().__init__(*shape)
        self.place, self.layer, self.row, self.slot, self.bit = (
            (layer, pair, row, head, slot, dim),
            layer,
            row,
            slot,
            bit,
        )

    def append(self, layer: int, k: Tensor, v: Tensor, count: Sequence[int] | None = None) -> None:
        before = self._cursors[layer][self.row]
        super().append(layer, k, v, count)
        if layer == self.layer and before <= self.slot < self._cursors[layer][self.row]:
            self.data.view(torch.int32)[self.place] ^= 1 << self.bit


def traced(prompts: list[list[int]] = PROMPTS, names: Sequence[str] = NAMES, n: int = NEW, **options: Any) -> Trace:
    trace = Trace(names)
    generate(prompts, n, **{"seed": 3, "model": MODEL, "trace": trace} | options)
    return trace


# ------------------------------------------------------------------------------------------------ first divergence


@pytest.mark.parametrize("padding", ["right", "left"])
def test_equal_runs_do_not_diverge(padding: str) -> None:
    full = traced(cache=False, padding=padding)
    assert first_divergence(full, full) is None
    for cached in (traced(padding=padding), traced(padding=padding, prefill_chunk=2)):
        assert first_divergence(cached, full) is None
        assert first_divergence(full, cached) is None


@settings(max_examples=60, deadline=None)
@given(
    padding=st.sampled_from(["right", "left"]),
    layer=st.integers(0, L - 1),
    pair=st.integers(0, 1),
    row=st.integers(0, len(PROMPTS) - 1),
    head=st.integers(0, H_KV - 1),
    dim=st.integers(0, D_H - 1),
    bit=st.integers(0, 22),
    data=st.data(),
)
def test_one_flipped_bit_is_found_where_it_is(
    padding: str, layer: int, pair: int, row: int, head: int, dim: int, bit: int, data: st.DataObject
) -> None:
    tokens = len(PROMPTS[row])
    slot = data.draw(st.integers(0, tokens + NEW - 2), label="slot, counted from the first token")
    first = 5 - tokens if padding == "left" else 0
    place = {"layer": layer, "pair": pair, "row": row, "head": head, "slot": first + slot, "dim": dim, "bit": bit}
    cache = FlippingCache(L, len(PROMPTS), H_KV, 24, D_H, **place)
    found = first_divergence(traced(padding=padding, cache=cache), traced(padding=padding, cache=False))
    assert found is not None
    assert found.step == max(0, slot - tokens + 1)  # the step that wrote it
    assert (found.layer, found.name, found.row) == (layer, "kv"[pair], row)
    assert (found.head, found.slot, found.dim) == (head, slot, dim)
    assert int(found.hex_a, 16) ^ int(found.hex_b, 16) == 1 << bit
    assert found.ulps == 1 << bit  # a bit of the mantissa: so many floats further on


def test_a_bit_flipped_in_left_padding_is_never_read() -> None:
    place = {"layer": 1, "pair": 0, "row": 1, "head": 1, "slot": 2, "dim": 3, "bit": 30}
    cache = FlippingCache(L, len(PROMPTS), H_KV, 24, D_H, **place)
    assert first_divergence(traced(padding="left", cache=cache), traced(padding="left", cache=False)) is None


def test_a_finished_row_does_not_diverge() -> None:
    free = generate(PROMPTS, NEW, seed=3, model=MODEL)
    for stop in free[0]:
        cached, full = traced(stop={stop}), traced(stop={stop}, cache=False)
        assert first_divergence(cached, full) is None
        assert first_divergence(full, cached) is None


def test_another_model_or_token_diverges_at_once() -> None:
    torch.manual_seed(2)
    other = MiniGPT(MODEL.config)
    found = first_divergence(traced(), traced(model=other))
    assert found is not None
    assert (found.step, found.layer, found.name, found.row, found.head, found.slot) == (0, 0, "q", 0, 0, 0)
    changed = [PROMPTS[0], [6, 8], PROMPTS[2]]
    found = first_divergence(traced(), traced(changed))
    assert found is not None
    assert (found.step, found.layer, found.name, found.row, found.slot) == (0, 0, "q", 1, 1)


def test_another_seed_diverges_where_its_token_is_fed() -> None:
    a, b = generate(PROMPTS[0], 8, seed=3, model=MODEL), generate(PROMPTS[0], 8, seed=4, model=MODEL)
    parted = next(i for i in range(8) if a[i] != b[i])
    found = first_divergence(traced(PROMPTS[:1], n=8), traced(PROMPTS[:1], n=8, seed=4, cache=False))
    assert found is not None
    assert (found.step, found.slot, found.head) == (parted + 1, len(PROMPTS[0]) + parted, 0)


def test_only_what_both_kept_is_compared() -> None:
    place = {"layer": 2, "pair": 1, "row": 0, "head": 0, "slot": 6, "dim": 0, "bit": 20}
    cache = FlippingCache(L, len(PROMPTS), H_KV, 24, D_H, **place)
    found = first_divergence(traced(names=["attention", "logits"], cache=cache), traced(cache=False))
    assert found is not None
    assert (found.step, found.layer, found.name, found.slot) == (2, 2, "attention", 6)
    cache = FlippingCache(L, len(PROMPTS), H_KV, 24, D_H, **place)
    found = first_divergence(traced(names=["logits"], cache=cache), traced(cache=False))
    assert found is not None
    assert (found.step, found.layer, found.name, found.head, found.slot) == (2, None, "logits", None, 6)


def test_traces_that_cannot_be_set_side_by_side_are_refused() -> None:
    with pytest.raises(ValueError, match="the two traces share no step: 4 and 0 forward passes"):
        first_divergence(traced(), Trace())
    with pytest.raises(ValueError, match="the traces hold 3 and 1 sequences"):
        first_divergence(traced(), traced(PROMPTS[:1]))
    with pytest.raises(ValueError, match="nothing in common"):
        first_divergence(traced(names=["q"]), traced(names=["k", "v"]))


def test_a_divergence_reads_as_one_line() -> None:
    found = Divergence(3, 1, "k", 0, 2, 5, 7, "3f800000", "3f800001", 1)
    expected = "step 3, layer 1, k, row 0, head 2, slot 5, dim 7: 0x3f800000 against 0x3f800001, 1 ULP"
    assert str(found) == expected
    found = Divergence(3, None, "logits", 0, None, 5, 7, "3f800000", "3f800001", 1)
    assert str(found).startswith("step 3, logits, row 0, slot 5, dim 7:")


# ------------------------------------------------------------------------------------------------ what a trace holds


@pytest.mark.parametrize("options", [{}, {"cache": False}, {"padding": "left"}, {"prefill_chunk": 2}])
def test_slots_and_logits_leave_padding_out(options: dict[str, Any]) -> None:
    trace = traced(**options)
    for row, prompt in enumerate(PROMPTS):
        k, v = trace.slots(row)
        assert k.shape == v.shape == (L, H_KV, len(prompt) + NEW - 1, D_H)
        assert k.dtype == v.dtype == np.float32
        assert trace.logits(row).shape == (NEW, V)
        assert trace.logits(row).dtype == np.float32


def test_it_shows_what_the_model_says_and_the_cache_holds() -> None:
    kv = KVCache.for_model(MODEL)
    trace = traced(PROMPTS[:1], cache=kv, temperature=0)
    k, v = trace.slots()
    S = len(PROMPTS[0]) + NEW - 1
    assert bits.equal(np.stack([k, v], 1), kv.data[:, :, 0, :, :S])
    answer = trace.logits().argmax(-1).tolist()
    logits = MODEL(torch.tensor([PROMPTS[0] + answer[:-1]]))
    assert bits.equal(trace.logits(), logits[0, -NEW:])


def test_a_trace_is_a_copy() -> None:
    kv = KVCache.for_model(MODEL)
    trace = traced(PROMPTS[:1], cache=kv)
    before = [x.copy() for x in trace.slots()]
    kv.reset()
    for x, y in zip(trace.slots(), before, strict=True):
        assert bits.equal(x, y)


def test_tracing_changes_nothing() -> None:
    trace = Trace()
    assert generate(PROMPTS, NEW, seed=3, model=MODEL, trace=trace) == generate(PROMPTS, NEW, seed=3, model=MODEL)
    assert [call.step for call in trace.calls] == [0, 1, 2, 3]


def test_what_was_not_kept_is_asked_for_by_name() -> None:
    with pytest.raises(ValueError, match=r"unknown trace names \['heads'\]"):
        Trace(["q", "heads"])
    for trace in (Trace(), traced(names=["q", "k"]), traced(n=0)):
        with pytest.raises(ValueError, match='this trace kept no slots: record "k" and "v"'):
            trace.slots()
    for trace in (Trace(), traced(names=["k", "v"]), traced(n=0)):
        with pytest.raises(ValueError, match='this trace kept no logits: record "logits"'):
            trace.logits()
    only = traced(names=["logits"])
    assert bits.equal(only.logits(1), traced().logits(1))
    assert {name for _, name in only.calls[0].rows} == {"logits"}
