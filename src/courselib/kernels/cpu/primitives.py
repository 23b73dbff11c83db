"""The primitives of batch-invariant mode for CPU tensors: the fixed orders behind the interface all devices share.

A row's bytes are a function of that row's inputs and of (N, K, dtype): never of the number of rows, their position,
neighbours, padding, strides, alignment or the number of threads. float16 and bfloat16 are widened to float32, computed
there and rounded once. float32 runs on the C kernels, or where there is no compiler on the PyTorch statement of the
same orders, with the same bytes; float64 always runs on the latter. Inputs may have any strides and may be empty;
outputs are contiguous and carry no gradient. Every call names what ran (`courselib.kernels.listening`). A dtype or a
device that is not served raises TypeError, a shape that does not fit or an unknown word ValueError (`checks`).
"""

from __future__ import annotations

import math
from types import ModuleType

import torch
from torch import Tensor, no_grad

from ..evidence import ran
from ..hidden import HIDDEN
from ..registry import resolve
from . import checks, fixed_c, fixed_torch, primitives_c, primitives_torch


@no_grad()
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
    """alpha * (a @ b) + beta * bias, rounded once to out_dtype.

    a (M, K), b (K, N) -> (M, N), or a (B, M, K), b (B, K, N) -> (B, M, N). One accumulator per output, k ascending.
    bias is broadcast to the result; beta == 0 leaves it unread, NaN and all. `precision` ("ieee", "tf32x3", "tf32") is
    a choice on CUDA; here fp32 is always IEEE.
    """
    checks.matmul(a, b, bias, precision)
    y = _implementation("matmul", a).matmul(_widened(a), _widened(b))
    if alpha != 1.0:
        y.mul_(alpha)
    if bias is not None and beta != 0.0:
        # Two roundings, product then sum: torch.add(alpha=) may fuse them, and only in its vector body.
        add = bias.to(y.dtype)
        y.add_(add if beta == 1.0 else add * beta)
    return y.to(out_dtype or a.dtype)


def softmax(x: Tensor, *, out_dtype: torch.dtype | None = None) -> Tensor:
    """Softmax over the last dimension. x (R, D) -> (R, D)."""
    return _rows("softmax", x, out_dtype)


def log_softmax(x: Tensor, *, out_dtype: torch.dtype | None = None) -> Tensor:
    """Log-softmax over the last dimension. x (R, D) -> (R, D)."""
    return _rows("log_softmax", x, out_dtype)


@no_grad()
def logsumexp(x: Tensor, *, out_dtype: torch.dtype | None = None) -> Tensor:
    """log(sum(exp(x))) over the last dimension. x (R, D) -> (R,). A row without elements, or all -inf, gives -inf."""
    checks.rows("logsumexp", x)
    wide = _widened(x).contiguous()
    run = _implementation("logsumexp", wide).logsumexp
    y = run(wide) if x.shape[1] else wide.new_full(x.shape[:1], -math.inf)
    return y.to(out_dtype or x.dtype)


@no_grad()
def reduce(
    x: Tensor,
    kind: str,
    *,
    shift: Tensor | None = None,
    divide_by: float = 1.0,
    out_dtype: torch.dtype | None = None,
) -> Tensor:
    """The sum, or the sum of squares, over divide_by: x (R, D) -> (R,), or over the middle of x (O, D, I) -> (O, I).

    kind is "sum" or "sum_of_squares"; shift, of the result's shape, is subtracted from every element first. 16
    accumulators and a tree over D, the same for any I: the numbers decide the bytes, not where they lie. D = 0 gives
    0 / divide_by.
    """
    checks.reduce(x, kind, shift)
    wide = _widened(x).contiguous()
    shift = None if shift is None else shift.to(wide.dtype)
    if x.dim() == 2:
        wide, shift = wide[..., None], None if shift is None else shift[..., None]
    y = _implementation("reduce", wide).reduce(wide, kind == "sum_of_squares", shift, divide_by)
    return y.to(out_dtype or x.dtype).view(x.shape[0], *x.shape[2:])


