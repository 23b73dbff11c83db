"""Lab 01, solved: a KV cache in one tensor, and the same cache in pages of one pool."""

from collections.abc import Sequence

import torch
from torch import Tensor


class KVCache:
    """Keys and values of `batch` sequences of at most max_slots tokens: data (L, 2, B, H_kv, max_slots, d_h)."""

    def __init__(
        self, n_layers: int, batch: int, n_kv_heads: int, max_slots: int, head_dim: int,
        dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu",
    ) -> None:  # fmt: skip
        shape = (n_layers, 2, batch, n_kv_heads, max_slots, head_dim)
        self.data = torch.zeros(shape, dtype=dtype, device=device)
        self.first = [0] * batch  # the slot of each sequence's first real token
        self.cursors = [[0] * batch for _ in range(n_layers)]  # of each layer: where the next row of a sequence goes

    @property
    def lengths(self) -> list[int]:
        return list(self.cursors[0])

    def append(self, layer: int, k: Tensor, v: Tensor, count: Sequence[int] | None = None) -> None:
        """Write the first count[b] of the T new rows of each sequence b at its cursor. k, v (B, H_kv, T, d_h)."""
        K, V = self.data[layer]
        cursors = self.cursors[layer]
        count = checked(K, k, v, count)
        for b, n in enumerate(count):
            if cursors[b] + n > K.shape[2]:
                raise ValueError(f"sequence {b} holds {cursors[b]} of {K.shape[2]} slots: no room for {n} more")
        for b, n in enumerate(count):
            start, end = cursors[b], cursors[b] + n
            K[b, :, start:end] = k[b, :, :n]
            V[b, :, start:end] = v[b, :, :n]
            cursors[b] = end

    def read(self, layer: int) -> tuple[Tensor, Tensor]:
        """(K, V), each (B, H_kv, S, d_h): S is the longest sequence's cursor."""
        S = max(self.cursors[layer])
        K, V = self.data[layer, :, :, :, :S]
        return K, V

    def truncate(self, n: int) -> None:
        """Keep the first n slots of every sequence, and zero the others."""
        if not max(self.first) <= n <= min(self.lengths):
            raise ValueError(f"cannot keep {n} slots: they hold {self.lengths}, first tokens are at {self.first}")
        self.data[..., n:, :] = 0
        self.cursors = [[n] * len(cursors) for cursors in self.cursors]

    def reset(self) -> None:
        """Forget everything."""
        self.data.zero_()
        self.cursors = [[0] * len(cursors) for cursors in self.cursors]
        self.first = [0] * len(self.first)


def checked(K: Tensor, k: Tensor, v: Tensor, count: Sequence[int] | None) -> list[int]:
    """count, once k and v can stand beside K (B, H_kv, slots, d_h)."""
    B, H_kv, _, d_h = K.shape
    for name, x in (("k", k), ("v", v)):
        if x.dim() != 4 or x.shape != (B, H_kv, k.shape[2], d_h):
            raise ValueError(f"{name} must be ({B}, {H_kv}, T, {d_h}), got {tuple(x.shape)}")
        if x.dtype != K.dtype or x.device != K.device:
            raise TypeError(f"{name} must be {K.dtype} on {K.device}, got {x.dtype} on {x.device}")
    T = k.shape[2]
    count = [T] * B if count is None else list(count)
    if len(count) != B or not all(0 <= n <= T for n in count):
        raise ValueError(f"count must be {B} numbers from 0 to {T}, got {count}")
    return count


class PagedKVCache:
    """The same cache in pages of page_size slots, taken from one pool (n_pages, L, 2, H_kv, page_size, d_h).

    Slot s of sequence b lies in page tables[b][s // page_size], at s % page_size, in every layer.
    """

    def __init__(
        self, n_layers: int, batch: int, n_kv_heads: int, head_dim: int, page_size: int, n_pages: int,
        dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu",
    ) -> None:  # fmt: skip
        self.pool = torch.zeros((n_pages, n_layers, 2, n_kv_heads, page_size, head_dim), dtype=dtype, device=device)
        self.first = [0] * batch
        self.cursors = [[0] * batch for _ in range(n_layers)]
        self.tables: list[list[int]] = [[] for _ in range(batch)]
        self.free = list(range(n_pages))

    @property
    def lengths(self) -> list[int]:
        return list(self.cursors[0])

    def append(self, layer: int, k: Tensor, v: Tensor, count: Sequence[int] | None = None) -> None:
        size, cursors = self.pool.shape[4], self.cursors[layer]
        count = checked(self.pool[:1, layer, 0].expand(len(cursors), -1, -1, -1), k, v, count)
        ends = [cursor + n for cursor, n in zip(cursors, count, strict=True)]
        missing = [max(-(-end // size) - len(table), 0) for end, table in zip(ends, self.tables, strict=True)]
        if sum(missing) > len(self.free):
            raise ValueError(f"{sum(missing)} pages are needed, {len(self.free)} are free")
        for b, n in enumerate(count):
            self.tables[b] += [self.free.pop() for _ in range(missing[b])]
            for t in range(n):
                page, slot = divmod(cursors[b] + t, size)
                self.pool[self.tables[b][page], layer, 0, :, slot] = k[b, :, t]
                self.pool[self.tables[b][page], layer, 1, :, slot] = v[b, :, t]
            cursors[b] = ends[b]

    def read(self, layer: int) -> tuple[Tensor, Tensor]:
        _, _, _, H_kv, size, d_h = self.pool.shape
        S = max(self.cursors[layer])
        pairs = self.pool.new_zeros(2, len(self.tables), H_kv, S, d_h)
        for b, length in enumerate(self.cursors[layer]):
            for page, start in zip(self.tables[b], range(0, length, size), strict=False):
                n = min(size, length - start)
                pairs[:, b, :, start : start + n] = self.pool[page, layer, :, :, :n]
        return pairs[0], pairs[1]

    def release(self, b: int) -> None:
        """Sequence b is done: its pages are free again."""
        self.free += self.tables[b]
        self.tables[b] = []
        self.first[b] = 0
        for cursors in self.cursors:
            cursors[b] = 0

    def reset(self) -> None:
        for b in range(len(self.tables)):
            self.release(b)
