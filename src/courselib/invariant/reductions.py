"""sum, nansum, mean, var, std and vector norms over any dimensions, on one primitive, a sum of rows or columns."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from . import support
from .support import HALVES, Op, dims, kept_shape, known, primitives, wide, with_out

Dims = Sequence[int] | int | None


def sum_(self: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Any:
    if not (self.is_floating_point() or self.is_complex()) and not (dtype and dtype.is_floating_point):
        return _sum_of_integers(self, dim, keepdim, dtype)
    return _reduced(self, dim, keepdim, dtype)


def nansum(self: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Any:
    return sum_(self.masked_fill(self.isnan(), 0), dim, keepdim, dtype=dtype)


def mean(self: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Any:
    if not (dtype or self.dtype).is_floating_point:
        return NotImplemented
    return _reduced(self, dim, keepdim, dtype, mean=True)


def var(self: Tensor, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False) -> Any:
    """Two passes: the mean, then the squares of the differences from it, in float32."""
    both = _var_mean("var", self, dim, correction, keepdim)
    return both if both is NotImplemented else both[0].to(self.dtype)


def std(self: Tensor, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False) -> Any:
    both = _var_mean("std", self, dim, correction, keepdim)
    return both if both is NotImplemented else both[0].sqrt().to(self.dtype)


def var_mean(self: Tensor, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False) -> Any:
    both = _var_mean("var_mean", self, dim, correction, keepdim)
    return both if both is NotImplemented else (both[0].to(self.dtype), both[1].to(self.dtype))


def std_mean(self: Tensor, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False) -> Any:
    both = _var_mean("std_mean", self, dim, correction, keepdim)
    return both if both is NotImplemented else (both[0].sqrt().to(self.dtype), both[1].to(self.dtype))


def vector_norm(
    self: Tensor, ord: float = 2, dim: Dims = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Any:
    """(sum |x|^ord)^(1/ord); the largest or smallest |x| for ord = inf, -inf; how many are not zero for ord = 0."""
    over = dims(self, dim)
    x = _cast(self, dtype)
    if over is None or x is None or torch.promote_types(self.dtype, dtype or self.dtype) != (dtype or self.dtype):
        return NotImplemented
    result, empty = dtype or self.dtype, self.numel() == 0
    if math.isinf(ord):
        if empty:
            return NotImplemented  # refused by PyTorch, or a result without elements
        return (x.abs().amax if ord > 0 else x.abs().amin)(dim=over, keepdim=keepdim).to(result)
    if ord < 0 and empty:
        return NotImplemented
    if ord == 2:
        return _group_sum(x, over, keepdim, "sum_of_squares").sqrt().to(result)
    size = wide(x).abs()
    powers = size if ord == 1 else (size != 0).to(size.dtype) if ord == 0 else _power(size, ord)
    total = _group_sum(powers, over, keepdim)
    return (total if ord in (0, 1) else _power(total, 1 / ord)).to(result)


def _reduced(x: Tensor, dim: Dims, keepdim: bool, dtype: torch.dtype | None, mean: bool = False) -> Any:
    over = dims(x, dim)
    result, cast = dtype or x.dtype, _cast(x, dtype)
    if over is None or cast is None:
        return NotImplemented
    D = math.prod(x.shape[d] for d in over)
    if mean and D == 0:
        return x.new_full(kept_shape(x, over, keepdim), math.nan, dtype=result)
    return _group_sum(cast, over, keepdim, divide_by=float(D) if mean else 1.0, out_dtype=result)


def _var_mean(name: str, x: Tensor, dim: Dims, correction: float | None, keepdim: bool) -> Any:
    """The variance and the mean, in the dtype of the sums."""
    over = dims(x, dim)
    if over is None or not known(x.dtype, x.device):
        return NotImplemented
    D = math.prod(x.shape[d] for d in over)
    freedom = D - float(1 if correction is None else correction)
    if freedom <= 0:
        warnings.warn(
            f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction factor "
            "(input numel divided by output numel).",
            stacklevel=2,
        )
    shape, accumulated = kept_shape(x, over, keepdim), wide(x[:0] if x.dim() else x).dtype
    if x.numel() == 0:
        nothing = x.new_full(shape, math.nan, dtype=accumulated)
        return nothing, nothing.clone()
    grouped, reduce = _grouped(x, over), primitives(x).reduce
    middle = reduce(grouped, "sum", divide_by=float(D), out_dtype=accumulated)
    squares = reduce(grouped, "sum_of_squares", shift=middle, out_dtype=accumulated)
    return (squares / max(freedom, 0.0)).reshape(shape), middle.reshape(shape)


def _group_sum(
    x: Tensor,
    over: tuple[int, ...],
    keepdim: bool,
    kind: str = "sum",
    divide_by: float = 1.0,
    out_dtype: torch.dtype | None = None,
) -> Tensor:
    out_dtype = out_dtype or (torch.float32 if x.dtype in HALVES else x.dtype)
    y = primitives(x).reduce(_grouped(x, over), kind, divide_by=divide_by, out_dtype=out_dtype)
    return y.reshape(kept_shape(x, over, keepdim))


def _grouped(x: Tensor, over: tuple[int, ...]) -> Tensor:
    """x as (R, D), or as (O, D, I) where dimensions are kept behind those in `over`, which come together in D. Which of
    the two follows from the dimensions and not from their sizes: a column is a column also where there is one."""
    if over == (x.dim() - 1,) and x.numel():  # as below, without a detour: norms do this twice a layer
        return x.reshape(-1, x.shape[-1])
    kept = [d for d in range(x.dim()) if d not in over]
    sizes = [math.prod(x.shape[d] for d in part) for part in (kept, over)]
    if not over or over[-1] == x.dim() - 1 or over != tuple(range(over[0], over[-1] + 1)):
        return x.permute([*kept, *over]).reshape(sizes)
    first = over[0] if x.dim() and over else 0
    O = math.prod(x.shape[:first])  # noqa: E741
    return x.reshape(O, sizes[1], sizes[0] // O if O else math.prod(x.shape[first + len(over) :]))


def _cast(x: Tensor, dtype: torch.dtype | None) -> Tensor | None:
    """x as an op with `dtype=` reads it; None for a dtype that the primitives do not know. Halves are widened as they
    are summed."""
    if not known(dtype or x.dtype, x.device) or x.is_complex():
        return None
    return x if dtype is None or (x.dtype in HALVES and dtype == torch.float32) else x.to(dtype)


def _power(x: Tensor, exponent: float) -> Tensor:
    # Not torch.pow, whose vector body and scalar tail round differently on the CPU.
    return (x.double().log() * exponent).exp().to(x.dtype)


def _sum_of_integers(x: Tensor, dim: Dims, keepdim: bool, dtype: torch.dtype | None) -> Any:
    """Exact in any order, so PyTorch's own kernel does it; without that one, a running sum does."""
    over = dims(x, dim)
    if over is None or support.HANDS_OUT_KERNELS:
        return NotImplemented
    grouped, result = _grouped(x, over), dtype or torch.int64
    if grouped.shape[1] == 0:
        return x.new_zeros(kept_shape(x, over, keepdim), dtype=result)
    return grouped.cumsum(1, dtype=torch.int64)[:, -1].reshape(kept_shape(x, over, keepdim)).to(result)


OPS: dict[str, Op] = {
    "sum.dim_IntList": sum_,
    "sum.IntList_out": with_out(sum_, "asked"),
    "nansum": nansum,
    "nansum.out": with_out(nansum, "asked"),
    "mean.dim": mean,
    "mean.out": with_out(mean, "asked"),
    "var.correction": var,
    "var.correction_out": with_out(var, "cast"),
    "std.correction": std,
    "std.correction_out": with_out(std, "cast"),
    "var_mean.correction": var_mean,
    "std_mean.correction": std_mean,
    "linalg_vector_norm": vector_norm,
    "linalg_vector_norm.out": with_out(vector_norm),
}
