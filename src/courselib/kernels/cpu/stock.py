"""The same operations on PyTorch's own kernels: the library picks the order of each sum, by shape, machine and version.

This is what everyone runs, and what lab 02 shows failing its proof.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

NAME = "stock"


def linear(x: Tensor, w: Tensor) -> Tensor:
    """y = x @ w. x (..., K), w (K, N) -> (..., N)."""
    return x @ w


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension. x (..., D), weight (D,)."""
    return F.rms_norm(x, weight.shape, weight, eps)


def softmax(x: Tensor) -> Tensor:
    """Softmax over the last dimension."""
    return torch.softmax(x, -1)


def log_softmax(x: Tensor) -> Tensor:
    """Log-softmax over the last dimension."""
    return torch.log_softmax(x, -1)


def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x), elementwise."""
    return F.silu(x)


def gelu(x: Tensor) -> Tensor:
    """GELU by its tanh approximation, elementwise."""
    return F.gelu(x, approximate="tanh")


def rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate pairs (i, i + d_h/2). x (B, H, T, d_h), cos and sin (B, T, d_h/2)."""
    a, b = x.chunk(2, dim=-1)
    c, s = cos[:, None], sin[:, None]
    return torch.cat([a * c - b * s, b * c + a * s], dim=-1)


def attention(
    q: Tensor, k: Tensor, v: Tensor, past: Sequence[int], first: Sequence[int], count: Sequence[int]
) -> Tensor:
    """Causal attention over absolute slots by scaled_dot_product_attention; see `courselib.kernels`."""
    T, S = q.shape[2], k.shape[2]
    grouped = q.shape[1] != k.shape[1]
    plain = not any(first) and len(set(past)) == 1 and min(count) == T  # no padding anywhere, rows in step
    if plain and T == 1:
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=grouped)
    if plain and past[0] == 0:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)
    slot = torch.arange(S, device=q.device)
    last = torch.tensor(past, device=q.device)[:, None] + torch.arange(T, device=q.device)  # (B, T)
    # A pad row may see itself: a softmax over nothing would be NaN, and NaN in a slot poisons every later row.
    start = torch.minimum(torch.tensor(first, device=q.device)[:, None], last)
    mask = (slot <= last[..., None]) & (slot >= start[..., None])  # (B, T, S)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None], enable_gqa=grouped)
