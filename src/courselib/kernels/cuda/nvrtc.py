"""Compiling CUDA C++ when it is first needed, through PyTorch and NVRTC: no CUDA toolkit has to be installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import torch


@cache
def compiler() -> Callable[..., Any] | None:
    """PyTorch's way to compile a kernel from source; None, said once, where this PyTorch has none."""
    compile_kernel: Callable[..., Any] | None = getattr(torch.cuda, "_compile_kernel", None)
    if compile_kernel is None:
        print(
            f"courselib: PyTorch {torch.__version__} compiles no CUDA source: slower Triton kernels with the same "
            "promise run instead",
            file=sys.stderr,
        )
    return compile_kernel
