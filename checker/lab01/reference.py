"""What a cache must give, worked out row by row, as plainly as it can be said: neither the student's nor courselib's.

It holds words and knows no float. The bugs in ``bugs`` are lines of this file, changed; so each line does one thing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from checker.lab01.given import Given, filled
from checker.lab01.schemas import Ask


class Reference:
    """The cache of one case: data (L, 2, B, H_kv, slots, d_h), and a cursor for each layer and sequence."""

    def __init__(self, case: Ask) -> None:
        self.case, self.L, self.B, self.slots = case, case.layers, case.batch, case.slots * (case.pages or 1)
        shape = (self.L, 2, self.B, case.kv_heads, self.slots, case.head_dim)
        self.data = np.zeros(shape, "uint32" if case.dtype == "float32" else "uint16")
        self.cursor = [[0] * self.B for _ in range(self.L)]
        self.first = [0] * self.B

    def append(self, layer: int, k: Given, v: Given, count: Sequence[int] | None) -> None:
        """Each sequence's rows, one by one, to where its cursor in this layer stands."""
        self.check_shapes(k, v)
        count = self.checked_count(k, count)
        self.check_room(layer, count)
        before = list(self.cursor[layer])
        for b in range(self.B):
            at = before[b]
            for t in range(count[b]):
                self.data[layer, 0, b, :, at + t] = k.words[b, :, t]
                self.data[layer, 1, b, :, at + t] = v.words[b, :, t]
            self.cursor[layer][b] = before[b] + count[b]

    def check_shapes(self, k: Given, v: Given) -> None:
        for x in (k, v):
            if list(x.shape) != [self.B, self.case.kv_heads, *k.shape[2:3], self.case.head_dim]:
                raise ValueError
            if (x.dtype, x.device) != (self.case.dtype, "cpu"):
                raise TypeError

    def checked_count(self, k: Given, count: Sequence[int] | None) -> Sequence[int]:
        T = k.shape[2]
        count = [T] * self.B if count is None else count
        if len(count) != self.B or not all(0 <= n <= T for n in count):
            raise ValueError
        return count

    def check_room(self, layer: int, count: Sequence[int]) -> None:
        for b in range(self.B):
            if self.cursor[layer][b] + count[b] > self.slots:
                raise ValueError

    def read(self, layer: int) -> tuple[np.ndarray, np.ndarray]:
        S = max(self.cursor[layer])
        K, V = self.data[layer, 0], self.data[layer, 1]
        return K[:, :, :S], V[:, :, :S]

    def lengths(self) -> list[int]:
        return list(self.cursor[0])

    def truncate(self, n: int) -> None:
        if not max(self.first) <= n <= min(self.lengths()):
            raise ValueError
        self.data[..., n:, :] = 0
        for layer in range(self.L):
            self.cursor[layer][:] = [n] * self.B

    def reset(self) -> None:
        self.data[:] = 0
        self.first = [0] * self.B
        for layer in range(self.L):
            self.cursor[layer][:] = [0] * self.B

    def fill(self, value: str) -> None:
        self.data[:] = filled(value, self.case.dtype)


class Pages(Reference):
    """The same rows in pages: how many of them each sequence must hold. Which ones, nobody asks."""

    def held(self, cursor: list[list[int]]) -> list[int]:
        """Pages of each sequence: a page has room in every layer, so the layer that is furthest decides."""
        return [-(-max(layer[b] for layer in cursor) // self.case.slots) for b in range(self.B)]

    def check_room(self, layer: int, count: Sequence[int]) -> None:
        after = [list(cursor) for cursor in self.cursor]
        after[layer] = [at + n for at, n in zip(after[layer], count, strict=True)]
        if sum(self.held(after)) > (self.case.pages or 0):
            raise ValueError

    def release(self, b: int) -> None:
        self.first[b] = 0
        for layer in range(self.L):
            self.cursor[layer][b] = 0


def of(case: Ask) -> Reference:
    return Pages(case) if case.cache == "paged" else Reference(case)
