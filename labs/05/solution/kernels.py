"""Lab 05: matmul, log_softmax and mean in Triton. What a row comes to is decided by that row alone.

Each launcher chooses its tile from the length of the reduction and never from the number of rows, so every row is added
up in the same order in any company. `registered()` puts the three behind torch.mm, torch.log_softmax and torch.mean.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when a kernel is defined: it then runs as NumPy, on CPU tensors
import triton
import triton.language as tl

# ---- matmul -------------------------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["M"])
def matmul_kernel(
    a, b, c, M, N, K, stride_am, stride_ak, stride_bk, stride_bn,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """One tile of c (M, N) = a (M, K) @ b (K, N). k runs upwards, BLOCK_K at a time, into one float32 accumulator."""
    rows = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    cols = tl.program_id(1).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    steps = tl.arange(0, BLOCK_K)
    acc = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(0, K, BLOCK_K):
        k = start + steps
        # Beyond an edge both tiles hold zeros: adding 0 * 0 moves no bit, and nobody's NaN can come in.
        a_tile = tl.load(
            a + rows[:, None] * stride_am + k[None, :] * stride_ak,
            mask=(rows[:, None] < M) & (k[None, :] < K),
            other=0.0,
        )
        b_tile = tl.load(
            b + k[:, None] * stride_bk + cols[None, :] * stride_bn,
            mask=(k[:, None] < K) & (cols[None, :] < N),
            other=0.0,
        )
        acc = tl.dot(a_tile, b_tile, acc, input_precision="ieee")  # the default on a GPU rounds float32 to TF32
    here = (rows[:, None] < M) & (cols[None, :] < N)
    tl.store(c + rows[:, None] * N + cols[None, :], acc.to(c.dtype.element_ty), mask=here)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """a (M, K) @ b (K, N) -> (M, N) in a's dtype: float32 or float16, accumulated in float32. Any strides."""
    _check(a, b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0] or a.dtype != b.dtype:
        raise ValueError(f"matmul takes (M, K) and (K, N) of one dtype, not {_say(a)} and {_say(b)}")
    (M, K), N = a.shape, b.shape[1]
    c = torch.empty((M, N), dtype=a.dtype, device=a.device)
    if c.numel():
        block_m, block_n, block_k = 16, 64, 64  # for every M. With K it could change; it need not
        grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
        matmul_kernel[grid](a, b, c, M, N, K, *a.stride(), *b.stride(), block_m, block_n, block_k)
    return c


# ---- log_softmax and mean: one program a row ----------------------------------------------------------------------


@triton.jit
def log_softmax_kernel(x, y, D, BLOCK: tl.constexpr):
    """One row of y (R, D) = x - max - log(sum(exp(x - max))), in three passes over chunks at fixed positions."""
    row = tl.program_id(0).to(tl.int64) * D
    lanes = tl.arange(0, BLOCK)
    top = float("-inf")
    for start in range(0, D, BLOCK):
        values = tl.load(x + row + start + lanes, mask=start + lanes < D, other=float("-inf")).to(tl.float32)
        top = tl.maximum(top, tl.max(values, 0))
    total = 0.0
    for start in range(0, D, BLOCK):
        values = tl.load(x + row + start + lanes, mask=start + lanes < D, other=float("-inf")).to(tl.float32)
        total += tl.sum(tl.exp(values - top), 0)  # beyond the end: exp(-inf) = 0
    shift = tl.log(total)
    for start in range(0, D, BLOCK):
        here = start + lanes < D
        values = tl.load(x + row + start + lanes, mask=here, other=0.0).to(tl.float32)
        tl.store(y + row + start + lanes, (values - top - shift).to(y.dtype.element_ty), mask=here)


def log_softmax(x: Tensor, dim: int = -1) -> Tensor:
    """The log of softmax over one dimension of x, in x's dtype, computed in float32."""
    _check(x)
    moved = x.movedim(dim, -1)
    rows = _rows(moved, moved.shape[-1])
    y = torch.empty_like(rows)
    if y.numel():
        D = rows.shape[1]
        log_softmax_kernel[(rows.shape[0],)](rows, y, D, _block(D))
    return y.view(moved.shape).movedim(-1, dim).contiguous()


@triton.jit
def mean_kernel(x, y, D, BLOCK: tl.constexpr):
    """The mean of one row of x (R, D): BLOCK lanes gather the chunks, one fixed tree adds the lanes."""
    row = tl.program_id(0).to(tl.int64)
    lanes = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for start in range(0, D, BLOCK):
        total += tl.load(x + row * D + start + lanes, mask=start + lanes < D, other=0.0).to(tl.float32)
    tl.store(y + row, (tl.sum(total, 0) / D).to(y.dtype.element_ty))


def mean(x: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """The mean over one dimension, over several, or over all (None), in x's dtype, summed in float32."""
    _check(x)
    dims = range(x.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    gone = sorted({d % x.ndim for d in dims} if dims else range(x.ndim))
    kept = [d for d in range(x.ndim) if d not in gone]
    D = 1
    for d in gone:
        D *= x.shape[d]
    rows = _rows(x.permute(*kept, *gone), D)
    y = torch.empty(rows.shape[0], dtype=x.dtype, device=x.device)
    if y.numel():
        mean_kernel[(rows.shape[0],)](rows, y, D, _block(D))
    return y.view([1 if d in gone else x.shape[d] for d in range(x.ndim)] if keepdim else [x.shape[d] for d in kept])


def _block(D: int) -> int:
    """How much of a row is read at once: a function of its length alone."""
    return min(1024, triton.next_power_of_2(max(D, 1)))


def _rows(x: Tensor, D: int) -> Tensor:
    """x as contiguous rows of length D that begin at an aligned address, so that a GPU always reads them one way."""
    rows = x.reshape(x.numel() // D if D else 0, D).contiguous()
    return rows if rows.data_ptr() % 16 == 0 else rows.clone()


def _check(*tensors: Tensor) -> None:
    for x in tensors:
        if x.dtype not in (torch.float32, torch.float16):
            raise TypeError(f"these kernels take float32 and float16, not {_say(x)}")


def _say(x: Tensor) -> str:
    return f"{x.dtype} of shape {tuple(x.shape)}"


# ---- behind PyTorch's own names -----------------------------------------------------------------------------------


@contextmanager
def registered() -> Iterator[None]:
    """Inside, torch.mm, torch.log_softmax and torch.mean run the kernels above; outside, they are PyTorch's again."""
    device = "CUDA" if torch.cuda.is_available() else "CPU"
    library = torch.library.Library("aten", "IMPL")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns, once, that its kernels are overridden: that is the plan
            library.impl("mm", matmul, device)
            library.impl("_log_softmax", _log_softmax, device)  # what torch.log_softmax comes down to
            library.impl("mean", _mean_of_all, device)
            library.impl("mean.dim", _mean, device)
        yield
    finally:
        library._destroy()  # also after an exception


def _log_softmax(x: Tensor, dim: int, half_to_float: bool) -> Tensor:
    return log_softmax(x.float() if half_to_float else x, dim)


def _mean_of_all(x: Tensor, *, dtype: torch.dtype | None = None) -> Tensor:
    return mean(x if dtype is None else x.to(dtype))


def _mean(x: Tensor, dim: list[int] | None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Tensor:
    return mean(x if dtype is None else x.to(dtype), dim, keepdim)
