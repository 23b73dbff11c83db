# mypy: ignore-errors
"""Three sound kernels: a test that finds fault with one of them raises a false alarm.

Not the solution's: other tiles, another way through a row. What they share is that nothing depends on the batch.
"""

import os

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
import triton
import triton.language as tl


@triton.jit(do_not_specialize=["M"])
def _sound_products(a, b, c, M, N, K, TILE_M: tl.constexpr, TILE_N: tl.constexpr, STEP: tl.constexpr):
    m = tl.program_id(0) * TILE_M + tl.arange(0, TILE_M)
    n = tl.program_id(1) * TILE_N + tl.arange(0, TILE_N)
    total = tl.zeros((TILE_M, TILE_N), dtype=tl.float32)
    for start in range(0, K, STEP):
        k = start + tl.arange(0, STEP)
        x = tl.load(a + m[:, None] * K + k[None, :], mask=(m < M)[:, None] & (k < K)[None, :], other=0.0)
        w = tl.load(b + k[:, None] * N + n[None, :], mask=(k < K)[:, None] & (n < N)[None, :], other=0.0)
        total += tl.dot(x, w, input_precision="ieee")
    tl.store(c + m[:, None] * N + n[None, :], total.to(c.dtype.element_ty), mask=(m < M)[:, None] & (n < N)[None, :])


def matmul(a, b):
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=a.dtype, device=a.device)
    _sound_products[(triton.cdiv(M, 32), triton.cdiv(N, 32))](a.contiguous(), b.contiguous(), c, M, N, K, 32, 32, 32)
    return c


@triton.jit
def _sound_log_softmax(x, y, D, CHUNK: tl.constexpr):
    """One pass for the maximum and the sum together: the sum is scaled down whenever the maximum grows."""
    at = tl.program_id(0).to(tl.int64) * D
    top, total = float("-inf"), 0.0
    for start in range(0, D, CHUNK):
        i = start + tl.arange(0, CHUNK)
        v = tl.load(x + at + i, mask=i < D, other=float("-inf")).to(tl.float32)
        new = tl.maximum(top, tl.max(v, 0))
        total = total * tl.exp(top - new) + tl.sum(tl.exp(v - new), 0)
        top = new
    for start in range(0, D, CHUNK):
        i = start + tl.arange(0, CHUNK)
        v = tl.load(x + at + i, mask=i < D, other=0.0).to(tl.float32)
        tl.store(y + at + i, (v - (top + tl.log(total))).to(y.dtype.element_ty), mask=i < D)


def log_softmax(x, dim=-1):
    rows, back = _as_rows(x, dim)
    y = torch.empty_like(rows)
    _sound_log_softmax[(rows.shape[0],)](rows, y, rows.shape[1], 512)
    return back(y)


@triton.jit
def _sound_mean(x, y, D, CHUNK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64)
    total = 0.0
    for start in range(0, D, CHUNK):
        i = start + tl.arange(0, CHUNK)
        total += tl.sum(tl.load(x + at * D + i, mask=i < D, other=0.0).to(tl.float32), 0)
    tl.store(y + at, (total / D).to(y.dtype.element_ty))


def mean(x, dim=-1, keepdim=False):
    rows, back = _as_rows(x, dim)
    y = torch.empty((rows.shape[0], 1), dtype=x.dtype, device=x.device)
    _sound_mean[(rows.shape[0],)](rows, y, rows.shape[1], 128)
    return back(y) if keepdim else back(y).squeeze(dim if isinstance(dim, int) else dim[0])


def _as_rows(x, dim):
    """x as contiguous rows along one dimension, and how what they come to goes back to x's shape."""
    dim = dim if isinstance(dim, int) else dim[0]
    moved = x.movedim(dim, -1)

    def back(y):
        return y.view(*moved.shape[:-1], y.shape[-1]).movedim(-1, dim).contiguous()

    return moved.reshape(-1, moved.shape[-1]).contiguous(), back
