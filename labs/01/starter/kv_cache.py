"""Lab 01: a KV cache. Your work: TODO 1 to 5, and TODO 6 if you are brave.

The file runs as it is, and the checker will tell you what is still open. After each change: python exercise.py, then
check again.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


class KVCache:
    """Keys and values of `batch` sequences of at most max_slots tokens. One tensor holds them all:

        data  (L, 2, B, H_kv, max_slots, d_h)
               |  |  |  |     |          `- the numbers of one row
               |  |  |  |     `------------ slot: a token's place in its sequence
               |  |  |  `------------------ K/V head
               |  |  `--------------------- sequence of the batch
               |  `------------------------ the pair: 0 is K, 1 is V
               `--------------------------- layer

    first (B numbers): the slot of each sequence's first real token, 0 unless `generate` padded it on the left. The
    model sets it; you keep it.
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
        self.data = torch.zeros((n_layers, 2, batch, n_kv_heads, max_slots, head_dim), dtype=dtype, device=device)
        self.first = [0] * batch
        # TODO 1: what else must a cache remember, to know where the next row goes?

    @property
    def lengths(self) -> list[int]:
        """How many slots each sequence holds, asked for between two passes: all layers then hold the same."""
        return [0] * self.data.shape[2]

    def append(self, layer: int, k: Tensor, v: Tensor, count: Sequence[int] | None = None) -> None:
        """Write new rows to the end of each sequence, in one layer.

        k, v: (B, H_kv, T, d_h). count (B numbers): how many of a sequence's T rows are real, from the first on; the
        others are padding, and are not written. None: all are real.
        """
        # TODO 1: the rows of each sequence go where it ends, and then it ends further on. Rows are copied: what the
        # caller does with k and v afterwards is not your concern.
        # TODO 3: before anything is written: ValueError for a wrong shape, a wrong count, or no room; TypeError for
        # another dtype or device than data's.

    def read(self, layer: int) -> tuple[Tensor, Tensor]:
        """(K, V) of a layer, each (B, H_kv, S, d_h), out of data. S is how many slots the longest sequence holds."""
        # TODO 2: nobody looks at a shorter sequence's rows behind its end, so they may hold anything.
        nothing = self.data[layer, :, :, :, :0]
        return nothing[0], nothing[1]

    def truncate(self, n: int) -> None:
        """Keep the first n slots of every sequence; put zeros into all others.

        Raises ValueError, and changes nothing, if a sequence holds fewer than n slots, or if n is below 0 or below some
        sequence's first: nothing but padding would be left of it.
        """
        # TODO 4: in every layer.

    def reset(self) -> None:
        """Forget everything: no sequence holds a slot, every slot holds zeros, first is 0 again."""
        # TODO 5: in every layer.


class PagedKVCache:
    """The same rows in pages. A sequence takes a page when it needs one, so that short ones leave room to long ones.

        pool    (n_pages, L, 2, H_kv, page_size, d_h): a page has room for page_size slots of a sequence, in all layers
        tables  a list for each sequence: the numbers of its pages, in the order of its slots
        free    a list: the numbers of the pages that nobody holds

    Each page is in one table, once, or in free. A sequence holds just as many as its slots need.
    """

    def __init__(
        self,
        n_layers: int,
        batch: int,
        n_kv_heads: int,
        head_dim: int,
        page_size: int,
        n_pages: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.pool = torch.zeros((n_pages, n_layers, 2, n_kv_heads, page_size, head_dim), dtype=dtype, device=device)
        self.first = [0] * batch
        self.tables: list[list[int]] = [[] for _ in range(batch)]
        self.free = list(range(n_pages))
        # TODO 6: append, read, lengths and reset as above, and release. No truncate.

    @property
    def lengths(self) -> list[int]:
        return [0] * len(self.tables)

    def append(self, layer: int, k: Tensor, v: Tensor, count: Sequence[int] | None = None) -> None:
        """As KVCache.append. Raises ValueError, and takes no page, if there are not enough free ones for everybody."""

    def read(self, layer: int) -> tuple[Tensor, Tensor]:
        """As KVCache.read: the rows of each sequence, put together from its pages."""
        nothing = self.pool.new_zeros((2, len(self.tables), self.pool.shape[3], 0, self.pool.shape[5]))
        return nothing[0], nothing[1]

    def release(self, sequence: int) -> None:
        """The sequence is done: it holds nothing, and its pages are free."""

    def reset(self) -> None:
        """Release every sequence."""
