"""rms_norm and layer_norm over the rows of a matrix: fp32 inside, one rounding at the end, an order from (D, dtype).

A row of up to WHOLE elements is read once and held in registers. A longer one is read once for every pass over it: each
lane of the block adds its own elements, ascending, and one tree adds the lanes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..evidence import ran
from .launches import Launcher
from .rows import WHOLE, aligned, cut, on, options
from .runtime import cdiv, check_device, check_rows, tl, triton

LONG_BLOCK, LONG_WARPS = 16384, 16  # of rows longer than WHOLE


@triton.jit
def _rstd(squares, D, eps):
    """1 / sqrt(squares / D + eps), each step rounded to nearest."""
    return tl.div_rn(1.0, tl.sqrt_rn(tl.div_rn(squares, D) + eps))


@triton.jit
def _affine(v, weight, bias, d, D, WEIGHT: tl.constexpr, BIAS: tl.constexpr):
    if WEIGHT:
        v = v * tl.load(weight + d, mask=d < D, other=0.0).to(tl.float32)
    if BIAS:
        v = v + tl.load(bias + d, mask=d < D, other=0.0).to(tl.float32)
    return v


@triton.jit(do_not_specialize=["R"])
def _whole_rows(
    x, weight, bias, y, means, rstds, R, D, eps,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, WEIGHT: tl.constexpr, BIAS: tl.constexpr, CENTRE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS).to(tl.int64)
    d = tl.arange(0, BLOCK)[None, :]
    at = row[:, None] * D + d
    mask = (row[:, None] < R) & (d < D)
    size = tl.cast(D, tl.float32)
    v = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
    if CENTRE:
        mean = tl.div_rn(tl.sum(v, axis=1), size)
        tl.store(means + row, mean, mask=row < R)
        v = tl.where(mask, v - mean[:, None], 0.0)
    rstd = _rstd(tl.sum(v * v, axis=1), size, eps)
    tl.store(rstds + row, rstd, mask=row < R)
    tl.store(y + at, _affine(v * rstd[:, None], weight, bias, d, D, WEIGHT, BIAS), mask=mask)


@triton.jit
def _long_row(
    x, weight, bias, y, means, rstds, D, eps,
    BLOCK: tl.constexpr, WEIGHT: tl.constexpr, BIAS: tl.constexpr, CENTRE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    x += row * D
    y += row * D
    lanes = tl.arange(0, BLOCK)
    size = tl.cast(D, tl.float32)
    mean = 0.0
    if CENTRE:
        total = tl.zeros((BLOCK,), tl.float32)
        for at in range(0, D, BLOCK):
            total += tl.load(x + at + lanes, mask=lanes < D - at, other=0.0).to(tl.float32)
        mean = tl.div_rn(tl.sum(total, axis=0), size)
        tl.store(means + row, mean)
    squares = tl.zeros((BLOCK,), tl.float32)
    for at in range(0, D, BLOCK):
        v = tl.load(x + at + lanes, mask=lanes < D - at, other=0.0).to(tl.float32)
        v = tl.where(lanes < D - at, v - mean, 0.0)
        squares += v * v
    rstd = _rstd(tl.sum(squares, axis=0), size, eps)
    tl.store(rstds + row, rstd)
    for at in range(0, D, BLOCK):
        v = (tl.load(x + at + lanes, mask=lanes < D - at, other=0.0).to(tl.float32) - mean) * rstd
        v = _affine(v, weight, bias, at + lanes, D, WEIGHT, BIAS)
        tl.store(y + at + lanes, v, mask=lanes < D - at)


_launch_whole_rows = Launcher(_whole_rows)
_launch_long_row = Launcher(_long_row)


def rms_norm(
    x: Tensor, weight: Tensor | None, eps: float, *, out_dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    """(y (R, D), rstd (R,) float32): y = x * rstd * weight, rstd = 1 / sqrt(mean(x^2) + eps), over the last dimension.

    x (R, D), weight (D,) or None: fp16, bf16 or fp32, any strides. y is contiguous, computed in fp32 and rounded once
    to out_dtype (default: that of x). Zhang and Sennrich, arXiv:1910.07467.
    Raises ValueError for shapes that do not fit, TypeError for a dtype or a device the kernels do not know.
    """
    y, _, rstd = _norm("rms_norm", x, weight, None, eps, out_dtype)
    return y, rstd


def layer_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, *, out_dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """(y (R, D), mean (R,), rstd (R,)), the last two float32: y = (x - mean) * rstd * weight + bias.

    The variance is the mean of the squared differences from the mean, a second pass over the row. Shapes, dtypes and
    errors as in `rms_norm`; bias (D,) or None. Ba, Kiros and Hinton, arXiv:1607.06450.
    """
    return _norm("layer_norm", x, weight, bias, eps, out_dtype)


def _norm(
    op: str, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, out_dtype: torch.dtype | None
) -> tuple[Tensor, Tensor, Tensor]:
    check_device(x=x, weight=weight, bias=bias)
    check_rows(op, x)
    ran(op, "triton")
    R, D = x.shape
    for name, w in (("weight", weight), ("bias", bias)):
        if w is not None and w.shape != (D,):
            raise ValueError(f"{op}: {name} has shape {tuple(w.shape)}, expected ({D},): one number for each element")
    y = torch.empty((R, D), dtype=out_dtype or x.dtype, device=x.device)
    rstd = torch.empty(R, dtype=torch.float32, device=x.device)
    centre = op == "layer_norm"
    mean = torch.empty_like(rstd) if centre else rstd
    if R == 0:
        return y, mean, rstd
    if D == 0:  # the mean of nothing
        return y, mean.fill_(float("nan")), rstd.fill_(float("nan"))
    x = aligned(x)
    w = x if weight is None else aligned(weight)
    b = x if bias is None else aligned(bias)
    flags = (weight is not None, bias is not None, centre)
    eps = float(eps)  # Triton compiles an integer 1 into the kernel
    with on(x):
        if D <= WHOLE:
            rows, block, warps = cut(D)
            _launch_whole_rows(
                cdiv(R, rows), (x, w, b, y, mean, rstd), (R, D, eps, rows, block, *flags), **options(warps)
            )
        else:
            _launch_long_row(R, (x, w, b, y, mean, rstd), (D, eps, LONG_BLOCK, *flags), **options(LONG_WARPS))
    return y, mean, rstd
