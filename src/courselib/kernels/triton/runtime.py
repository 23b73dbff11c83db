"""Triton itself, and where its kernels run: on a CUDA device, or without one in Triton's interpreter on the CPU.

Every kernel module imports `triton` and `tl` from here, so that the choice is made once, before Triton is loaded.
"""

from __future__ import annotations

import os
import sys

import torch
from torch import Tensor

if not torch.cuda.is_available() and "TRITON_INTERPRET" not in os.environ:
    if "triton" in sys.modules:  # PyTorch loads it now and then, and triton.jit has looked at the variable already
        raise ImportError(
            "Triton was loaded before courselib.kernels.triton could choose its interpreter, and there is no GPU here: "
            "import courselib.kernels.triton earlier, or start Python with TRITON_INTERPRET=1"
        )
    os.environ["TRITON_INTERPRET"] = "1"
try:
    import triton
    import triton.language as tl
except ImportError as error:
    raise ImportError(
        "courselib.kernels.triton needs the package triton, which is made for Linux only; "
        "elsewhere use the CPU kernels (courselib.kernels.cpu)"
    ) from error

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

__all__ = ["INTERPRETED", "cdiv", "check_device", "check_rows", "next_power_of_2", "tl", "triton"]


def cdiv(a: int, b: int) -> int:
    """a / b rounded up. (Triton's own serves kernels too, and takes 4 µs from Python.)"""
    return -(-a // b)


def next_power_of_2(n: int) -> int:
    """The least power of two that is not less than n >= 1."""
    return 1 << (n - 1).bit_length()


def check_device(**tensors: Tensor | None) -> None:
    """Raises TypeError, by name, for a tensor that the kernels cannot reach here, or whose dtype they do not know."""
    for name, x in tensors.items():
        if x is None:
            continue
        if not x.is_cuda and not INTERPRETED:
            raise TypeError(f"Triton kernels take CUDA tensors; {name} is on {x.device} (TRITON_INTERPRET is not set)")
        if x.dtype not in (torch.float16, torch.bfloat16, torch.float32):
            raise TypeError(f"Triton kernels take float16, bfloat16 and float32; {name} is {x.dtype}")


def check_rows(op: str, x: Tensor) -> None:
    """Raises ValueError for an x that is not (R, D)."""
    if x.dim() != 2:
        raise ValueError(f"{op}: expected x (R, D), got {tuple(x.shape)}")
