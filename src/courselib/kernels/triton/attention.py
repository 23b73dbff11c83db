"""Attention in one written order: FlashAttention's forward pass (Dao, "FlashAttention-2", on the online softmax of
Milakov and Gimelshein), arranged so that nothing around a row can move its bits.

* K and V are walked in blocks of BLOCK_N slots, ascending, with one running (max, sum, output) a row. Blocks are
  counted from the sequence's own first visible slot, so that left padding shifts no boundary. BLOCK_N follows from the
  head size, the dtype and the device alone. There are no KV splits, so a long decode of few sequences leaves most of a
  GPU idle: that is a matter for kernels made for decode.
* A block that a row does not see is an exact no-op for it (weights 0, rescaling by exactly 1): skipped or walked is the
  same. So a tile may hold any rows: the G = H / H_kv query heads of a K/V head are packed side by side, and BLOCK_M,
  warps and stages follow the number of rows.
* What is left to the compiler's layout must not round. The row's max does not; a row sum by tl.sum would. So the sum is
  taken as one more output of the second dot, P @ ones, whose order over slots is the order of P @ V.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from ..evidence import ran
from .runtime import INTERPRETED, check_device, tl, triton

MAX_HEAD_SIZE = 256
# A float mask hides what it adds this much to, or less: -inf, and all that stands for it in practice, such as a dtype's
# lowest number, or the -65504 that PyTorch puts for False where it chooses cuDNN's attention. A weight of exp(-30000)
# is 0 beside any other; but a slot that merely weighs nothing would still be counted as the sequence's first.
HIDDEN = -30000.0
_INTERPRETED = tl.constexpr(INTERPRETED)
_SCAN = 4096  # slots of a mask's row that are looked at together
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

    q (B, H, T, d_h), k (B, H_kv, S, d_h), v (B, H_kv, S, d_v), all float16, bfloat16 or float32 and any strides; H a
    multiple of H_kv, d_h and d_v at most 256. scale defaults to 1/sqrt(d_h). mask, bool (True: visible) or float (added
    to the scaled scores in float32), broadcasts to (B, H, T, S) and is read where it lies; a value of a float mask at
    or below HIDDEN hides the slot altogether, as -inf does. causal: row t sees slots s <= t, and with a mask only those
    that both allow. A row that sees nothing gives zeros and lse -inf. What lies in a
    slot that a row does not see, NaN too, does nothing to that row (but makes its tile slower: it is walked twice).

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
    out = torch.empty(B, H, T, d_v, dtype=q.dtype, device=q.device)
    lse = torch.empty(B, H, T, dtype=torch.float32, device=q.device)
    width = max(16, triton.next_power_of_2(max(d_h, d_v)))
    block_n = block_size(width, q.dtype, q.device)
    if lse.numel() == 0:
        ran("attention", "triton (empty)")
        return out, lse
    scale = 1 / math.sqrt(max(d_h, 1)) if scale is None else scale
    if scale <= 0:  # the kernel takes max(scores) * scale for max(scores * scale); negation is exact
        q, scale = (-q, -scale) if scale < 0 else (torch.zeros_like(q), 1.0)
    # A block's own offsets are 32 bits wide (they live in registers); all others are 64.
    q, k, v = (x if x.stride(3) == 1 and x.stride(2) < 1 << 24 else x.contiguous() for x in (q, k, v))
    with torch.cuda.device(q.device) if q.is_cuda else nullcontext():
        per_head = False
        hidden, span = 0.0, None
        mask_strides: tuple[int, ...] = (0,) * 4
        span_strides: tuple[int, ...] = (0,) * 3
        if mask is not None:
            mask, span, hidden = _spans(mask, (B, H, T, S))
            per_head = span.shape[1] > 1  # each head has its own `first` then, and its own tiles
            mask_strides, span_strides = mask.stride(), span.expand(B, H, T, 3).stride()[:3]
        pack = 1 if per_head else H // H_kv
        tile = choose_tile(T * pack, width, q.dtype, q.device)
        tiles, heads = triton.cdiv(T * pack, tile.block_m), B * H // pack
        together = max(1, min(heads, _L2 * H // max(1, pack * H_kv * S * (d_h + d_v) * q.element_size())))
        _attention_kernel[(tiles * heads,)](
            q, k, v, mask, span, out, lse,
            T, S, H, H // H_kv, pack, tiles, heads, together, int(causal),
            *q.stride()[:3], *k.stride()[:3], *v.stride()[:3], *mask_strides, *span_strides,
            scale * math.log2(math.e), hidden,
            D_H=d_h, D_V=d_v, BLOCK_M=tile.block_m, BLOCK_N=block_n,
            BLOCK_H=max(16, triton.next_power_of_2(d_h)), BLOCK_V=max(16, triton.next_power_of_2(d_v)),
            MASKED=mask is not None, ADDITIVE=mask is not None and mask.is_floating_point(),
            **_options(tile),
        )  # fmt: skip
    ran("attention", f"triton {tile.block_m}x{block_n}")
    return out, lse


@cache
def block_size(width: int, dtype: torch.dtype, device: torch.device) -> int:
    """BLOCK_N, the slots of a block: part of the written order, so a function of head size, dtype and device alone."""
    if INTERPRETED:
        return 16  # small, so that small tests have several blocks
    if not _tensor_cores(dtype, device):
        return 32 if width <= 128 else 16
    return (128 if width <= 128 else 64) if _roomy(device) else (64 if width <= 128 else 32)


@cache
def tiles(width: int, dtype: torch.dtype, device: torch.device) -> tuple[Tile, ...]:
    """The tiles that may run, small ones first. Every one must give the same bits: tests/gpu forces each."""
    if INTERPRETED or not _tensor_cores(dtype, device):
        return Tile(16, 4, 1), Tile(32, 8, 1)
    if _roomy(device):
        return Tile(16, 4, 2), Tile(64, 8, 2), Tile(128, 8, 2)
    return (Tile(16, 4, 2), Tile(64, 4, 2)) if width <= 128 else (Tile(16, 4, 1), Tile(32, 4, 1))


def choose_tile(rows: int, width: int, dtype: torch.dtype, device: torch.device) -> Tile:
    """The smallest tile that holds all the rows that share a K/V head, or else the largest there is."""
    available = tiles(width, dtype, device)
    return next((tile for tile in available if rows <= tile.block_m), available[-1])


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


# ------------------------------------------------------------------------------------------------ masks


def _spans(mask: Tensor, shape: tuple[int, int, int, int]) -> tuple[Tensor, Tensor, float]:
    """What the mask lets each row see, found on the device: (mask as a view of `shape`, spans, hidden).

    spans (B, H, T, 3) int32, of size 1 where the mask repeats itself: a row's first visible slot, one past its last,
    and 1 where it sees all slots between and adds nothing to any. Such rows, and so the usual masks (causal, padding,
    a chunk of a prefill), need no further look at the mask. A float mask's value hides its slot when <= hidden.
    """
    try:
        mask = mask.expand(shape)
    except RuntimeError as error:
        raise ValueError(f"attention needs a mask that broadcasts to {shape}; got {tuple(mask.shape)}") from error
    B, H, T, S = shape
    additive = mask.is_floating_point()
    hidden = HIDDEN if additive else 0.0
    mask = mask if additive else mask.view(torch.uint8)
    own = [n if step else 1 for n, step in zip((B, H, T), mask.stride(), strict=False)]
    spans = torch.empty(*own, 3, dtype=torch.int32, device=mask.device)
    rows = math.prod(own)
    _span_kernel[(rows,)](mask, spans, *own[1:], S, *mask.stride(), hidden, ADDITIVE=additive, BLOCK=_SCAN)
    return mask, spans, hidden


@triton.jit(do_not_specialize=["H", "T", "S", "m_b", "m_h", "m_t", "m_s"])
def _span_kernel(mask, spans, H, T, S, m_b, m_h, m_t, m_s, hidden, ADDITIVE: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    mask += row // T // H * m_b + row // T % H * m_h + row % T * m_t
    first = S
    end = 0
    plain = 0
    for start in range(0, S, BLOCK):
        slot = start + tl.arange(0, BLOCK)
        x = tl.load(mask + slot.to(tl.int64) * m_s, mask=slot < S, other=0)
        if ADDITIVE:
            visible = (slot < S) & ((x.to(tl.float32) <= hidden) == 0)  # NaN is visible
            untouched = visible & (x == 0)
        else:
            visible = (slot < S) & (x != 0)
            untouched = visible
        first = tl.minimum(first, tl.min(tl.where(visible, slot, S), 0))
        end = tl.maximum(end, tl.max(tl.where(visible, slot + 1, 0), 0))
        plain += tl.sum(untouched.to(tl.int32), 0)
    tl.store(spans + row * 3, first)
    tl.store(spans + row * 3 + 1, end)
    tl.store(spans + row * 3 + 2, ((plain == end - first) | (end == 0)).to(tl.int32))


# ------------------------------------------------------------------------------------------------ the kernel


@triton.jit(
    do_not_specialize=[
        *("T", "S", "H", "G", "pack", "n_tiles", "n_heads", "together", "causal"),
        *("m_b", "m_h", "m_t", "m_s", "span_b", "span_h", "span_t"),
    ]
)
def _attention_kernel(
    q, k, v, mask, spans, out, lse,
    T, S, H, G, pack, n_tiles, n_heads, together, causal,
    q_b, q_h, q_t, k_b, k_h, k_s, v_b, v_h, v_s, m_b, m_h, m_t, m_s, span_b, span_h, span_t,
    scale, hidden,  # scale is times log2(e): all exponentials are powers of two
    D_H: tl.constexpr, D_V: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_V: tl.constexpr,
    MASKED: tl.constexpr, ADDITIVE: tl.constexpr,
):  # fmt: skip
    # Which rows: `together` heads at a time, whose K and V stay in L2 cache; of these the last tiles first, which under
    # a causal mask are the longest.
    pid = tl.program_id(0)
    head_0 = pid // (together * n_tiles) * together
    wide = tl.minimum(together, n_heads - head_0)
    rest = pid % (together * n_tiles)
    tile = n_tiles - 1 - rest // wide
    head = head_0 + rest % wide
    b = (head // (H // pack)).to(tl.int64)
    head = (head % (H // pack)).to(tl.int64)  # counts packs of query heads
    row = tile * BLOCK_M + tl.arange(0, BLOCK_M)
    real = row < T * pack
    t = (row // pack).to(tl.int64)
    h = head * pack + row % pack

    # What they see: slots low <= s < high of their own, and origin, where the counting of blocks starts.
    mask_row = t
    low = tl.zeros((BLOCK_M,), tl.int32)
    high = tl.zeros((BLOCK_M,), tl.int32) + S
    origin = 0
    ask = tl.min(low, 0) > 0  # does any row need the mask itself? Without a mask: no
    if MASKED:
        mask_row = mask + b * m_b + h * m_h + t * m_t
        span = spans + b * span_b + h * span_h + t * span_t
        low = tl.load(span, mask=real, other=0)
        high = tl.load(span + 1, mask=real, other=0)
        ask = tl.min(tl.load(span + 2, mask=real, other=1), 0) == 0
        last = spans + b * span_b + head * pack * span_h + tl.cast(T - 1, tl.int64) * span_t
        origin = tl.load(last)
        end = tl.load(last + 1)
        end = tl.where(causal != 0, tl.minimum(end, T), end)
        origin = tl.where(origin < end, origin, 0)
    high = tl.where(causal != 0, tl.minimum(high, t.to(tl.int32) + 1), high)
    sees = real & (low < high)
    tile_low = tl.min(tl.where(sees, low, S), 0)
    tile_high = tl.max(tl.where(sees, high, 0), 0)
    # Blocks start at origin + i * BLOCK_N; i may be negative, where an earlier row sees more than the last one.
    start = origin % BLOCK_N - BLOCK_N
    start += (tile_low - start) // BLOCK_N * BLOCK_N
    # From there on, those that every row sees whole.
    whole = tl.maximum(tl.min(tl.where(real, high, S), 0) - start, 0) // BLOCK_N * BLOCK_N
    whole = tl.where(tl.max(tl.where(real, low, 0), 0) <= start, start + whole, start)

    k += b * k_b + head * pack // G * k_h
    v += b * v_b + head * pack // G * v_h
    d_h = tl.arange(0, BLOCK_H)
    d_v = tl.arange(0, BLOCK_V)
    query = q + b * q_b + h * q_h + t * q_t
    query = tl.load(query[:, None] + d_h[None, :], mask=real[:, None] & (d_h < D_H)[None, :], other=0.0)
    acc = tl.zeros((BLOCK_M, BLOCK_V), tl.float32)
    total = tl.zeros((BLOCK_M, 8), tl.float32)  # 8 columns, all the same: the narrowest output of a dot
    peak = tl.full((BLOCK_M,), float("-inf"), tl.float32)
    if ask == 0:  # first the blocks that need no look at who sees what, then those that do
        acc, total, peak = _walk(
            acc, total, peak, query, k, v, k_s, v_s, mask_row, m_s, scale, hidden,
            start, whole, tile_low, tile_high, low, high,
            D_H, D_V, BLOCK_N, BLOCK_H, BLOCK_V, False, False, False, False,
        )  # fmt: skip
        acc, total, peak = _walk(
            acc, total, peak, query, k, v, k_s, v_s, mask_row, m_s, scale, hidden,
            whole, tile_high, tile_low, tile_high, low, high,
            D_H, D_V, BLOCK_N, BLOCK_H, BLOCK_V, True, False, False, False,
        )  # fmt: skip
    # NaN or infinity in a slot that a row does not see has poisoned the row's 0 * V: again then, with care.
    if ask | _any_strange(acc):
        acc = tl.zeros((BLOCK_M, BLOCK_V), tl.float32)
        total = tl.zeros((BLOCK_M, 8), tl.float32)
        peak = tl.full((BLOCK_M,), float("-inf"), tl.float32)
        acc, total, peak = _walk(
            acc, total, peak, query, k, v, k_s, v_s, mask_row, m_s, scale, hidden,
            start, tile_high, tile_low, tile_high, low, high,
            D_H, D_V, BLOCK_N, BLOCK_H, BLOCK_V, True, MASKED, ADDITIVE, True,
        )  # fmt: skip

    l = tl.max(total, 1)  # of equal columns: picks, does not round
    nothing = l == 0
    l = tl.where(nothing, 1.0, l)
    acc = tl.where(acc == 0, 0.0, acc) / l[:, None]  # no-op blocks may have turned -0.0 into +0.0: one zero for all
    place = (b * H + h) * T + t
    tl.store(
        out + place[:, None] * D_V + d_v[None, :],
        acc.to(out.dtype.element_ty),
        mask=real[:, None] & (d_v < D_V)[None, :],
    )
    natural = (peak + tl.log2(l)) * 0.6931471805599453
    tl.store(lse + place, tl.where(nothing, float("-inf"), natural), mask=real)


@triton.jit
def _walk(
    acc, total, peak, query, k, v, k_s, v_s, mask_row, m_s, scale, hidden,
    start, stop, tile_low, tile_high, low, high,
    D_H: tl.constexpr, D_V: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_V: tl.constexpr,
    PARTLY: tl.constexpr, MASKED: tl.constexpr, ADDITIVE: tl.constexpr, CAREFUL: tl.constexpr,
):  # fmt: skip
    """The blocks at start <= slot < stop, ascending. PARTLY: some slots are hidden from some rows. What a row sees goes
    through the same operations with it or without."""
    n = tl.arange(0, BLOCK_N)
    d_h = tl.arange(0, BLOCK_H)
    d_v = tl.arange(0, BLOCK_V)
    k_block = n[:, None] * k_s + d_h[None, :]
    v_block = n[:, None] * v_s + d_v[None, :]
    ones = tl.full((BLOCK_N, 8), 1.0, tl.float32).to(query.dtype)
    if MASKED:
        ahead = _look(mask_row, m_s, start + n, low, high)
    # The careful walk fetches nothing ahead: the fast ones alone should decide how much shared memory a tile needs.
    for first in tl.range(start, stop, BLOCK_N, num_stages=1 if CAREFUL else None):
        slot = first + n
        here = tl.cast(first, tl.int64)
        inside = (slot >= tile_low) & (slot < tile_high)
        keys = _load(k + here * k_s + k_block, inside, d_h, D_H, BLOCK_H, PARTLY)
        s = _dot(query, tl.trans(keys), tl.zeros((query.shape[0], BLOCK_N), tl.float32))
        if PARTLY:
            visible = (slot[None, :] >= low[:, None]) & (slot[None, :] < high[:, None])
            if MASKED:
                # Looked up a block early: were these 8-bit words in sight of the dots, Triton would lay p out for 8-bit
                # operands where it uses mma.sync, and so add in another order there than where it uses wgmma.
                x = ahead
                ahead = _look(mask_row, m_s, slot + BLOCK_N, low, high)
                if ADDITIVE:
                    bias = x.to(tl.float32)
                    visible = visible & ((bias <= hidden) == 0)
                    bias = tl.where(visible, bias, 0.0) * 1.4426950408889634
                else:
                    visible = visible & (x != 0)
            s = tl.where(visible, s, float("-inf"))
        # Rounding keeps order, so that the max of the scaled scores is the scaled max; with bias 0 both lines agree.
        if ADDITIVE:
            new = tl.maximum(peak, tl.max(tl.fma(s, scale, bias), 1))
        else:
            new = tl.maximum(peak, tl.max(s, 1) * scale)
        shift = tl.where(new == float("-inf"), 0.0, new)  # nothing seen yet: weights exp2(-inf), not exp2(NaN)
        if ADDITIVE:
            p = tl.exp2(tl.fma(s, scale, bias - shift[:, None]))
        else:
            p = tl.exp2(tl.fma(s, scale, 0.0 - shift[:, None]))
        p = p.to(query.dtype)
        rescale = tl.exp2(peak - shift)
        peak = new
        values = _load(v + here * v_s + v_block, inside, d_v, D_V, BLOCK_V, PARTLY)
        total = _dot(p, ones, total * rescale[:, None])
        acc *= rescale[:, None]
        if CAREFUL:
            strange = _any_strange(values)
            values = tl.where(_is_strange(values), 0.0, values.to(tl.float32)).to(query.dtype)
            acc = _dot(p, values, acc)
            if strange:  # what was left out, slot by slot, for the rows that see it
                for i in range(0, BLOCK_N):
                    one = tl.load(
                        v + (here + i) * v_s + d_v,
                        mask=(d_v < D_V) & (first + i >= tile_low) & (first + i < tile_high),
                        other=0.0,
                    )
                    weight = tl.sum(tl.where((n == i)[None, :], p.to(tl.float32), 0.0), 1)  # of one number and zeros
                    seen = tl.max((visible & (n == i)[None, :]).to(tl.int32), 1) > 0
                    wrong = acc + weight[:, None] * one.to(tl.float32)[None, :]
                    acc = tl.where(seen[:, None] & _is_strange(one)[None, :], wrong, acc)
        else:
            acc = _dot(p, values, acc)
    return acc, total, peak


@triton.jit
def _look(mask_row, m_s, slot, low, high):
    """The mask's words where a row may look: (rows, slots)."""
    inside = (slot[None, :] >= low[:, None]) & (slot[None, :] < high[:, None])
    return tl.load(mask_row[:, None] + slot[None, :].to(tl.int64) * m_s, mask=inside, other=0)


@triton.jit
def _load(pointers, inside, d, D: tl.constexpr, BLOCK_D: tl.constexpr, PARTLY: tl.constexpr):
    if PARTLY:
        x = tl.load(pointers, mask=inside[:, None] & (d < D)[None, :], other=0.0)
    elif D < BLOCK_D:
        x = tl.load(pointers, mask=(d < D)[None, :], other=0.0)
    else:
        x = tl.load(pointers)
    return x


@triton.jit
def _dot(a, b, c):
    # The interpreter's dot is NumPy's matmul, which rounds a row by its place among the rows; here k simply ascends.
    if _INTERPRETED:
        return c + tl.sum(a.to(tl.float32)[:, :, None] * b.to(tl.float32)[None, :, :], 1)
    return tl.dot(a, b, c, input_precision="ieee")


@triton.jit
def _is_strange(x):
    x = x.to(tl.float32)
    return (x != x) | (tl.abs(x) == float("inf"))


@triton.jit
def _any_strange(x):
    return tl.max(tl.max(_is_strange(x).to(tl.int32), 1), 0) > 0
