"""The IEEE float32 matrix product of `matmul_fp32.cu`, compiled by NVRTC through PyTorch when first used.

Triton's `tl.dot` in float32 adds in the same order (a chain of fused multiply-adds over k), at about half the speed; it
is the fallback, with the same bits, which the certificate compares.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .nvrtc import compiler

SOURCE = Path(__file__).with_suffix(".cu")


@dataclass(frozen=True)
class Cut:
    """Outputs a block (m, n) and a thread (tm, tn); step and stages of the cuts for few rows."""

    m: int
    n: int
    tm: int
    tn: int
    step: int = 0
    stages: int = 0

    @property
    def threads(self) -> int:
        return self.m // self.tm * (self.n // self.tn)

    @property
    def shared_memory(self) -> int:
        """Bytes that the launch asks for, besides what the source declares."""
        return self.stages * (self.m + self.n) * (self.step + 4) * 4

    def __str__(self) -> str:
        return f"cuda {self.m}x{self.n}" + (f" {self.stages} stages of {self.step}" if self.stages else "")


MANY = [Cut(128, 128, 8, 8), Cut(64, 64, 8, 4)]
# The most rows that each cut for few rows is for.
FEW = {
    4: Cut(4, 16, 1, 1, 128, 3),
    16: Cut(16, 16, 2, 1, 128, 3),
    64: Cut(32, 32, 4, 2, 64, 4),
    128: Cut(64, 64, 4, 4, 64, 3),
}
CUTS = [*MANY, *FEW.values()]


def choose(a: Tensor, b: Tensor, c: Tensor) -> Cut | None:
    """The cut for a (M, K) @ b (K, N) = c (M, N); it moves no bit. None where this kernel cannot serve."""
    M, K = a.shape
    N = b.shape[1]
    fits = max(M, N, K, *a.stride(), *b.stride()) < 2**31 and M < 2**21
    if a.stride(1) != 1 or 1 not in b.stride() or c.dtype != torch.float32 or not fits or compiler() is None:
        return None
    enough = torch.cuda.get_device_properties(a.device).multi_processor_count
    if M > 32:
        for cut in MANY:
            if -(-M // cut.m) * -(-N // cut.n) >= enough:
                return cut
    few = next((cut for rows, cut in FEW.items() if rows >= M), None)
    return few if few and b.stride(0) == 1 and _vector(a, b) else MANY[-1]


def launch(
    a: Tensor, b: Tensor, c: Tensor, cut: Cut, bias: Tensor | None = None, alpha: float = 1.0, beta: float = 1.0
) -> None:
    """c = alpha * (a @ b) + beta * bias; bias has c's shape, any strides."""
    M, K = a.shape
    N = b.shape[1]
    nk = b.stride(0) == 1
    strides = (0, 0) if bias is None else bias.stride()
    add = c.new_empty(0) if bias is None else bias  # the pointer of an empty tensor is null
    sizes = (M, N, K, a.stride(0), b.stride(1) if nk else b.stride(0), *strides)
    grid = (-(-N // cut.n), -(-M // cut.m), 1)
    with torch.cuda.device(c.device):
        kernel = _kernel(cut, nk, _vector(a, b), c.device)
        kernel(grid, (cut.threads, 1, 1), [a, b, c, add, *sizes, float(alpha), float(beta)], cut.shared_memory)


def _vector(a: Tensor, b: Tensor) -> bool:
    """True if every row of both starts 16-byte aligned and holds whole groups of 4."""
    sizes = (a.shape[1], a.stride(0), b.shape[1] if b.stride(1) == 1 else 0, max(b.stride()))
    return all(size % 4 == 0 for size in sizes) and a.data_ptr() % 16 == 0 and b.data_ptr() % 16 == 0


@cache
def _kernel(cut: Cut, nk: bool, vector: bool, device: torch.device) -> Any:
    defines = {"BM": cut.m, "BN": cut.n, "TM": cut.tm, "TN": cut.tn, "B_NK": int(nk), "VEC": int(vector)}
    if cut.stages:
        defines |= {"STEP": cut.step, "STAGES": cut.stages}
    compile_kernel = compiler()
    assert compile_kernel is not None
    entry = "matmul_fp32_few" if cut.stages else "matmul_fp32"
    kernel = compile_kernel(SOURCE.read_text(), entry, nvcc_options=[f"-D{k}={v}" for k, v in defines.items()])
    if cut.shared_memory >= 48 * 1024:
        kernel.set_shared_memory_config(cut.shared_memory)
    return kernel
