"""A contiguous KV cache: the keys and values of every token so far, so that a step computes only its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .minigpt import MiniGPT


class KVCache:
    """Preallocated keys and values for `batch` sequences of at most `max_slots` tokens.

    One tensor holds it all:

        data  (L, 2, B, H_kv, max_slots, d_h)
               |  |  |   |        |       `- head_dim: the numbers of one row
               |  |  |   |        `--------- slot: a token's place in its sequence; slot 0 is its first token, unless
               |  |  |   |                   left padding stands before it (`first`)
               |  |  |   `------------------ K/V head
               |  |  `---------------------- sequence of the batch
               |  `------------------------- the K/V pair: index 0 is K, index 1 is V, always
               `---------------------------- layer

    The model appends each layer's rows as it computes them; nobody else writes. A cursor per sequence (kept by each
    layer, since a layer is appended to before the next one runs) says where the next row goes; slots from the cursor
    on hold nothing of meaning. K is stored rotated (after RoPE), at the position that its slot gives it. Where a batch
    was padded on the left, `first` holds the slot of each sequence's first real token, and positions count from there.
    """

    def __init__(
        self,
        n_layers: int,
        batch: int,
        n_kv_heads: int,
        max_slots: int,
        head_dim: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = (n_layers, 2, batch, n_kv_heads, max_slots, head_dim)
        if min(shape) < 1:
            raise ValueError(f"every dimension must be at least 1, got (L, 2, B, H_kv, max_slots, d_h) = {shape}")
        self.data = torch.zeros(shape, dtype=dtype, device=device)
        self.max_slots = max_slots
        self.first = [0] * batch
        self._cursors = [[0] * batch for _ in range(n_layers)]
        self._rows = [(pair[0], pair[1]) for pair in self.data]  # views: (K, V) of a layer, each (B, H_kv, slots, d_h)

    @classmethod
    def for_model(cls, model: MiniGPT, batch: int = 1, max_slots: int | None = None) -> KVCache:
        """An empty cache of the shape, dtype and device that `model` needs; max_slots defaults to the model's own."""
        c, weight = model.config, model.embed
        slots = c.max_slots if max_slots is None else max_slots
        return cls(c.n_layers, batch, c.n_kv_heads, slots, c.head_dim, weight.dtype, weight.device)

    @property
    def lengths(self) -> list[int]:
        """How many slots each sequence holds: its cursor. All layers agree between two forward passes."""
        return list(self._cursors[0])

    def append(self, layer: int, k: Tensor, v: Tensor, count: Sequence[int] | None = None) -> None:
        """Write T new rows a sequence at its cursor and move the cursor on.

        k, v: (B, H_kv, T, d_h), dtype and device as the cache's. count: how many of the T rows of each sequence are
        real (the rest is right padding and is not kept); all by default.
        Raises ValueError on a wrong shape or when a row would not fit, TypeError on a wrong dtype or device; then
        nothing has been written.
        """
        K, V = self._rows[layer]
        B, H_kv, slots, d_h = K.shape
        for name, x in (("k", k), ("v", v)):
            if x.dim() != 4 or x.shape[:2] != (B, H_kv) or x.shape[3] != d_h or x.shape[2] != k.shape[2]:
                raise ValueError(f"append: the cache takes {name} ({B}, {H_kv}, T, {d_h}), got {tuple(x.shape)}")
            if x.dtype != K.dtype or x.device != K.device:
                raise TypeError(f"append: the cache holds {K.dtype} on {K.device}, got {name} {x.dtype} on {x.device}")
        T, cursor = k.shape[2], self._cursors[layer]
        count = [T] * B if count is None else list(count)
        if len(count) != B or not all(0 <= n <= T for n in count):
            raise ValueError(f"append: count must be {B} numbers from 0 to T = {T}, got {count}")
        for b in range(B):
            if cursor[b] + count[b] > slots:
                raise ValueError(
                    f"append: sequence {b} holds {cursor[b]} slots and gets {count[b]} more; there is room for {slots}"
                )
        start = cursor[0]
        if all(c == start for c in cursor) and all(n == T for n in count):  # in step: one copy for the whole batch
            K.narrow(2, start, T).copy_(k)
            V.narrow(2, start, T).copy_(v)
        else:
            for b, n in enumerate(count):
                K[b, :, cursor[b] : cursor[b] + n] = k[b, :, :n]
                V[b, :, cursor[b] : cursor[b] + n] = v[b, :, :n]
        self._cursors[layer] = [c + n for c, n in zip(cursor, count, strict=True)]

    def read(self, layer: int) -> tuple[Tensor, Tensor]:
        """(K, V) of a layer, each (B, H_kv, S, d_h): views, no copy. S is the longest sequence's cursor; a shorter
        sequence's rows from its own cursor on mean nothing and must be masked."""
        K, V = self._rows[layer]
        S = max(self._cursors[layer])
        return K.narrow(2, 0, S), V.narrow(2, 0, S)

    def reset(self) -> None:
        """Forget every sequence: all cursors to 0, and zeros in every slot, so that nothing old can be read."""
        self.data.zero_()
        self._cursors = [[0] * len(cursor) for cursor in self._cursors]
        self.first = [0] * len(self.first)

    def truncate(self, n: int) -> None:
        """Keep the first n slots of every sequence and zero the rest. Raises ValueError if a sequence holds fewer, or
        if nothing but left padding would be left of one."""
        if not 0 <= n <= min(self.lengths):
            raise ValueError(f"truncate: cannot keep {n} slots, the sequences hold {self.lengths}")
        if n < max(self.first):
            raise ValueError(f"truncate: {n} slots would keep nothing but padding: first tokens are at {self.first}")
        self.data[..., n:, :] = 0
        self._cursors = [[n] * len(cursor) for cursor in self._cursors]
