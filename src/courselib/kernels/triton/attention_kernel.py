"""The kernel of `attention`, and what it does block by block; `attention.py` says in what order, and why."""

from __future__ import annotations

from .dot import _dot
from .launches import Launcher
from .runtime import tl, triton


@triton.jit(
    do_not_specialize=[
        *("T", "S", "H", "G", "pack", "n_tiles", "n_heads", "together", "causal"),
        *("m_b", "m_h", "m_t", "m_s", "span_b", "span_h", "span_t", "o_b", "o_h", "o_t"),
    ]
)
def _attention_kernel(
    q, k, v, k_tiles, v_tiles, mask, spans, out, lse,
    T, S, H, G, pack, n_tiles, n_heads, together, causal,
    q_b, q_h, q_t, k_b, k_h, k_s, v_b, v_h, v_s, m_b, m_h, m_t, m_s, span_b, span_h, span_t, o_b, o_h, o_t,
    scale, hidden,  # scale is times log2(e): all exponentials are powers of two
    D_H: tl.constexpr, D_V: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_V: tl.constexpr,
    MASKED: tl.constexpr, ADDITIVE: tl.constexpr, TMA: tl.constexpr,
):  # fmt: skip
    # Which rows: `together` heads at a time, whose K and V stay in L2 cache; of these the last tiles first, which under
    # a causal mask are the longest.
    pid = tl.program_id(0)
    head_0 = pid // (together * n_tiles) * together
    wide = tl.minimum(together, n_heads - head_0)
    rest = pid % (together * n_tiles)
    tile = n_tiles - 1 - rest // wide
    head = head_0 + rest % wide
    kv_b, kv_h = head // (H // pack), head % (H // pack) * pack // G  # whose K and V
    b = kv_b.to(tl.int64)
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

    k += b * k_b + kv_h.to(tl.int64) * k_h
    v += b * v_b + kv_h.to(tl.int64) * v_h
    d_h = tl.arange(0, BLOCK_H)
    d_v = tl.arange(0, BLOCK_V)
    query = q + b * q_b + h * q_h + t * q_t
    query = tl.load(query[:, None] + d_h[None, :], mask=real[:, None] & (d_h < D_H)[None, :], other=0.0)
    acc = tl.zeros((BLOCK_M, BLOCK_V), tl.float32)
    total = tl.zeros((BLOCK_M, 8), tl.float32)  # 8 columns, all the same: the narrowest output of a dot
    peak = tl.full((BLOCK_M,), float("-inf"), tl.float32)
    if ask == 0:  # first the blocks that need no look at who sees what, then those that do
        acc, total, peak = _walk(
            acc, total, peak, query, k, v, k_tiles, v_tiles, kv_b, kv_h, k_s, v_s, mask_row, m_s, scale, hidden,
            start, whole, tile_low, tile_high, low, high,
            D_H, D_V, BLOCK_N, BLOCK_H, BLOCK_V, False, False, False, False, TMA,
        )  # fmt: skip
        acc, total, peak = _walk(
            acc, total, peak, query, k, v, k_tiles, v_tiles, kv_b, kv_h, k_s, v_s, mask_row, m_s, scale, hidden,
            whole, tile_high, tile_low, tile_high, low, high,
            D_H, D_V, BLOCK_N, BLOCK_H, BLOCK_V, True, False, False, False, False,
        )  # fmt: skip
    # NaN or infinity in a slot that a row does not see has poisoned the row's 0 * V: again then, with care.
    if ask | _any_strange(acc):
        acc = tl.zeros((BLOCK_M, BLOCK_V), tl.float32)
        total = tl.zeros((BLOCK_M, 8), tl.float32)
        peak = tl.full((BLOCK_M,), float("-inf"), tl.float32)
        acc, total, peak = _walk(
            acc, total, peak, query, k, v, k_tiles, v_tiles, kv_b, kv_h, k_s, v_s, mask_row, m_s, scale, hidden,
            start, tile_high, tile_low, tile_high, low, high,
            D_H, D_V, BLOCK_N, BLOCK_H, BLOCK_V, True, MASKED, ADDITIVE, True, False,
        )  # fmt: skip

    l = tl.max(total, 1)  # of equal columns: picks, does not round
    nothing = l == 0
    l = tl.where(nothing, 1.0, l)
    acc = tl.where(acc == 0, 0.0, acc) / l[:, None]  # no-op blocks may have turned -0.0 into +0.0: one zero for all
    place = b * o_b + h * o_h + t * o_t
    tl.store(
        out + place[:, None] + d_v[None, :],
        acc.to(out.dtype.element_ty),
        mask=real[:, None] & (d_v < D_V)[None, :],
    )
    natural = (peak + tl.log2(l)) * 0.6931471805599453
    tl.store(lse + (b * H + h) * T + t, tl.where(nothing, float("-inf"), natural), mask=real)


@triton.jit
def _walk(
    acc, total, peak, query, k, v, k_tiles, v_tiles, kv_b, kv_h, k_s, v_s, mask_row, m_s, scale, hidden,
    start, stop, tile_low, tile_high, low, high,
    D_H: tl.constexpr, D_V: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_V: tl.constexpr,
    PARTLY: tl.constexpr, MASKED: tl.constexpr, ADDITIVE: tl.constexpr, CAREFUL: tl.constexpr, TMA: tl.constexpr,
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
    # The other walks fetch less ahead: the fast one alone should decide how much shared memory a tile needs.
    for first in tl.range(start, stop, BLOCK_N, num_stages=1 if CAREFUL else 2 if PARTLY else None):
        slot = first + n
        here = tl.cast(first, tl.int64)
        inside = (slot >= tile_low) & (slot < tile_high)
        if TMA:
            keys = tl.reshape(k_tiles.load([kv_b, kv_h, first, 0]), (BLOCK_N, BLOCK_H))
        else:
            keys = _load(k + here * k_s + k_block, inside, d_h, D_H, BLOCK_H, PARTLY)
        s = _dot(query, tl.trans(keys), tl.zeros((query.shape[0], BLOCK_N), tl.float32), "ieee")
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
        if TMA:
            values = tl.reshape(v_tiles.load([kv_b, kv_h, first, 0]), (BLOCK_N, BLOCK_V))
        else:
            values = _load(v + here * v_s + v_block, inside, d_v, D_V, BLOCK_V, PARTLY)
        total = _dot(p, ones, total * rescale[:, None], "ieee")
        acc *= rescale[:, None]
        if CAREFUL:
            strange = _any_strange(values)
            values = tl.where(_is_strange(values), 0.0, values.to(tl.float32)).to(query.dtype)
            acc = _dot(p, values, acc, "ieee")
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
            acc = _dot(p, values, acc, "ieee")
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
def _is_strange(x):
    x = x.to(tl.float32)
    return (x != x) | (tl.abs(x) == float("inf"))


@triton.jit
def _any_strange(x):
    return tl.max(tl.max(_is_strange(x).to(tl.int32), 1), 0) > 0


launch = Launcher(_attention_kernel)
