"""softmax and log_softmax of long rows on Hopper: `softmax_long.cu`, which reads each row once."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .nvrtc import compiler

SOURCE = Path(__file__).with_suffix(".cu")
CHUNK = 2048  # elements a warp holds, as in the source
LEAST = 16385  # a shorter row is held by one program, and Triton does that well


def serves(x: Tensor, out_dtype: torch.dtype) -> bool:
    """Whether these kernels take the rows of x (R, D): by D, the dtypes and the device alone. x must be contiguous."""
    D = x.shape[1]
    halves = x.dtype in (torch.float16, torch.bfloat16) and out_dtype in (x.dtype, torch.float32)
    if not (halves and x.is_cuda and D % 8 == 0 and LEAST <= D <= 8 * 16 * CHUNK):
        return False
    return torch.cuda.get_device_capability(x.device)[0] == 9 and compiler() is not None


def run(op: str, x: Tensor, out_dtype: torch.dtype) -> Tensor:
    """op ("softmax" or "log_softmax") of the rows of x (R, D), contiguous and 16-byte aligned; R is not 0."""
    R, D = x.shape
    y = torch.empty(R, D, dtype=out_dtype, device=x.device)
    blocks, warps = _cluster(D)
    with torch.cuda.device(x.device):
        kernel = _kernel(op == "log_softmax", blocks, warps, x.dtype, out_dtype, x.device)
        kernel((R * blocks, 1, 1), (32 * warps, 1, 1), [x, y, R, D])
    return y


def _cluster(D: int) -> tuple[int, int]:
    """How many blocks share a row of D, and warps a block: a warp for each chunk."""
    chunks = -(-D // CHUNK)
    blocks = next(blocks for blocks in (2, 4, 8) if chunks <= 8 * blocks or blocks == 8)
    return blocks, -(-chunks // blocks)


@cache
def _kernel(
    log: bool, blocks: int, warps: int, dtype: torch.dtype, out_dtype: torch.dtype, device: torch.device
) -> Any:
    flags = {"CLUSTER": blocks, "WARPS": warps, "BF16": int(dtype == torch.bfloat16), "LOG": int(log)}
    flags["WIDE"] = int(out_dtype != dtype)
    compile_kernel = compiler()
    assert compile_kernel is not None
    return compile_kernel(SOURCE.read_text(), "softmax_long", nvcc_options=[f"-D{k}={v}" for k, v in flags.items()])
