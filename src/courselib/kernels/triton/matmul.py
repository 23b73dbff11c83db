"""Matrix product in a fixed order: every output is one fp32 accumulator that takes K in ascending order.

A tile of outputs is computed by `tl.dot` steps of BLOCK_K along K. Nothing splits K and nothing is added by atomics, so
what is left to decide an output's bits is how `tl.dot` adds inside one step. A certificate (`certificate.py`) is the
evidence that on one device this is the same for every tile in the table (`tiles.py`); then the tile may follow M, for
speed. Without one, a single tile serves every M.

Two kernels give the same bits (`matmul_kernel.py`): one takes any strides, one lets Hopper's copy engine fetch tiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..cuda import matmul_fp32
from ..evidence import ran
from . import certificate
from .launches import KEPT
from .matmul_kernel import launch_by_pointers, launch_by_tma
from .rows import on
from .runtime import INTERPRETED, cdiv, check_device
from .tiles import FIXED, Tile, choose, gpu

if not INTERPRETED:
    from triton.tools.tensor_descriptor import TensorDescriptor


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
    alpha, beta = float(alpha), float(beta)  # Triton compiles an integer 1 into the kernel
    certified = not INTERPRETED and a.is_cuda and certificate.holds(a.dtype, precision, a.device)
    kind = (_kind(a), _kind(b), bias is None or (bias.dtype, bias.device), out_dtype, precision, certified)
    plan = _plans.get(kind)
    if plan is None:
        if len(_plans) >= KEPT:
            _plans.clear()
        plan = _plans[kind] = _planned(a, b, bias, out_dtype, precision, certified)
    c = torch.empty(plan.shape, dtype=plan.dtype, device=a.device)
    bias = None if bias is None or beta == 0 else _expanded(bias, plan.shape)
    if plan.cut is None:
        return c
    ran("matmul", plan.label)
    if isinstance(plan.cut, Tile):
        with on(a):
            launch(a, b, c, plan.cut, bias, alpha, beta, precision)
    else:
        a2, b2, c2 = _matrices(a, b, c)
        matmul_fp32.launch(a2, b2, c2, plan.cut, None if bias is None else _matrices(bias)[0], alpha, beta)
    return c


@dataclass(frozen=True)
class _Plan:
    """How products of one kind are done. cut: None where there is nothing to do."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    cut: Tile | matmul_fp32.Cut | None
    label: str


_plans: dict[object, _Plan] = {}  # by all that a plan depends on: looking again would take longer than a small product


def _kind(x: Tensor) -> object:
    return x.shape, x.stride(), x.dtype, x.device, x.data_ptr() % 16


def _planned(
    a: Tensor, b: Tensor, bias: Tensor | None, out_dtype: torch.dtype | None, precision: str, certified: bool
) -> _Plan:
    check_device(a=a, b=b, bias=bias)
    if a.dtype != b.dtype:
        raise TypeError(f"matmul: a is {a.dtype} and b is {b.dtype}; they must have one dtype")
    if a.device != b.device:
        raise TypeError(f"matmul: a is on {a.device} and b on {b.device}; they must be on one device")
    if precision not in ("ieee", "tf32x3", "tf32"):
        raise ValueError(f'matmul: unknown precision "{precision}": expected "ieee", "tf32x3" or "tf32"')
    if a.dim() not in (2, 3) or a.dim() != b.dim() or a.shape[-1] != b.shape[-2] or a.shape[:-2] != b.shape[:-2]:
        raise ValueError(f"matmul: cannot multiply {tuple(a.shape)} by {tuple(b.shape)}")
    shape, dtype = (*a.shape[:-1], b.shape[-1]), out_dtype or a.dtype
    if math.prod(shape) == 0:
        return _Plan(shape, dtype, None, "")
    one = a.dim() == 2 or a.shape[0] == 1
    c = torch.empty(shape, dtype=dtype, device=a.device)
    cut: Tile | matmul_fp32.Cut | None = None
    if certified and one and a.dtype == torch.float32 and precision == "ieee":
        cut = matmul_fp32.choose(*_matrices(a, b, c))
    if cut is None and certified:
        tma = one and a.shape[-1] > 0 and a.element_size() == 2 and all(map(_suits_tma, _matrices(a, b, c)))
        cut = choose(*shape[-2:], a.element_size(), c.element_size(), precision, tma, gpu(a.device))
    cut = cut or FIXED[a.element_size()]
    label = f"triton {cut} {precision if a.dtype == torch.float32 else ''}".rstrip()
    return _Plan(shape, dtype, cut, label if isinstance(cut, Tile) else str(cut))