@no_grad()
def rms_norm(
    x: Tensor, weight: Tensor | None, eps: float, *, out_dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    """x / sqrt(mean(x^2) + eps) * weight. x (R, D), weight (D,) or None -> y (R, D), rstd (R,) in the sums' dtype."""
    checks.norm("rms_norm", x, weight, None)
    wide = _widened(x).contiguous()
    weight = None if weight is None else weight.to(wide.dtype)
    y, rstd = _implementation("rms_norm", wide).rms_norm(wide, weight, eps)
    return y.to(out_dtype or x.dtype), rstd


@no_grad()
def layer_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, *, out_dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """(x - mean) / sqrt(variance + eps) * weight + bias. x (R, D), weight and bias (D,) or None.

    Answers y (R, D), and mean and rstd (R,) in the sums' dtype (float32, for float64 float64). Two passes: the mean,
    then the mean of the squared differences from it.
    """
    checks.norm("layer_norm", x, weight, bias)
    wide = _widened(x).contiguous()
    weight, bias = (None if p is None else p.to(wide.dtype) for p in (weight, bias))
    y, mean, rstd = _implementation("layer_norm", wide).layer_norm(wide, weight, bias, eps)
    return y.to(out_dtype or x.dtype), mean, rstd


@no_grad()
def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> tuple[Tensor, Tensor]:
    """softmax(scale * q k^T + mask) v, row by row, and the logarithm of each row's sum.

    q (B, H, T, d_h), k (B, H_kv, S, d_h), v (B, H_kv, S, d_v), H a multiple of H_kv -> out (B, H, T, d_v) in q's dtype
    and lse (B, H, T) in the sums' dtype. mask is boolean (True: sees) or float (added), broadcastable to (B, H, T, S).
    causal: row t sees the slots s <= t. scale is 1 / sqrt(d_h) unless given.
    A row counts its slots from the first that it sees, so padding on the left moves no bit. A masked slot (False, -inf,
    or a number at or below HIDDEN where the row sees any other slot) is never read. A row that sees nothing gives
    zeros, and lse -inf.
    """
    checks.masked_attention(q, k, v, mask)
    wide = [_widened(x) for x in (q, k, v)]
    if mask is not None:
        mask = added(mask).to(wide[0].dtype).expand(*q.shape[:3], k.shape[2])
    scale = 1 / math.sqrt(max(q.shape[3], 1)) if scale is None else scale
    out, lse = _implementation("attention", wide[0]).attention(*wide, mask, causal, scale)
    return out.to(q.dtype), lse


def silu(x: Tensor) -> Tensor:
    """x / (1 + exp(-x)), elementwise, any shape."""
    return _elements("silu", x)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), elementwise, any shape."""
    return _elements("sigmoid", x)


@no_grad()
def _rows(op: str, x: Tensor, out_dtype: torch.dtype | None) -> Tensor:
    checks.rows(op, x)
    wide = _widened(x).contiguous()
    run = getattr(_implementation(op, wide), op)
    return (run(wide) if x.numel() else torch.empty_like(wide)).to(out_dtype or x.dtype)


@no_grad()
def _elements(op: str, x: Tensor) -> Tensor:
    checks.floating(x=x)
    wide = _widened(x).contiguous()
    return getattr(_implementation(op, wide), op)(wide).to(x.dtype)


def added(mask: Tensor) -> Tensor:
    """An attention mask as numbers to add, -inf where a slot is hidden; same shape, a float mask's own dtype."""
    if mask.dtype == torch.bool:
        return torch.zeros_like(mask, dtype=torch.float32).masked_fill_(~mask, -math.inf)
    masked = mask <= HIDDEN  # a row of nothing else keeps its numbers, as in PyTorch
    return mask.masked_fill(masked & ~masked.all(-1, keepdim=True), -math.inf)


def _widened(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _implementation(op: str, x: Tensor) -> ModuleType:
    """The module that runs `op` on tensors like x; says so to whoever listens."""
    if x.dtype == torch.float64:
        ran(op, f"{fixed_torch.NAME} float64")
        return primitives_torch
    fixed = resolve("fixed")
    ran(op, fixed.NAME)
    return primitives_c if fixed is fixed_c else primitives_torch
