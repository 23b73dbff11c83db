"""The two kernels of `matmul`: `_by_pointers` takes any strides, `_by_tma` lets Hopper's copy engine fetch the tiles,
and can keep one program on each multiprocessor (the persistent kernel of Triton's tutorial 09). Their text is what a
certificate is about.
"""

from __future__ import annotations

from .dot import _dot
from .launches import Launcher
from .runtime import INTERPRETED, tl, triton

if not INTERPRETED:
    from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait


@triton.jit
def _place(tile, M, N, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """Row and column of a tile: 8 rows of tiles at a time, so that those that run together share B in the L2 cache."""
    tiles_m, tiles_n = tl.cdiv(M, BLOCK_M), tl.cdiv(N, BLOCK_N)
    first = tile // (8 * tiles_n) * 8
    rows = tl.minimum(tiles_m - first, 8)
    return first + tile % (8 * tiles_n) % rows, tile % (8 * tiles_n) // rows


@triton.jit
def _epilogue(acc, bias, m, n, M, N, bias_m, bias_n, alpha, beta, SCALED: tl.constexpr, BIAS: tl.constexpr):
    """alpha * acc + beta * bias, in fp32; each only where there is something to do."""
    acc += 0.0  # -0 to +0: how many zeros past the end of K were added must not show
    if SCALED:
        acc = acc * alpha
    if BIAS:
        mask = (m[:, None] < M) & (n[None, :] < N)
        at = m[:, None].to(tl.int64) * bias_m + n[None, :].to(tl.int64) * bias_n
        add = tl.load(bias + at, mask, other=0.0).to(tl.float32)
        if SCALED:
            add = add * beta
        acc = acc + add
    return acc


@triton.jit(do_not_specialize=["M", "tiles"])
def _by_pointers(
    a, b, c, bias, M, N, K, tiles,
    a_batch, a_m, a_k, b_batch, b_k, b_n, c_batch, bias_batch, bias_m, bias_n, alpha, beta,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    EVEN_K: tl.constexpr, SCALED: tl.constexpr, BIAS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    batch = (tl.program_id(0) // tiles).to(tl.int64)
    pid_m, pid_n = _place(tl.program_id(0) % tiles, M, N, BLOCK_M, BLOCK_N)
    m = pid_m * BLOCK_M + tl.arange(0, BLOCK_M)
    n = pid_n * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    # Rows and columns past the edge read the last one again, which is harmless: they are not stored.
    m_in, n_in = tl.minimum(m, M - 1).to(tl.int64), tl.minimum(n, N - 1).to(tl.int64)
    a_at = a + batch * a_batch + m_in[:, None] * a_m + k[None, :] * a_k
    b_at = b + batch * b_batch + k[:, None] * b_k + n_in[None, :] * b_n
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for done in range(0, K, BLOCK_K):
        if EVEN_K:
            a_tile, b_tile = tl.load(a_at), tl.load(b_at)
        else:  # zeros past the end of K: they add nothing
            a_tile = tl.load(a_at, mask=k[None, :] < K - done, other=0.0)
            b_tile = tl.load(b_at, mask=k[:, None] < K - done, other=0.0)
        acc = _dot(a_tile, b_tile, acc, PRECISION)
        a_at += BLOCK_K * a_k
        b_at += BLOCK_K * b_k
    acc = _epilogue(acc, bias + batch * bias_batch, m, n, M, N, bias_m, bias_n, alpha, beta, SCALED, BIAS)
    c_at = c + batch * c_batch + m[:, None].to(tl.int64) * N + n[None, :]
    tl.store(c_at, acc.to(c.dtype.element_ty), mask=(m[:, None] < M) & (n[None, :] < N))


@triton.jit(do_not_specialize=["M", "N", "K", "bias_m"])
def _by_tma(
    a, b, b2, c, c2, bias, M, N, K, bias_m, bias_n, alpha, beta,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_N2: tl.constexpr, BLOCK_K: tl.constexpr,
    PROGRAMS: tl.constexpr, B_IS_NK: tl.constexpr, HALVES: tl.constexpr, EARLY: tl.constexpr,
    SCALED: tl.constexpr, BIAS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """a, b, c: descriptors of whole matrices; b2, c2: of the same, BLOCK_N2 columns wide. PROGRAMS = 0: one a tile."""
    if EARLY:
        gdc_launch_dependents()  # the next kernel may take its place now; it waits for this one's results, as here:
        gdc_wait()
    if PROGRAMS:
        tiles = tl.cdiv(M, BLOCK_M) * tl.cdiv(N, BLOCK_N + BLOCK_N2)
        for tile in tl.range(tl.program_id(0), tiles, PROGRAMS, flatten=True):
            _tma_tile(
                tile, a, b, b2, c, c2, bias, M, N, K, bias_m, bias_n, alpha, beta,
                BLOCK_M, BLOCK_N, BLOCK_N2, BLOCK_K, B_IS_NK, HALVES, SCALED, BIAS, PRECISION,
            )  # fmt: skip
    else:
        _tma_tile(
            tl.program_id(0), a, b, b2, c, c2, bias, M, N, K, bias_m, bias_n, alpha, beta,
            BLOCK_M, BLOCK_N, BLOCK_N2, BLOCK_K, B_IS_NK, HALVES, SCALED, BIAS, PRECISION,
        )  # fmt: skip


@triton.jit
def _tma_tile(
    tile, a, b, b2, c, c2, bias, M, N, K, bias_m, bias_n, alpha, beta,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_N2: tl.constexpr, BLOCK_K: tl.constexpr,
    B_IS_NK: tl.constexpr, HALVES: tl.constexpr, SCALED: tl.constexpr, BIAS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    pid_m, pid_n = _place(tile, M, N, BLOCK_M, BLOCK_N + BLOCK_N2)
    at_m, at_n = pid_m * BLOCK_M, pid_n * (BLOCK_N + BLOCK_N2)
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    if BLOCK_N2:
        acc2 = tl.zeros((BLOCK_M, BLOCK_N2), dtype=tl.float32)
    for at_k in range(0, K, BLOCK_K):
        a_tile = a.load([at_m, at_k])
        acc = _dot(a_tile, _b_tile(b, at_k, at_n, B_IS_NK), acc, PRECISION)
        if BLOCK_N2:
            acc2 = _dot(a_tile, _b_tile(b2, at_k, at_n + BLOCK_N, B_IS_NK), acc2, PRECISION)
    m, n = at_m + tl.arange(0, BLOCK_M), at_n + tl.arange(0, BLOCK_N)
    acc = _epilogue(acc, bias, m, n, M, N, bias_m, bias_n, alpha, beta, SCALED, BIAS)
    if HALVES:
        left, right = tl.split(tl.permute(tl.reshape(acc, (BLOCK_M, 2, BLOCK_N // 2)), (0, 2, 1)))
        c.store([at_m, at_n], left.to(c.dtype))
        c.store([at_m, at_n + BLOCK_N // 2], right.to(c.dtype))
    else:
        c.store([at_m, at_n], acc.to(c.dtype))
    if BLOCK_N2:
        n2 = at_n + BLOCK_N + tl.arange(0, BLOCK_N2)
        acc2 = _epilogue(acc2, bias, m, n2, M, N, bias_m, bias_n, alpha, beta, SCALED, BIAS)
        c2.store([at_m, at_n + BLOCK_N], acc2.to(c.dtype))


@triton.jit
def _b_tile(b, at_k, at_n, B_IS_NK: tl.constexpr):
    if B_IS_NK:
        return b.load([at_n, at_k]).T
    else:
        return b.load([at_k, at_n])


KERNELS = (_place, _epilogue, _dot, _by_pointers, _by_tma, _tma_tile, _b_tile)  # what a certificate is about

launch_by_pointers = Launcher(_by_pointers)
launch_by_tma = Launcher(_by_tma)
