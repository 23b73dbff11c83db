"""What happened inside a generation: every layer's rows, step by step, and where two runs first part.

    cached, full = Trace(), Trace()
    generate("Yesterday I", 8, cache=True, seed=1, trace=cached)
    generate("Yesterday I", 8, cache=False, seed=1, trace=full)
    print(first_divergence(cached, full))

A step is one token decided. A trace keeps copies, so nothing that runs later can change it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from . import bits

#: What a forward pass records, in the order it computes them. k and v are what attention read: all slots held.
NAMES = ("q", "k", "v", "attention", "mlp", "logits")


@dataclass(frozen=True)
class Call:
    """Where the tokens of one forward pass stood: past slots held, first real slot, real tokens, per sequence."""

    step: int
    past: tuple[int, ...]
    first: tuple[int, ...]
    count: tuple[int, ...]
    rows: dict[tuple[int | None, str], Tensor]  # (layer, name) -> as recorded

    def slots(self, row: int, name: str) -> range:
        """The slots, counted from the sequence's own first token, that a record of `name` holds for one sequence."""
        end = self.past[row] + self.count[row] - self.first[row]
        if name in ("k", "v"):
            return range(0, end)
        if name == "logits":  # of the last token fed, if one was: a row that has stopped gets none
            return range(end - min(1, self.count[row]), end)
        return range(max(0, self.past[row] - self.first[row]), end)


@dataclass(frozen=True)
class Divergence:
    """The first difference between two runs, in the order things were computed. slot counts from the sequence's first
    token; head is None for mlp and logits, layer for logits."""

    step: int
    layer: int | None
    name: str
    row: int
    head: int | None
    slot: int
    dim: int
    hex_a: str
    hex_b: str
    ulps: int

    def __str__(self) -> str:
        where = [f"step {self.step}"]
        where += [] if self.layer is None else [f"layer {self.layer}"]
        where += [self.name, f"row {self.row}"]
        where += [] if self.head is None else [f"head {self.head}"]
        where += [f"slot {self.slot}", f"dim {self.dim}"]
        return f"{', '.join(where)}: 0x{self.hex_a} against 0x{self.hex_b}, {self.ulps} ULP"


class Trace:
    """Records the forward passes of one generation. names: what to keep (default all of NAMES)."""

    def __init__(self, names: Iterable[str] = NAMES) -> None:
        self.names = tuple(names)
        if unknown := set(self.names) - set(NAMES):
            raise ValueError(f"unknown trace names {sorted(unknown)}: expected some of {NAMES}")
        self.calls: list[Call] = []
        self.step = 0  # generate moves it on with each token decided

    def begin(self, past: Sequence[int], first: Sequence[int], count: Sequence[int]) -> None:
        """A forward pass starts (called by the model)."""
        self.calls.append(Call(self.step, tuple(past), tuple(first), tuple(count), {}))

    def record(self, layer: int | None, name: str, x: Tensor) -> None:
        """Keep a copy of what a layer computed (called by the model)."""
        if name in self.names:
            self.calls[-1].rows[layer, name] = x.detach().clone()

    def get(self, call: Call, layer: int | None, name: str, row: int) -> np.ndarray:
        """One sequence's record as (heads, slots, dims) float32, padding left out; heads is 1 for mlp and logits."""
        x, slots, first = call.rows[layer, name][row], call.slots(row, name), call.first[row]
        if name == "logits":  # (V,)
            return x[None, None, :].numpy()[:, : len(slots)]
        if name == "mlp":  # (T, D)
            x = x[None]
        start = slots.start + first if name in ("k", "v") else slots.start + first - call.past[row]
        return x[:, start : start + len(slots)].numpy()

    def logits(self, row: int = 0) -> np.ndarray:
        """The logits each token was drawn from: (n_new, V) float32."""
        if not self.calls or "logits" not in self.names:
            raise ValueError('this trace kept no logits: record "logits", and generate at least one token')
        drawn, end = [], 0
        for call in self._deciding():
            slots = call.slots(row, "logits")
            if slots.stop > end:  # a row that has stopped grows no more, and nothing is drawn from its logits
                drawn.append(self.get(call, None, "logits", row)[0])
                end = slots.stop
        return np.concatenate(drawn)

    def slots(self, row: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """(K, V) that attention read at the last step, each (L, H_kv, S, d_h) float32: of a cached run the cache's
        content, of a run without one the rows just computed. S = prompt tokens + new tokens - 1."""
        if not self.calls or not {"k", "v"} <= set(self.names):
            raise ValueError('this trace kept no slots: record "k" and "v", and generate at least one token')
        call = self.calls[-1]
        layers = sorted({layer for layer, _ in call.rows if layer is not None})
        k, v = (np.stack([self.get(call, layer, name, row) for layer in layers]) for name in ("k", "v"))
        return k, v

    def _deciding(self) -> list[Call]:
        # A chunked prefill makes several passes before it decides a token: the last one of each step did.
        return list({call.step: call for call in self.calls}.values())


def first_divergence(a: Trace, b: Trace) -> Divergence | None:
    """The first (step, layer, head, slot, dim) at which two runs computed different bytes, None if there is none.

    Compares what both hold: a cached run computes only new slots, a run without a cache all of them. Raises ValueError
    when the runs cannot be set side by side (no common step, nothing recorded in both, or another batch).
    """
    if not set(a.names) & set(b.names):
        raise ValueError(f"the two traces have nothing in common: one kept {a.names}, the other {b.names}")
    steps_b = {call.step: call for call in b._deciding()}
    pairs = [(call, steps_b[call.step]) for call in a._deciding() if call.step in steps_b]
    if not pairs:
        raise ValueError(f"the two traces share no step: {len(a.calls)} and {len(b.calls)} forward passes")
    for call_a, call_b in pairs:
        if len(call_a.past) != len(call_b.past):
            raise ValueError(f"the traces hold {len(call_a.past)} and {len(call_b.past)} sequences")
        for layer, name in call_a.rows:
            for row in range(len(call_a.past)):
                found = _compare(a, b, call_a, call_b, layer, name, row)
                if found:
                    return found
    return None


def _compare(
    a: Trace, b: Trace, call_a: Call, call_b: Call, layer: int | None, name: str, row: int
) -> Divergence | None:
    if (layer, name) not in call_b.rows:
        return None
    x, y = a.get(call_a, layer, name, row), b.get(call_b, layer, name, row)
    slots_a, slots_b = call_a.slots(row, name), call_b.slots(row, name)
    lo = max(slots_a.start, slots_b.start)
    hi = max(lo, min(slots_a.stop, slots_b.stop))  # they may share none
    x, y = x[:, lo - slots_a.start : hi - slots_a.start], y[:, lo - slots_b.start : hi - slots_b.start]
    first = bits.first_difference(x, y)
    if first is None:
        return None
    head, slot, dim = first.index
    return Divergence(
        call_a.step, layer, name, row, None if name in ("mlp", "logits") else head, lo + slot, dim,
        first.hex_a, first.hex_b, first.ulps or 0,
    )  # fmt: skip