def _matrices(*products: Tensor) -> list[Tensor]:
    """(M, N) of each, from (M, N) or (1, M, N)."""
    return [x if x.dim() == 2 else x[0] for x in products]


def _expanded(bias: Tensor, shape: tuple[int, ...]) -> Tensor:
    try:
        return bias.expand(shape)
    except RuntimeError as error:
        raise ValueError(f"matmul: bias {tuple(bias.shape)} cannot be broadcast to the result {shape}") from error


def _suits_tma(x: Tensor) -> bool:
    """TMA reads a matrix with 16-byte aligned rows (or columns, if those are the contiguous ones)."""
    fast, slow = (1, 0) if x.stride(1) == 1 else (0, 1)
    stride = x.stride(slow) * x.element_size()
    return x.stride(fast) == 1 and stride % 16 == 0 and stride > 0 and x.data_ptr() % 16 == 0


def launch(
    a: Tensor, b: Tensor, c: Tensor, tile: Tile,
    bias: Tensor | None = None, alpha: float = 1.0, beta: float = 1.0, precision: str = "ieee",
) -> None:  # fmt: skip
    """Run one tile on the current device: a (B, M, K), b (B, K, N), bias (B, M, N) or None, c (B, M, N) contiguous, or
    all of them without B. B = 1 where tile.tma.
    """
    M, K = a.shape[-2:]
    N = b.shape[-1]
    scaled = alpha != 1.0 or (bias is not None and beta != 1.0)
    tiles = cdiv(M, tile.m) * cdiv(N, tile.n + tile.n2)
    options: dict[str, int | bool] = {}
    if not INTERPRETED:
        options = {"num_warps": tile.warps, "num_stages": tile.stages, "launch_pdl": tile.early}
        options["enable_fp_fusion"] = not scaled  # alpha * acc + beta * bias: two products and a sum, in every tile
    add = c if bias is None else bias
    bias_strides = (0, 0) if bias is None else bias.stride()[-2:]
    epilogue = (scaled, bias is not None, precision)
    if not tile.tma:
        B = a.shape[0] if a.dim() == 3 else 1
        batches = [x.stride(0) if x is not None and x.dim() == 3 else 0 for x in (a, b, bias)]
        strides = (batches[0], *a.stride()[-2:], batches[1], *b.stride()[-2:], M * N, batches[2], *bias_strides)
        blocks = (tile.m, tile.n, tile.k, K % tile.k == 0)
        others = (M, N, K, tiles, *strides, alpha, beta, *blocks, *epilogue)
        launch_by_pointers(B * tiles, (a, b, c, add), others, **options)
        return
    a, b, c = _matrices(a, b, c)
    nk = b.stride(0) == 1  # as torch.nn.Linear keeps its weights
    weights = b.t() if nk else b
    wide, narrow = ([n, tile.k] if nk else [tile.k, n] for n in (tile.n, tile.n2))
    descriptors = (
        TensorDescriptor.from_tensor(a, [tile.m, tile.k]),
        TensorDescriptor.from_tensor(weights, wide),
        TensorDescriptor.from_tensor(weights, narrow) if tile.n2 else None,
        TensorDescriptor.from_tensor(c, [tile.m, tile.n // 2 if tile.halves else tile.n]),
        TensorDescriptor.from_tensor(c, [tile.m, tile.n2]) if tile.n2 else None,
    )
    programs = gpu(a.device).multiprocessors if tile.persistent else 0
    cut = (tile.m, tile.n, tile.n2, tile.k, programs, nk, tile.halves, tile.early)
    others = (M, N, K, *bias_strides, alpha, beta, *cut, *epilogue)
    launch_by_tma(min(programs, tiles) if programs else tiles, (*descriptors, add), others, **options)
