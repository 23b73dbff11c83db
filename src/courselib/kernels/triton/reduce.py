"""Sums of rows, (R, D) -> (R,), and of columns, (O, D, I) -> (O, I), in orders that D and dtype alone decide.

Rows: a tree inside a block of fixed length. A row longer than a block gives one sum a block, and those are a row again,
summed the same way.

Columns: a program takes COLUMN elements of some columns, LANES at a time: the elements of a column go to LANES sums in
turn, which a tree then adds, half to half. The sums of a longer column's pieces are columns again. No two columns ever
meet, so the input may lie in memory as it likes. (O, D, 1) is a column too: were it summed as a row, its bits would
tell that it came alone.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..evidence import ran
from .launches import Launcher
from .rows import aligned, cut, on, options
from .runtime import cdiv, check_device, tl, triton

BLOCK = 16384  # elements of a row that one program sums
COLUMN = 512  # elements of a column that one program sums
LANES = 32  # sums of a column that are taken side by side
WIDTH = 64  # columns of a program


@triton.jit(do_not_specialize=["O"])
def _rows(
    x, shift, out, O, D, chunks, divide_by,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, SQUARE: tl.constexpr, SHIFT: tl.constexpr,
):  # fmt: skip
    """x (O, D) -> out (O, chunks): a program sums one chunk of BLOCK elements in ROWS rows."""
    pid = tl.program_id(0)
    o = tl.arange(0, ROWS).to(tl.int64) + pid // chunks * ROWS
    start = tl.cast(pid % chunks, tl.int64) * BLOCK
    d = tl.arange(0, BLOCK)[None, :]
    mask = (o[:, None] < O) & (d < D - start)
    v = tl.load(x + (o[:, None] * D + start) + d, mask=mask, other=0.0).to(tl.float32)
    if SHIFT:
        v = tl.where(mask, v - tl.load(shift + o, mask=o < O, other=0.0)[:, None], 0.0)
    if SQUARE:
        v = v * v
    total = tl.div_rn(tl.sum(v, axis=1), divide_by)
    tl.store(out + o * chunks + pid % chunks, total, mask=o < O)


@triton.jit
def _half_to_half(x, LANES: tl.constexpr, WIDTH: tl.constexpr):
    """x (2 LANES, WIDTH) -> (LANES, WIDTH): lane l + lane l + LANES, whatever the layout."""
    a, b = tl.split(tl.permute(tl.reshape(x, (2, LANES, WIDTH)), (1, 2, 0)))
    return a + b


@triton.jit(do_not_specialize=["D", "chunks", "blocks"])
def _columns(
    x, shift, out, D, I, chunks, blocks, x_o, x_d, x_i, divide_by,
    COLUMN: tl.constexpr, LANES: tl.constexpr, WIDTH: tl.constexpr, SQUARE: tl.constexpr, SHIFT: tl.constexpr,
):  # fmt: skip
    """x (O, D, I) -> out (O, chunks, I): a program sums COLUMN elements of WIDTH columns."""
    pid = tl.program_id(0)
    chunk = tl.cast(pid // blocks % chunks, tl.int64)
    o = tl.cast(pid // blocks // chunks, tl.int64)
    i = tl.cast(pid % blocks, tl.int64) * WIDTH + tl.arange(0, WIDTH)
    lane = tl.arange(0, LANES)
    x += o * x_o + i[None, :] * x_i
    minus = tl.load(shift + o * I + i, mask=i < I, other=0.0)[None, :] if SHIFT else 0.0
    total = tl.zeros((LANES, WIDTH), tl.float32)
    left = tl.minimum(D - chunk * COLUMN, COLUMN).to(tl.int32)
    for start in tl.range(0, left, LANES, num_stages=3):
        mask = (i[None, :] < I) & (start + lane[:, None] < left)
        v = tl.load(x + (chunk * COLUMN + start + lane[:, None]) * x_d, mask=mask, other=0.0).to(tl.float32)
        if SHIFT:
            v = tl.where(mask, v - minus, 0.0)
        if SQUARE:
            v = v * v
        total += v
    total = _half_to_half(total, LANES // 2, WIDTH)
    total = _half_to_half(total, LANES // 4, WIDTH)
    total = _half_to_half(total, LANES // 8, WIDTH)
    total = _half_to_half(total, LANES // 16, WIDTH)
    total = _half_to_half(total, LANES // 32, WIDTH)
    at = out + (o * chunks + chunk) * I + i
    tl.store(at[None, :], tl.div_rn(total, divide_by), mask=i[None, :] < I)


_launch_rows = Launcher(_rows)
_launch_columns = Launcher(_columns)


def reduce(
    x: Tensor,
    kind: Literal["sum", "sum_of_squares"],
    *,
    shift: Tensor | None = None,
    divide_by: float = 1.0,
    out_dtype: torch.dtype | None = None,
) -> Tensor:
    """The sum, or the sum of squares: x (R, D) -> (R,), or over the middle of x (O, D, I) -> (O, I). Any strides.

    shift, float32 of the result's shape, is subtracted from each element first. Added in fp32, divided by divide_by,
    rounded once to out_dtype (default: that of x); D = 0 gives 0 / divide_by. The bits of an output depend on its D
    elements, and on whether x is 2- or 3-dimensional (see the top of this file).
    Raises ValueError for an unknown kind or shapes that do not fit, TypeError for a dtype or a device the kernels do
    not know.
    """
    check_device(x=x, shift=shift)
    if kind not in ("sum", "sum_of_squares"):
        raise ValueError(f'unknown kind "{kind}" of reduce: expected "sum" or "sum_of_squares"')
    if x.dim() not in (2, 3):
        raise ValueError(f"reduce: expected x (R, D) or (O, D, I), got {tuple(x.shape)}")
    rows = x.dim() == 2
    O, D, *columns = x.shape
    shape, dtype = (O, *columns), out_dtype or x.dtype
    if shift is not None and shift.shape != shape:  # the kernel reads as many numbers as there are results
        raise ValueError(f"reduce: x {tuple(x.shape)} needs shift {shape}, got {tuple(shift.shape)}")
    ran("reduce", "triton")
    if x.numel() == 0:
        return torch.full(shape, 0.0, dtype=torch.float32, device=x.device).div_(divide_by).to(dtype)
    square = kind == "sum_of_squares"
    divide_by = float(divide_by)  # Triton compiles an integer 1 into the kernel
    if shift is not None:
        shift = aligned(shift)
    with on(x):
        while True:
            # The first level does all the work; the next ones add up its float32 sums.
            chunks = cdiv(D, BLOCK if rows else COLUMN)
            last = chunks == 1
            out = torch.empty((O, chunks, *columns), dtype=dtype if last else torch.float32, device=x.device)
            (_row_level if rows else _column_level)(x, shift, out, square, divide_by if last else 1.0)
            if last:
                return out.view(shape)
            x, shift, square, D = out, None, False, chunks


def _row_level(x: Tensor, shift: Tensor | None, out: Tensor, square: bool, divide_by: float) -> None:
    x = aligned(x)
    O, D = x.shape
    chunks = out.shape[1]
    rows, block, warps = cut(min(D, BLOCK))
    tensors = (x, x if shift is None else shift, out)
    others = (O, D, chunks, divide_by, rows, block, square, shift is not None)
    _launch_rows(cdiv(O, rows) * chunks, tensors, others, **options(warps))


def _column_level(x: Tensor, shift: Tensor | None, out: Tensor, square: bool, divide_by: float) -> None:
    O, D, I = x.shape
    chunks = out.shape[1]
    blocks = cdiv(I, WIDTH)
    tensors = (x, x if shift is None else shift, out)
    sizes = (D, I, chunks, blocks, *x.stride(), divide_by)
    _launch_columns(
        O * chunks * blocks, tensors, (*sizes, COLUMN, LANES, WIDTH, square, shift is not None), **options(4)
    )
