"""Lab 05: matmul, log_softmax and mean in Triton, so that a row's bytes are decided by that row alone.

Your work: TODO 1 to 4 here, 5 to 7 in invariance_test.py. The file runs as it is, and the checker will tell you what is
still open. After each change: python measure.py, then check again.
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

# ---- matmul ----------------------------------------------------------------------------------------------------------


@triton.jit
def matmul_kernel(
    a, b, c, M, N, K, stride_am, stride_ak, stride_bk, stride_bn,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """One tile of c (M, N) = a (M, K) @ b (K, N)."""
    # TODO 1: which rows and columns are this program's (tl.program_id, tl.arange)? Start a float32 accumulator, go
    # through k a block at a time, load a tile of a and one of b, tl.dot them (input_precision="ieee"), store the sum.
    # What is loaded where a tile reaches past M, N or K?
    pass


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """a (M, K) @ b (K, N) -> (M, N) in a's dtype: float32 or float16, accumulated in float32. Any strides."""
    c = torch.zeros((a.shape[0], b.shape[1]), dtype=a.dtype, device=a.device)
    # TODO 1, the launch: matmul_kernel[grid](...). Which of the three blocks may follow M without moving a bit?
    return c


# ---- log_softmax and mean --------------------------------------------------------------------------------------------


@triton.jit
def log_softmax_kernel(x, y, D, BLOCK: tl.constexpr):
    """One row of y (R, D) = x - max - log(sum(exp(x - max)))."""
    # TODO 2: one program for each row. A row may be longer than BLOCK, and D need not be a power of two (BLOCK must
    # be): what must the lanes past the end hold for the maximum, and for the sum?
    pass


def log_softmax(x: Tensor, dim: int = -1) -> Tensor:
    """The log of softmax over one dimension of x, in x's dtype, computed in float32."""
    # TODO 2, the launch: bring x to contiguous rows along dim, launch one program a row, and bring the result back.
    return torch.zeros_like(x)


@triton.jit
def mean_kernel(x, y, D, BLOCK: tl.constexpr):
    """The mean of one row of x (R, D)."""
    # TODO 3: as above, and one division at the end.
    pass


def mean(x: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """The mean over one dimension, over several, or over all (None), in x's dtype, summed in float32."""
    # TODO 3, the launch. Until then, zeros of the right shape for a dim that is one number:
    dim = dim if isinstance(dim, int) else 0
    y = torch.zeros_like(x.select(dim, 0))
    return y.unsqueeze(dim) if keepdim else y


# ---- behind PyTorch's own names --------------------------------------------------------------------------------------


@contextmanager
def registered() -> Iterator[None]:
    """Inside, torch.mm, torch.log_softmax and torch.mean run the kernels above; outside, they are PyTorch's again."""
    # TODO 4: a torch.library.Library("aten", "IMPL"), and an implementation for each of the four ops that the brief
    # names, under the key "CPU" or "CUDA". PyTorch warns of each override: say that it may, with warnings. And when the
    # block ends, however it ends, library._destroy() gives PyTorch its own kernels back.
    yield
