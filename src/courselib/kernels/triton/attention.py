"""Attention in one written order: FlashAttention's forward pass (Dao, "FlashAttention-2", on the online softmax of
Milakov and Gimelshein), arranged so that nothing around a row can move its bits.

* K and V are walked in blocks of BLOCK_N slots, ascending, with one running (max, sum, output) a row. Blocks are
  counted from the sequence's own first visible slot, so that left padding shifts no boundary. BLOCK_N follows from the
  head size, the dtype and the device alone. There are no KV splits, so a long decode of few sequences leaves most of a
  GPU idle: that is a matter for kernels made for decode.
* A block that a row does not see is an exact no-op for it (weights 0, rescaling by exactly 1): skipped or walked is the
  same. So a tile may hold any rows: the G = H / H_kv query heads of a K/V head are packed side by side, and BLOCK_M,
  warps and stages follow the number of rows. How a block is fetched, by pointers or by Hopper's copy engine, moves no
  bit either.
* What is left to the compiler's layout must not round. The row's max does not; a row sum by tl.sum would. So the sum is
  taken as one more output of the second dot, P @ ones, whose order over slots is the order of P @ V.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..evidence import ran
from .attention_kernel import launch
from .masks import spans_of
from .rows import on
from .runtime import INTERPRETED, cdiv, check_device, next_power_of_2

if not INTERPRETED:
    from triton.tools.tensor_descriptor import TensorDescriptor

MAX_HEAD_SIZE = 256
_L2 = 24 << 20  # bytes of K and V that programs running together may use: about half of an H100's L2 cache


class Tile(NamedTuple):
    """How rows are shared among programs; moves no bit."""

    block_m: int  # rows of a program
    warps: int
    stages: int  # blocks of K and V in flight


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> tuple[Tensor, Tensor]:
    """softmax(scale * q @ k^T + mask) @ v -> (out (B, H, T, d_v) in q's dtype, lse (B, H, T) float32, natural log).
    In memory out is (B, T, H, d_v) where q holds a token's heads side by side, and contiguous otherwise.

    q (B, H, T, d_h), k (B, H_kv, S, d_h), v (B, H_kv, S, d_v), all float16, bfloat16 or float32 and any strides; H a
    multiple of H_kv, d_h and d_v at most 256. scale defaults to 1/sqrt(d_h). mask, bool (True: visible) or float (added
    to the scaled scores in float32), broadcasts to (B, H, T, S) and is read where it lies; a value of a float mask at
    or below HIDDEN (-30000) hides the slot altogether, as -inf does. causal: row t sees slots s <= t, and with a mask
    only those that both allow. A row that sees nothing gives zeros and lse -inf. What lies in a slot that a row does
    not see, NaN too, does nothing to that row (but makes its tile slower: it is walked twice).

    The promise: a row's bytes are a function of its own q, of the k, v and mask values it sees, counted from `first`,
    and of (d_h, d_v, dtype, device): not of T, S, B, of its place or its neighbours, of padding or strides. `first` is
    the first slot that the sequence's last row sees (0 without a mask, or where that row sees nothing). Under a sliding
    window `first` moves as the sequence grows, so there the promise holds between calls with the same last row only.

    Weights are rounded to q's dtype before they meet v, and the rounded ones are summed, so that out divides by the sum
    of what was used, and lse is their log. Products and sums are float32, of float32 inputs in IEEE arithmetic. Masks
    with holes, or with values other than zero, take a slower way than causal and padding masks do.
    Raises TypeError for a dtype or device that is not served, ValueError for shapes that do not fit.
    """
    B, H, T, S = _check(q, k, v, mask)
    H_kv, d_h, d_v = k.shape[1], q.shape[3], v.shape[3]
    if q.stride(1) < q.stride(2):  # a token's heads side by side, and so in the result: models join them by a view
        out = torch.empty(B, T, H, d_v, dtype=q.dtype, device=q.device).transpose(1, 2)
    else:
        out = torch.empty(B, H, T, d_v, dtype=q.dtype, device=q.device)
    lse = torch.empty(B, H, T, dtype=torch.float32, device=q.device)
    width = max(16, next_power_of_2(max(d_h, d_v)))
    block_n = block_size(width, q.dtype, q.device)
    if lse.numel() == 0:
        ran("attention", "triton (empty)")
        return out, lse
    scale = 1 / math.sqrt(max(d_h, 1)) if scale is None else scale
    if scale <= 0:  # the kernel takes max(scores) * scale for max(scores * scale); negation is exact
        q, scale = (-q, -scale) if scale < 0 else (torch.zeros_like(q), 1.0)
    # A block's own offsets are 32 bits wide (they live in registers); all others are 64.
    q, k, v = (x if x.stride(3) == 1 and x.stride(2) < 1 << 24 else x.contiguous() for x in (q, k, v))
    with on(q):
        per_head = False
        hidden, span = 0.0, None
        mask_strides: tuple[int, ...] = (0,) * 4
        span_strides: tuple[int, ...] = (0,) * 3
        if mask is not None:
            mask, span, hidden = spans_of(mask, (B, H, T, S))
            per_head = span.shape[1] > 1  # each head has its own `first` then, and its own tiles
            mask_strides, span_strides = mask.stride(), span.expand(B, H, T, 3).stride()[:3]
        pack = 1 if per_head else H // H_kv
        tile = choose_tile(T * pack, width, q.dtype, q.device)
        tiles, heads = cdiv(T * pack, tile.block_m), B * H // pack
        together = max(1, min(heads, _L2 * H // max(1, pack * H_kv * S * (d_h + d_v) * q.element_size())))
        sizes = (T, S, H, H // H_kv, pack, tiles, heads, together, int(causal))
        strides = (*q.stride()[:3], *k.stride()[:3], *v.stride()[:3], *mask_strides, *span_strides, *out.stride()[:3])
        blocks = (tile.block_m, block_n, max(16, next_power_of_2(d_h)), max(16, next_power_of_2(d_v)))
        by_tma = (_descriptor(k, block_n), _descriptor(v, block_n))
        kinds = (mask is not None, mask is not None and mask.is_floating_point(), None not in by_tma)
        launch(
            tiles * heads,
            (q, k, v, *by_tma, mask, span, out, lse),
            (*sizes, *strides, scale * math.log2(math.e), hidden, d_h, d_v, *blocks, *kinds),
            **_options(tile),
        )
    ran("attention", f"triton {tile.block_m}x{block_n}")
    return out, lse


@cache
def block_size(width: int, dtype: torch.dtype, device: torch.device) -> int:
    """BLOCK_N, the slots of a block: part of the written order, so a function of head size, dtype and device alone."""
    if INTERPRETED:
        return 16  # small, so that small tests have several blocks
    if not _tensor_cores(dtype, device):
        return 32 if width <= 128 else 16
    return 64 if width <= 128 or _roomy(device) else 32


@cache
def tiles(width: int, dtype: torch.dtype, device: torch.device) -> tuple[Tile, ...]:
    """The tiles that may run, small ones first. Every one must give the same bits: tests/gpu forces each."""
    if INTERPRETED or not _tensor_cores(dtype, device):
        return Tile(16, 4, 1), Tile(32, 8, 1)
    if _roomy(device):
        # Of the second, two programs fit on a multiprocessor: one takes exponentials while the other multiplies.
        return (Tile(16, 4, 3), Tile(64, 4, 3)) if width <= 128 else (Tile(16, 4, 2), Tile(64, 8, 2), Tile(128, 8, 2))
    return (Tile(16, 4, 2), Tile(64, 4, 2)) if width <= 128 else (Tile(16, 4, 1), Tile(32, 4, 1))


def choose_tile(rows: int, width: int, dtype: torch.dtype, device: torch.device) -> Tile:
    """The smallest tile that holds all the rows that share a K/V head, or else the largest there is."""
    available = tiles(width, dtype, device)
    return next((tile for tile in available if rows <= tile.block_m), available[-1])


def _descriptor(x: Tensor, block_n: int) -> Any:
    """x (B, H_kv, S, d) for Hopper's copy engine, which fetches blocks of slots; None where it cannot."""
    if INTERPRETED or x.element_size() != 2 or not _roomy(x.device) or x.data_ptr() % 16 or not x.numel():
        return None
    strides = [stride if n > 1 else 8 for n, stride in zip(x.shape, x.stride(), strict=True)]
    if any(stride % 8 or stride <= 0 for stride in strides[:3]):
        return None
    block = [1, 1, block_n, max(16, next_power_of_2(x.shape[3]))]
    return TensorDescriptor(x, list(x.shape), [*strides[:3], 1], block)


def _tensor_cores(dtype: torch.dtype, device: torch.device) -> bool:
    # IEEE float32 has none, and Triton uses those of Ampere and later only.
    return dtype != torch.float32 and torch.cuda.get_device_capability(device)[0] >= 8


def _roomy(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device)[0] in (9, 10)  # 227 KB of shared memory; the others have 64 to 163


def _options(tile: Tile) -> dict[str, int | bool]:
    # No fused multiply-add but the one that is written: the two loops of a kernel must not be fused differently.
    return {} if INTERPRETED else {"num_warps": tile.warps, "num_stages": tile.stages, "enable_fp_fusion": False}


def _check(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[int, int, int, int]:
    check_device(q=q, k=k, v=v, mask=None if mask is None or mask.dtype == torch.bool else mask)
    if not q.dtype == k.dtype == v.dtype:
        raise TypeError(f"attention needs q, k and v of one dtype; they are {q.dtype}, {k.dtype} and {v.dtype}")
    for name, x in (("k", k), ("v", v), ("mask", mask)):
        if x is not None and x.device != q.device:
            raise TypeError(f"attention needs its inputs on one device; q is on {q.device}, {name} on {x.device}")
    shapes = f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}"
    if not q.ndim == k.ndim == v.ndim == 4:
        raise ValueError(f"attention takes q (B, H, T, d_h), k (B, H_kv, S, d_h), v (B, H_kv, S, d_v); got {shapes}")
    (B, H, T, d_h), (H_kv, S) = q.shape, k.shape[1:3]
    if k.shape != (B, H_kv, S, d_h) or v.shape[:3] != (B, H_kv, S) or (H % H_kv if H_kv else H):
        raise ValueError(f"attention needs one B, S and d_h, and H a multiple of H_kv; got {shapes}")
    if max(d_h, v.shape[3]) > MAX_HEAD_SIZE:
        raise ValueError(f"attention takes head sizes up to {MAX_HEAD_SIZE}; got {shapes}")
    return B, H, T, S
