"""What a model's forward passes cost, counted from the calls they really make: operations and bytes.

    with counting() as counts:
        generate("Yesterday I", 256)
    print(counts.flops, counts.weight_bytes, counts.kv_bytes)

Nothing is timed. A count follows from the shapes of each call, so it is a whole number, the same on every machine.
Two operations are counted, the two whose cost grows with the model and with the sequence:

    linear(x, w), x (M, K) and w (K, N)
        2 M N K FLOPs: a multiplication and an addition for each output and each k. It must read w (weights), read x
        and write the result (activations).
    attention(q, k, v, past, first, count)
        4 d_h FLOPs for each query head, row and slot that the row sees: 2 d_h in q.k, 2 d_h in the sum over v. It must
        read the K and V rows of each slot that some row of the sequence sees (K/V), read q and write the result
        (activations).

All else is left out: norms, RoPE, SwiGLU, the embedding, and of a softmax a handful of operations a slot. The bytes are
the least that a call must move if it keeps nothing from the one before; what it moves in truth may be more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from .kernels import current_ops, use_ops


@dataclass(frozen=True)
class Call:
    """One call of an operation: "linear" or "attention", its FLOPs, and the bytes that it must move."""

    op: str
    flops: int
    weight_bytes: int
    kv_bytes: int
    activation_bytes: int


@dataclass
class Counts:
    """The calls of a block, in order, and their sums."""

    calls: list[Call] = field(default_factory=list)

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        return sum(call.flops for call in self.calls)

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights, each read once a call."""
        return sum(call.weight_bytes for call in self.calls)

    @property
    def kv_bytes(self) -> int:
        """Bytes of K and V rows read."""
        return sum(call.kv_bytes for call in self.calls)

    @property
    def activation_bytes(self) -> int:
        """Bytes of the operations' other inputs, and of their results."""
        return sum(call.activation_bytes for call in self.calls)

    @property
    def bytes(self) -> int:
        """All of them."""
        return self.weight_bytes + self.kv_bytes + self.activation_bytes

    def of(self, op: str) -> Counts:
        """The calls of one operation alone. Raises ValueError for one that is not counted."""
        if op not in ("linear", "attention"):
            raise ValueError(f'"{op}" is not counted: expected "linear" or "attention"')
        return Counts([call for call in self.calls if call.op == op])


@contextmanager
def counting() -> Iterator[Counts]:
    """Count every product and every attention that this thread runs during the block, on the operations in use.

    The results are theirs, byte for byte. A `use_ops` inside the block replaces the counter with what it names; put it
    outside: `with use_ops("stock"), counting() as counts`. Blocks nest, and the outer one counts the inner one's calls.
    """
    counts = Counts()
    with use_ops(_Counting(current_ops(), counts)):
        yield counts


class _Counting:
    """An implementation of the model's operations that hands each call to another one, and writes it down."""

    def __init__(self, ops: Any, counts: Counts) -> None:
        self._ops, self._counts = ops, counts

    def __getattr__(self, name: str) -> Any:  # NAME, and the operations that are not counted
        return getattr(self._ops, name)

    def linear(self, x: Tensor, w: Tensor) -> Tensor:
        """x (..., K), w (K, N) -> (..., N)."""
        y: Tensor = self._ops.linear(x, w)
        self._counts.calls.append(Call("linear", 2 * y.numel() * w.shape[0], w.nbytes, 0, x.nbytes + y.nbytes))
        return y

    def attention(
        self, q: Tensor, k: Tensor, v: Tensor, past: Sequence[int], first: Sequence[int], count: Sequence[int]
    ) -> Tensor:
        """q (B, H, T, d_h), k and v (B, H_kv, S, d_h) -> (B, H, T, d_h)."""
        out: Tensor = self._ops.attention(q, k, v, past, first, count)
        seen = slots = 0  # (row, slot) pairs; slots that some row sees
        for p, f, n in zip(past, first, count, strict=True):
            last = p + n - f if n else 0  # what the last row sees; each row before it sees one slot less
            seen += sum(range(max(0, last - n + 1), last + 1))
            slots += max(0, last)
        H, d_h = q.shape[1], q.shape[3]
        row = (k.shape[3] + v.shape[3]) * k.shape[1] * k.element_size()  # K and V of one slot, all heads
        self._counts.calls.append(Call("attention", 4 * H * d_h * seen, 0, row * slots, q.nbytes + out.nbytes))
        return out
