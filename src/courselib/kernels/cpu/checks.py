"""What the fixed-order kernels accept: C reads whatever memory a shape describes, so a wrong one must stop here.

One file for both implementations: with a compiler and without, a mistake gets the same line.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


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
