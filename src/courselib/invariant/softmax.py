"""softmax, log_softmax and logsumexp over any dimension, and the first two's gradients, row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .support import HALVES, Op, dims, kept_shape, primitives, takes, wide, with_out


def softmax(self: Tensor, dim: int, half_to_float: bool) -> Any:
    return _over_rows("softmax", self, dim, half_to_float)


def log_softmax(self: Tensor, dim: int, half_to_float: bool) -> Any:
    return _over_rows("log_softmax", self, dim, half_to_float)


def logsumexp(self: Tensor, dim: int | Sequence[int], keepdim: bool = False) -> Any:
    x = self.to(torch.get_default_dtype()) if not (self.is_floating_point() or self.is_complex()) else self
    over = dims(x, dim)
    if over is None or not takes(x) or (dim == [] and x.dim() and not keepdim):  # the last is refused
        return NotImplemented
    kept = [d for d in range(x.dim()) if d not in over]
    shape = kept_shape(x, over, keepdim)
    D = math.prod(x.shape[d] for d in over)
    if D == 0:
        return x.new_full(shape, -math.inf)
    rows = x.permute(*kept, *over).reshape(-1, D) if x.dim() else x.reshape(1, 1)
    return primitives(x).logsumexp(rows).reshape(shape)


def softmax_backward(grad_output: Tensor, output: Tensor, dim: int, input_dtype: torch.dtype) -> Any:
    """y (g - sum(g y)). Sums along the row alone, so it is batch-invariant as the op is."""
    if not takes(grad_output, output):
        return NotImplemented
    g, y = wide(grad_output), wide(output)
    return (y * (g - _row_sum(g * y, dim))).to(input_dtype)


def log_softmax_backward(grad_output: Tensor, output: Tensor, dim: int, input_dtype: torch.dtype) -> Any:
    """g - exp(y) sum(g)."""
    if not takes(grad_output, output):
        return NotImplemented
    g, y = wide(grad_output), wide(output)
    return (g - y.exp() * _row_sum(g, dim)).to(input_dtype)


def _over_rows(op: str, x: Tensor, dim: int, half_to_float: bool) -> Any:
    if not takes(x) or dims(x, dim) is None or (half_to_float and (x.dtype not in HALVES or not x.is_cuda)):
        return NotImplemented
    last = x.movedim(dim, -1) if x.dim() else x
    rows = last.reshape(math.prod(last.shape[:-1]), last.shape[-1]) if x.dim() else x.reshape(1, 1)
    y = getattr(primitives(x), op)(rows, out_dtype=torch.float32 if half_to_float else None).reshape(last.shape)
    return y.movedim(-1, dim).contiguous() if x.dim() else y


def _row_sum(x: Tensor, dim: int) -> Tensor:
    """The sum over one dimension, kept with size 1."""
    if x.dim() == 0:
        return x
    dim = dim % x.dim()
    shape = kept_shape(x, (dim,), keepdim=True)
    columns = [math.prod(x.shape[dim + 1 :])] if dim + 1 < x.dim() else []
    grouped = x.reshape(math.prod(x.shape[:dim]), x.shape[dim], *columns)
    return primitives(x).reduce(grouped, "sum").reshape(shape)


OPS: dict[str, Op] = {
    "_softmax": softmax,
    "_softmax.out": with_out(softmax),
    "_log_softmax": log_softmax,
    "_log_softmax.out": with_out(log_softmax),
    "logsumexp": logsumexp,
    "logsumexp.out": with_out(logsumexp, "cast"),
    "_softmax_backward_data": softmax_backward,
    "_softmax_backward_data.out": with_out(softmax_backward, out="grad_input"),
    "_log_softmax_backward_data": log_softmax_backward,
    "_log_softmax_backward_data.out": with_out(log_softmax_backward),
}
