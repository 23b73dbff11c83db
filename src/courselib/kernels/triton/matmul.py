"""Matrix product in a fixed order: every output is one fp32 accumulator that takes K in ascending order.

A tile of outputs is computed by `tl.dot` steps of BLOCK_K along K. Nothing splits K and nothing is added by atomics, so
what is left to decide an output's bits is how `tl.dot` adds inside one step. A certificate (`certificate.py`) is the
evidence that on one device this is the same for every tile in the table (`tiles.py`); then the tile may follow M, for
speed. Without one, a single tile serves every M.

Two kernels give the same bits: `_by_pointers` takes any strides, `_by_tma` lets Hopper's copy engine fetch the tiles
and can keep one program on each multiprocessor (the persistent kernel of Triton's tutorial 09).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ..cuda import matmul_fp32
from ..evidence import ran
from . import certificate
from .dot import _dot
from .rows import on
from .runtime import INTERPRETED, check_device, tl, triton
from .tiles import FIXED, Tile, choose, gpu

if not INTERPRETED:
    from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait
    from triton.tools.tensor_descriptor import TensorDescriptor


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


def matmul(
    a: Tensor,
    b: Tensor,
    *,
    bias: Tensor | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    out_dtype: torch.dtype | None = None,
    precision: str = "ieee",
) -> Tensor:
    """alpha * (a @ b) + beta * bias: a (M, K), b (K, N) -> (M, N), or a (B, M, K), b (B, K, N) -> (B, M, N).

    a and b of one dtype: float16, bfloat16 or float32, any strides; bias broadcastable to the result, not read when
    beta is 0. Sums are fp32, and one rounding gives out_dtype (default: a's). precision, for float32 inputs: "ieee", or
    "tf32x3" (three TF32 products, near to fp32) or "tf32" (10 bits of mantissa). A row's bits depend on that row, b, N,
    K, the dtypes and the GPU. Raises TypeError for dtypes and devices, ValueError for shapes and an unknown precision.
    """
    check_device(a=a, b=b, bias=bias)
    if a.dtype != b.dtype:
        raise TypeError(f"matmul: a is {a.dtype} and b is {b.dtype}; they must have one dtype")
    if a.device != b.device:
        raise TypeError(f"matmul: a is on {a.device} and b on {b.device}; they must be on one device")
    if precision not in ("ieee", "tf32x3", "tf32"):
        raise ValueError(f'matmul: unknown precision "{precision}": expected "ieee", "tf32x3" or "tf32"')
    if a.dim() not in (2, 3) or a.dim() != b.dim() or a.shape[-1] != b.shape[-2] or a.shape[:-2] != b.shape[:-2]:
        raise ValueError(f"matmul: cannot multiply {tuple(a.shape)} by {tuple(b.shape)}")
    one = a.dim() == 2
    if one:
        a, b = a[None], b[None]
    (B, M, _), N = a.shape, b.shape[2]
    c = torch.empty(B, M, N, dtype=out_dtype or a.dtype, device=a.device)
    bias = None if bias is None or beta == 0 else _expanded(bias, B, M, N)
    if c.numel():
        certified = not INTERPRETED and certificate.holds(a.dtype, precision, a.device)
        cut = None
        if certified and B == 1 and a.dtype == torch.float32 and precision == "ieee":
            cut = matmul_fp32.choose(a[0], b[0], c[0])
        if cut:
            ran("matmul", str(cut))
            matmul_fp32.launch(a[0], b[0], c[0], cut, None if bias is None else bias[0], alpha, beta)
        else:
            tile = _tile(a, b, c, precision) if certified else FIXED[a.element_size()]
            ran("matmul", _label(tile, precision if a.dtype == torch.float32 else ""))
            with on(a):
                launch(a, b, c, tile, bias, alpha, beta, precision)
    return c[0] if one else c


def _expanded(bias: Tensor, B: int, M: int, N: int) -> Tensor:
    try:
        return bias.expand(B, M, N)
    except RuntimeError as error:
        result = (M, N) if B == 1 else (B, M, N)
        raise ValueError(f"matmul: bias {tuple(bias.shape)} cannot be broadcast to the result {result}") from error


@lru_cache
def _label(tile: Tile, precision: str) -> str:
    return f"triton {tile} {precision}".rstrip()


def _tile(a: Tensor, b: Tensor, c: Tensor, precision: str) -> Tile:
    tma = a.shape[0] == 1 and a.shape[2] > 0 and a.element_size() == 2 and all(map(_suits_tma, (a[0], b[0], c[0])))
    M, N = c.shape[1:]
    return choose(M, N, a.element_size(), c.element_size(), precision, tma, gpu(a.device))


def _suits_tma(x: Tensor) -> bool:
    """TMA reads a matrix with 16-byte aligned rows (or columns, if those are the contiguous ones)."""
    fast, slow = (1, 0) if x.stride(1) == 1 else (0, 1)
    stride = x.stride(slow) * x.element_size()
    return x.stride(fast) == 1 and stride % 16 == 0 and stride > 0 and x.data_ptr() % 16 == 0


def launch(
    a: Tensor, b: Tensor, c: Tensor, tile: Tile,
    bias: Tensor | None = None, alpha: float = 1.0, beta: float = 1.0, precision: str = "ieee",
) -> None:  # fmt: skip
    """Run one tile on the current device: a (B, M, K), b (B, K, N), bias (B, M, N) or None, c (B, M, N) contiguous.

    B = 1 where tile.tma.
    """
    B, M, K = a.shape
    N = b.shape[2]
    scaled = alpha != 1.0 or (bias is not None and beta != 1.0)
    tiles = triton.cdiv(M, tile.m) * triton.cdiv(N, tile.n + tile.n2)
    options: dict[str, int | bool] = {}
    if not INTERPRETED:
        options = {"num_warps": tile.warps, "num_stages": tile.stages, "launch_pdl": tile.early}
        options["enable_fp_fusion"] = not scaled  # alpha * acc + beta * bias: two products and a sum, in every tile
    add = c if bias is None else bias
    bias_strides = (0, 0, 0) if bias is None else bias.stride()
    if not tile.tma:
        _by_pointers[(B * tiles,)](
            a, b, c, add, M, N, K, tiles, *a.stride(), *b.stride(), M * N, *bias_strides, alpha, beta,
            tile.m, tile.n, tile.k, K % tile.k == 0, scaled, bias is not None, precision, **options,
        )  # fmt: skip
        return
    nk = b.stride(1) == 1  # as torch.nn.Linear keeps its weights
    weights = b[0].t() if nk else b[0]
    wide, narrow = ([n, tile.k] if nk else [tile.k, n] for n in (tile.n, tile.n2))
    programs = gpu(a.device).multiprocessors if tile.persistent else 0
    _by_tma[(min(programs, tiles) if programs else tiles,)](
        TensorDescriptor.from_tensor(a[0], [tile.m, tile.k]),
        TensorDescriptor.from_tensor(weights, wide),
        TensorDescriptor.from_tensor(weights, narrow) if tile.n2 else None,
        TensorDescriptor.from_tensor(c[0], [tile.m, tile.n // 2 if tile.halves else tile.n]),
        TensorDescriptor.from_tensor(c[0], [tile.m, tile.n2]) if tile.n2 else None,
        add, M, N, K, *bias_strides[1:], alpha, beta,
        tile.m, tile.n, tile.n2, tile.k, programs, nk, tile.halves, tile.early,
        scaled, bias is not None, precision, **options,
    )  # fmt: skip
