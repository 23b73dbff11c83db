"""Which tile serves which product: the one place where the number of rows decides anything, and only the speed.

The tables were measured on an H100 (benchmarks/matmul.py measures them again). For few rows the weights have to be read
and nothing else matters, so the width of a program follows N alone; for many, `_cheapest` weighs how well each tile
fills the multiprocessors. A tile is used only if a certificate names it (`certificate.py`), and only if it fits the
device.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import torch


@dataclass(frozen=True)
class Tile:
    """How one launch is cut: m x n outputs a program, k of each per step, warps, and stages of prefetch.

    n2: more columns, in an accumulator of their own (n is a power of two, n + n2 need not be). tma: tiles are fetched
    by Hopper's copy engine; persistent: by one program per multiprocessor, which takes tile after tile; halves: the
    results are stored in two halves, to leave room for a stage more. early: the launch overlaps with the end of the
    kernel before (programmatic dependent launch); it waits for that kernel's results before it reads anything.
    """

    m: int
    n: int
    k: int
    warps: int
    stages: int
    tma: bool = False
    persistent: bool = False
    halves: bool = False
    early: bool = False
    n2: int = 0

    def __str__(self) -> str:
        marks = [mark for mark in ("tma", "persistent", "halves", "early") if getattr(self, mark)]
        width = f"{self.n}+{self.n2}" if self.n2 else str(self.n)
        return " ".join([f"{self.m}x{width}x{self.k}", f"{self.warps} warps", f"{self.stages} stages", *marks])

    def shared_memory(self, itemsize: int, out_itemsize: int) -> int:
        """Bytes of shared memory that a program needs, from above."""
        store = self.m * (self.n // 2 if self.halves else self.n + self.n2) * out_itemsize if self.tma else 0
        return (self.m + self.n + self.n2) * self.k * itemsize * self.stages + store + 2048


# Without a certificate: one tile for every M, small enough for every GPU (T4: 64 KB of shared memory).
FIXED = {2: Tile(64, 64, 32, 4, 3), 4: Tile(32, 64, 32, 4, 3)}

# Hopper, 16 bits. Few rows: (most rows, least N, tile), the first that fits.
_FEW = [
    (16, 6144, Tile(16, 64, 256, 4, 4, tma=True, early=True)),
    (16, 2049, Tile(16, 32, 256, 4, 6, tma=True, early=True)),
    (16, 0, Tile(16, 16, 256, 2, 6, tma=True, early=True)),
    (32, 8192, Tile(32, 128, 128, 4, 4, tma=True)),
    (32, 0, Tile(16, 32, 256, 2, 4, tma=True)),
    (64, 8192, Tile(64, 128, 128, 4, 3, tma=True, early=True)),
    (64, 4225, Tile(64, 64, 128, 4, 5, tma=True, early=True)),
    (64, 0, Tile(64, 32, 128, 4, 5, tma=True, early=True)),
]
# Many rows: tile, its speed on a full GPU relative to the best one's, and from how many rows on it is considered.
_MANY = [
    (Tile(128, 256, 64, 8, 4, tma=True, persistent=True, halves=True), 1.0, 129),
    (Tile(128, 128, 64, 4, 5, tma=True, n2=64), 0.97, 257),
    (Tile(128, 128, 64, 4, 5, tma=True, persistent=True), 0.93, 513),
    (Tile(128, 128, 64, 4, 5, tma=True), 0.93, 129),
    (Tile(128, 128, 128, 4, 3, tma=True), 0.93, 0),
    (Tile(64, 128, 128, 4, 4, tma=True), 0.82, 0),
    (Tile(128, 64, 64, 4, 6, tma=True, n2=32), 0.80, 129),
    (Tile(64, 64, 128, 4, 5, tma=True, n2=32), 0.72, 0),
    (Tile(64, 64, 128, 4, 6, tma=True), 0.65, 0),
]
# Float32 on the tensor cores, by precision: (tile, its speed, from how many rows on). BLOCK_K is one for all, because
# "tf32x3" adds the small parts of a whole step before the large ones. (CUDA C++ serves "ieee"; here is its fallback.)
_FLOAT32 = {
    "ieee": [(Tile(16, 32, 64, 4, 4), 0.3, 0), (Tile(64, 64, 16, 4, 3), 0.6, 17), (Tile(128, 256, 16, 8, 3), 1.0, 17)],
    "tf32x3": [(Tile(16, 64, 32, 4, 6), 0.3, 0), (Tile(64, 32, 32, 4, 5), 0.7, 17), (Tile(64, 64, 32, 4, 4), 0.9, 17),
               (Tile(128, 64, 32, 4, 3), 1.0, 17)],
    "tf32": [(Tile(16, 64, 32, 4, 4), 0.3, 0), (Tile(64, 64, 32, 4, 4), 0.7, 17), (Tile(128, 128, 32, 8, 4), 1.0, 17)],
}  # fmt: skip
# Batches of products, strides that TMA cannot take, and GPUs before Hopper: (most rows, tile).
_ANY = [(16, Tile(16, 64, 128, 4, 3)), (64, Tile(64, 64, 64, 4, 4)), (None, Tile(128, 128, 32, 4, 4))]


@dataclass(frozen=True)
class Gpu:
    """What a choice depends on besides the shapes."""

    capability: tuple[int, int]
    multiprocessors: int
    shared_memory: int  # bytes that one program may have


@lru_cache
def gpu(device: torch.device) -> Gpu:
    p = torch.cuda.get_device_properties(device)
    shared_memory: int = getattr(p, "shared_memory_per_block_optin")  # noqa: B009  (PyTorch's stubs do not know it)
    return Gpu((p.major, p.minor), p.multi_processor_count, shared_memory)


def candidates(itemsize: int, precision: str, here: Gpu) -> list[Tile]:
    """Every tile that `choose` may name on this GPU: what a certificate has to cover. FIXED is the first."""
    if itemsize == 4:
        tiles = [tile for tile, _, _ in _FLOAT32[precision]]
    else:
        tiles = [tile for _, tile in _ANY]
        if here.capability[0] == 9:
            tiles += [tile for _, _, tile in _FEW] + [tile for tile, _, _ in _MANY]
    fitted = (_fitted(tile, itemsize, itemsize, here) for tile in tiles)
    return [FIXED[itemsize], *(tile for tile in fitted if tile)]


@lru_cache(4096)
def choose(M: int, N: int, itemsize: int, out_itemsize: int, precision: str, tma: bool, here: Gpu) -> Tile:
    """The tile for M rows, N columns. tma: the strides suit Hopper's copy engine, and it is one product, no batch."""
    if itemsize == 4:
        tile = _cheapest(_FLOAT32[precision], M, N, here.multiprocessors)
    elif not (tma and here.capability[0] == 9):
        tile = next(tile for rows, tile in _ANY if rows is None or rows >= M)
    elif M <= 64:
        tile = next(tile for rows, columns, tile in _FEW if rows >= M and columns <= N)
    else:
        tile = _cheapest(_MANY, M, N, here.multiprocessors)
    return _fitted(tile, itemsize, out_itemsize, here) or FIXED[itemsize]


def _fitted(tile: Tile, itemsize: int, out_itemsize: int, here: Gpu) -> Tile | None:
    """The tile with as many stages as there is room for (they move no bit); None if there is none for two."""
    while tile.shared_memory(itemsize, out_itemsize) > here.shared_memory:
        if tile.stages == 2:
            return None
        tile = replace(tile, stages=tile.stages - 1)
    return tile


def _cheapest(table: list[tuple[Tile, float, int]], M: int, N: int, multiprocessors: int) -> Tile:
    """The tile with the least predicted time: rounds of tiles over the GPU, times the work of one tile."""
    if M <= 16 and table[0][0].m == 16:
        return table[0][0]

    def time(entry: tuple[Tile, float, int]) -> float:
        tile, speed, _ = entry
        width = tile.n + tile.n2
        rounds = -(-(-(-M // tile.m) * -(-N // width)) // multiprocessors)
        return rounds * tile.m * width / speed

    return min((entry for entry in table if entry[2] <= M), key=time)[0]
