"""Triton itself, and where its kernels run: on a CUDA device, or without one in Triton's interpreter on the CPU.

Every kernel module imports `triton` and `tl` from here, so that the choice is made once, before Triton is loaded.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read by triton.jit as each kernel is defined
try:
    import triton
    import triton.language as tl
except ImportError as error:
    raise ImportError(
        "courselib.kernels.triton needs the package triton, which is made for Linux only; "
        "elsewhere use the CPU kernels (courselib.kernels.cpu)"
    ) from error

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

__all__ = ["INTERPRETED", "check_device", "tl", "triton"]


def check_device(**tensors: Tensor | None) -> None:
    """Raises TypeError, by name, for a tensor that the kernels cannot reach here, or whose dtype they do not know."""
    for name, x in tensors.items():
        if x is None:
            continue
        if not x.is_cuda and not INTERPRETED:
            raise TypeError(f"Triton kernels take CUDA tensors; {name} is on {x.device} (TRITON_INTERPRET is not set)")
        if x.dtype not in (torch.float16, torch.bfloat16, torch.float32):
            raise TypeError(f"Triton kernels take float16, bfloat16 and float32; {name} is {x.dtype}")
