"""What the fixed-order kernels accept: C reads whatever memory a shape describes, so a wrong one must stop here.

One file for both implementations: with a compiler and without, a mistake gets the same line.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def float32(**tensors: Tensor) -> None:
    """Raises TypeError, by name, for a tensor that is not float32 on the CPU."""
    for name, x in tensors.items():
        if x.dtype != torch.float32 or not x.is_cpu:
            raise TypeError(f"fixed-order CPU kernels take float32 tensors on cpu; {name} is {x.dtype} on {x.device}")


def linear(x: Tensor, w: Tensor) -> None:
    """x (..., K), w (K, N)."""
    float32(x=x, w=w)
    if w.dim() != 2 or x.shape[-1] != w.shape[0]:
        raise ValueError(f"linear: x {tuple(x.shape)} needs w ({x.shape[-1]}, N), got {tuple(w.shape)}")


def rms_norm(x: Tensor, weight: Tensor) -> None:
    """x (..., D), weight (D,)."""
    float32(x=x, weight=weight)
    if weight.shape != x.shape[-1:]:
        raise ValueError(f"rms_norm: x {tuple(x.shape)} needs weight ({x.shape[-1]},), got {tuple(weight.shape)}")


def rope(x: Tensor, cos: Tensor, sin: Tensor) -> None:
    """x (B, H, T, d_h) with d_h even, cos and sin (B, T, d_h/2)."""
    float32(x=x, cos=cos, sin=sin)
    B, _, T, d = x.shape
    if d % 2 or cos.shape != (B, T, d // 2) or sin.shape != cos.shape:
        raise ValueError(
            f"rope: x {tuple(x.shape)} needs an even last dimension, and cos and sin ({B}, {T}, {d // 2}), "
            f"got {tuple(cos.shape)} and {tuple(sin.shape)}"
        )


def attention(q: Tensor, k: Tensor, v: Tensor, past: Sequence[int], first: Sequence[int], count: Sequence[int]) -> None:
    """q (B, H, T, d_h), k and v (B, H_kv, S, d_h); past, first and count (B,), within S slots and T rows."""
    float32(q=q, k=k, v=v)
    B, H, T, d = q.shape
    H_kv, S = k.shape[1:3]
    if k.shape != (B, H_kv, S, d) or v.shape != k.shape or H % H_kv:
        raise ValueError(
            f"attention: q {tuple(q.shape)} needs k and v ({B}, H_kv, S, {d}) with H_kv a divisor of {H}, "
            f"got {tuple(k.shape)} and {tuple(v.shape)}"
        )
    if not len(past) == len(first) == len(count) == B:
        raise ValueError(f"attention: {B} sequences need as many numbers in past, first and count")
    for p, f, n in zip(past, first, count, strict=True):
        if p < 0 or f < 0 or not 0 <= n <= T or p + n > S:
            raise ValueError(
                f"attention: past {list(past)}, first {list(first)} and count {list(count)} do not fit "
                f"the {T} rows of q and the {S} slots of k"
            )


def floating(**tensors: Tensor | None) -> None:
    """Raises TypeError, by name, for a tensor that is not float16, bfloat16, float32 or float64 on the CPU."""
    for name, x in tensors.items():
        if x is not None and (x.dtype not in FLOATS or not x.is_cpu):
            raise TypeError(f"the CPU primitives take floating-point tensors on cpu; {name} is {x.dtype} on {x.device}")


def matmul(a: Tensor, b: Tensor, bias: Tensor | None, precision: str) -> None:
    """a (M, K) and b (K, N), or a (B, M, K) and b (B, K, N), of one dtype; bias broadcastable to the result."""
    floating(a=a, b=b, bias=bias)
    if a.dtype != b.dtype:
        raise TypeError(f"matmul: a and b need one dtype, got {a.dtype} and {b.dtype}")
    if a.dim() not in (2, 3) or a.dim() != b.dim() or a.shape[-1] != b.shape[-2] or a.shape[:-2] != b.shape[:-2]:
        raise ValueError(
            f"matmul: expected a (M, K) and b (K, N), or a (B, M, K) and b (B, K, N), "
            f"got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    if bias is not None and not _broadcasts(bias, shape := (*a.shape[:-1], b.shape[-1])):
        raise ValueError(f"matmul: bias {tuple(bias.shape)} cannot be broadcast to the result {shape}")
    if precision not in ("ieee", "tf32x3", "tf32"):
        raise ValueError(f'matmul: precision is "ieee", "tf32x3" or "tf32", got "{precision}"')


def rows(op: str, x: Tensor) -> None:
    """x (R, D)."""
    floating(x=x)
    if x.dim() != 2:
        raise ValueError(f"{op}: expected x (R, D), got {tuple(x.shape)}")


def reduce(x: Tensor, kind: str, shift: Tensor | None) -> None:
    """x (R, D) or (O, D, I), shift (R,) or (O, I) or None."""
    floating(x=x, shift=shift)
    if kind not in ("sum", "sum_of_squares"):
        raise ValueError(f'reduce: kind is "sum" or "sum_of_squares", got "{kind}"')
    if x.dim() not in (2, 3):
        raise ValueError(f"reduce: expected x (R, D) or (O, D, I), got {tuple(x.shape)}")
    shape = (x.shape[0], *x.shape[2:])
    if shift is not None and shift.shape != shape:
        raise ValueError(f"reduce: x {tuple(x.shape)} needs shift {shape}, got {tuple(shift.shape)}")


def norm(op: str, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> None:
    """x (R, D), weight and bias (D,) or None."""
    rows(op, x)
    floating(weight=weight, bias=bias)
    for name, parameter in {"weight": weight, "bias": bias}.items():
        if parameter is not None and parameter.shape != x.shape[1:]:
            raise ValueError(f"{op}: x {tuple(x.shape)} needs {name} ({x.shape[1]},), got {tuple(parameter.shape)}")


def masked_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> None:
    """q (B, H, T, d_h), k (B, H_kv, S, d_h), v (B, H_kv, S, d_v), of one dtype; mask broadcastable to (B, H, T, S)."""
    floating(q=q, k=k, v=v)
    if not q.dtype == k.dtype == v.dtype:
        raise TypeError(f"attention: q, k and v need one dtype, got {q.dtype}, {k.dtype} and {v.dtype}")
    fits = q.dim() == k.dim() == v.dim() == 4 and k.shape[:3] == v.shape[:3]
    fits = fits and k.shape[0] == q.shape[0] and k.shape[3] == q.shape[3]
    if not fits or (q.shape[1] % k.shape[1] if k.shape[1] else q.shape[1]):
        raise ValueError(
            f"attention: expected q (B, H, T, d_h), k (B, H_kv, S, d_h) and v (B, H_kv, S, d_v) with H_kv a divisor "
            f"of H, got {tuple(q.shape)}, {tuple(k.shape)} and {tuple(v.shape)}"
        )
    if mask is None:
        return
    if mask.dtype != torch.bool:
        floating(mask=mask)
    if not mask.is_cpu or not _broadcasts(mask, shape := (*q.shape[:3], k.shape[2])):
        raise ValueError(f"attention: mask {tuple(mask.shape)} on {mask.device} cannot be broadcast to {shape} on cpu")


def _broadcasts(x: Tensor, shape: Sequence[int]) -> bool:
    missing = len(shape) - x.dim()
    return missing >= 0 and all(m in (1, n) for m, n in zip(x.shape, shape[missing:], strict=True))
