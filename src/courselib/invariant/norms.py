"""layer_norm and rms_norm, and their gradients.

An input's gradient sums along its own row, and so is batch-invariant. The gradients of weight and bias sum over all
rows: the order is fixed, the same from run to run, and the sum still depends on the batch, as it must.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .support import Op, primitives, takes, wide


def layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> Any:
    rows = _rows(input, normalized_shape, weight, bias)
    if rows is None:
        return NotImplemented
    y, mean, rstd = primitives(input).layer_norm(rows, _flat(weight), _flat(bias), eps)
    # PyTorch keeps mean and rstd for the backward, on the CPU in the weights' dtype.
    kept = torch.float32 if input.is_cuda and input.dtype != torch.float64 else _dtype(input, weight, bias)
    shape = _statistics_shape(input, normalized_shape)
    return y.reshape(input.shape), mean.reshape(shape).to(kept), rstd.reshape(shape).to(kept)


def layer_norm_backward(
    grad_out: Tensor,
    input: Tensor,
    normalized_shape: Sequence[int],
    mean: Tensor,
    rstd: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    output_mask: Sequence[bool],
) -> Any:
    """rstd (h - mean(h) - xhat mean(h xhat)) with h = g * weight; sum(g xhat) and sum(g) for weight and bias."""
    rows = _rows(input, normalized_shape, weight, bias)
    if rows is None or not takes(grad_out) or grad_out.shape != input.shape:
        return NotImplemented
    x, g = wide(rows), wide(grad_out).reshape(rows.shape)
    reduce, D = primitives(x).reduce, float(max(rows.shape[1], 1))
    # The mean is taken again: what was kept may have been rounded to bfloat16, and x - mean would show it.
    scale = wide(rstd).reshape(-1, 1)
    xhat = (x - reduce(x, "sum", divide_by=D)[:, None]) * scale
    grads: list[Tensor | None] = [None, None, None]
    if output_mask[0]:
        h = g if weight is None else g * wide(weight).reshape(-1)
        mean_h = reduce(h, "sum", divide_by=D)[:, None]
        mean_hx = reduce(h * xhat, "sum", divide_by=D)[:, None]
        grads[0] = (scale * (h - mean_h - xhat * mean_hx)).to(input.dtype).reshape(input.shape)
    if output_mask[1] and weight is not None:
        grads[1] = reduce((g * xhat)[None], "sum", out_dtype=weight.dtype).reshape(weight.shape)
    if output_mask[2] and bias is not None:
        grads[2] = reduce(g[None], "sum", out_dtype=bias.dtype).reshape(bias.shape)
    return tuple(grads)


def rms_norm(input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None, eps: float | None) -> Any:
    rows = _rows(input, normalized_shape, weight, None)
    if rows is None:
        return NotImplemented
    epsilon = torch.finfo(wide(rows[:0]).dtype).eps if eps is None else eps
    y, rstd = primitives(input).rms_norm(rows, _flat(weight), epsilon)
    return y.reshape(input.shape), rstd.reshape(_statistics_shape(input, normalized_shape))


def rms_norm_backward(
    grad_out: Tensor,
    input: Tensor,
    normalized_shape: Sequence[int],
    rstd: Tensor,
    weight: Tensor | None,
    output_mask: Sequence[bool],
) -> Any:
    """rstd (h - xhat mean(h xhat)) with h = g * weight; sum(g xhat) for the weight."""
    rows = _rows(input, normalized_shape, weight, None)
    if rows is None or not takes(grad_out, rstd) or grad_out.shape != input.shape:
        return NotImplemented
    scale = wide(rstd).reshape(-1, 1)
    x, g = wide(rows), wide(grad_out).reshape(rows.shape)
    xhat = x * scale
    reduce, D = primitives(x).reduce, float(max(rows.shape[1], 1))
    grads: list[Tensor | None] = [None, None]
    if output_mask[0]:
        h = g if weight is None else g * wide(weight).reshape(-1)
        mean_hx = reduce(h * xhat, "sum", divide_by=D)[:, None]
        grads[0] = (scale * (h - xhat * mean_hx)).to(input.dtype).reshape(input.shape)
    if output_mask[1] and weight is not None:
        grads[1] = reduce((g * xhat)[None], "sum", out_dtype=weight.dtype).reshape(weight.shape)
    return tuple(grads)


def _rows(x: Tensor, normalized_shape: Sequence[int], *parameters: Tensor | None) -> Tensor | None:
    """x as (R, D), D the dimensions that are normalised over; None where PyTorch is to answer or to refuse."""
    shape = tuple(normalized_shape)
    if not shape or tuple(x.shape[-len(shape) :]) != shape or not takes(x, *parameters):
        return None
    if any(p is not None and tuple(p.shape) != shape for p in parameters):
        return None
    return x.reshape(math.prod(x.shape[: -len(shape)]), math.prod(shape))


def _flat(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.reshape(-1)


def _dtype(x: Tensor, *parameters: Tensor | None) -> torch.dtype:
    return next((p.dtype for p in parameters if p is not None), x.dtype)


def _statistics_shape(x: Tensor, normalized_shape: Sequence[int]) -> list[int]:
    kept = x.dim() - len(normalized_shape)
    return [*x.shape[:kept], *[1] * len(normalized_shape)]


OPS: dict[str, Op] = {"native_layer_norm": layer_norm, "native_layer_norm_backward": layer_norm_backward}
CUDA_OPS: dict[str, Op] = {"_fused_rms_norm": rms_norm, "_fused_rms_norm_backward": rms_norm_backward}
