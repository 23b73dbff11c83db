"""What the row kernels share: how a row is laid out before a launch, how it is cut, and how a launch is made.

Triton's reduction tree follows the compiled layout, and the layout follows what the compiler knows about the pointers.
So every row that a kernel sums is contiguous, in a tensor whose first byte lies on a multiple of 16: then the layout
follows from D and dtype alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .runtime import INTERPRETED, next_power_of_2

WHOLE = 32768  # elements of the longest row that one program holds in registers, as fp32


def aligned(x: Tensor) -> Tensor:
    """x itself if it is contiguous and its first byte lies on a multiple of 16, else a copy that does."""
    x = x.contiguous()
    return x.clone() if x.data_ptr() % 16 else x


@cache
def cut(D: int) -> tuple[int, int, int]:
    """(rows a program holds, elements of its block along D, warps) for rows of D <= WHOLE elements."""
    block = max(16, next_power_of_2(D))
    rows = max(1, 2048 // block)
    return rows, block, max(4, rows * block // 1024)  # 32 elements a thread, or 16


@cache
def options(warps: int) -> dict[str, Any]:
    """Launch options. Without fp fusion a * b + c rounds twice in every kernel: no compiler's choice can move a bit."""
    return {} if INTERPRETED else {"num_warps": warps, "enable_fp_fusion": False}


@contextmanager
def _quiet() -> Iterator[None]:
    """NumPy warns of every NaN and infinity that the interpreter meets; a GPU does not."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def on(x: Tensor) -> AbstractContextManager[Any]:
    """Launch on x's device."""
    if not x.is_cuda:
        return _quiet()
    if x.get_device() == torch.cuda.current_device():
        return nullcontext()
    return torch.cuda.device(x.device)
