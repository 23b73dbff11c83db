"""The fixed orders of `fixed_order.c`, stated in PyTorch: the fallback without a compiler, and the C's reference.

Only elementwise operations appear (add, subtract, multiply, divide, square root, compare, integer bit arithmetic): each
is one IEEE operation per element, so no library gets to choose an order. Sums are loops over slices, written in the
order that the C source states. The bytes are the same as the C's; the time is not (a step costs K small operations).
Nor is there a gradient, as the C has none: training runs on stock ops.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, no_grad
from torch.nn.functional import pad

from . import checks

NAME = "fixed-torch"
_MAGIC = 12582912.0  # 1.5 * 2^23: adding it rounds a float32 to an integer
_MAGIC_BITS = 0x4B400000


@no_grad()
def linear(x: Tensor, w: Tensor) -> Tensor:
    """y = x @ w. x (..., K), w (K, N) -> (..., N). One accumulator per output, k ascending."""
    checks.linear(x, w)
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    y = torch.zeros(rows.shape[0], w.shape[1], dtype=x.dtype)
    product = torch.empty_like(y)
    for x_k, w_k in zip(rows.t()[..., None], w, strict=True):
        torch.mul(x_k, w_k, out=product)
        y += product
    return y.view(*x.shape[:-1], w.shape[1])


def lane_sum(x: Tensor) -> Tensor:
    """Sum over the last dimension in 16 lanes and a tree: (..., n) -> (...)."""
    x = pad(x, (0, -x.shape[-1] % 16)).unflatten(-1, (-1, 16))
    lanes = torch.zeros(*x.shape[:-2], 16, dtype=x.dtype)
    for i in range(x.shape[-2]):
        lanes += x[..., i, :]
    for width in (8, 4, 2, 1):
        lanes = lanes[..., :width] + lanes[..., width : 2 * width]
    return lanes[..., 0]


@no_grad()
def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension. x (..., D), weight (D,)."""
    checks.rms_norm(x, weight)
    scale = 1.0 / _sqrt(lane_sum(x * x) / x.shape[-1] + eps)
    return (x * scale[..., None]) * weight


@no_grad()
def softmax(x: Tensor) -> Tensor:
    """Softmax over the last dimension."""
    e = exp(x - x.amax(-1, keepdim=True))
    return e / lane_sum(e)[..., None]


@no_grad()
def log_softmax(x: Tensor) -> Tensor:
    """Log-softmax over the last dimension."""
    shifted = x - x.amax(-1, keepdim=True)
    return shifted - log(lane_sum(exp(shifted)))[..., None]


@no_grad()
def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x), elementwise."""
    return x / (1.0 + exp(-x))


@no_grad()
def gelu(x: Tensor) -> Tensor:
    """GELU by its tanh approximation, elementwise."""
    return x / (1.0 + exp((x + (x * 0.044715) * (x * x)) * -1.59576912160573071))


@no_grad()
def rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate pairs (i, i + d_h/2). x (B, H, T, d_h), cos and sin (B, T, d_h/2)."""
    checks.rope(x, cos, sin)
    a, b = x.chunk(2, dim=-1)
    c, s = cos[:, None], sin[:, None]
    return torch.cat([a * c - b * s, b * c + a * s], dim=-1)


@no_grad()
def attention(
    q: Tensor, k: Tensor, v: Tensor, past: Sequence[int], first: Sequence[int], count: Sequence[int]
) -> Tensor:
    """Causal attention over absolute slots; see `courselib.kernels` for the contract."""
    checks.attention(q, k, v, past, first, count)
    B, H, T, d = q.shape
    group = H // k.shape[1]
    out = torch.zeros(B, T, H, d, dtype=q.dtype)
    scale = torch.tensor(1 / math.sqrt(d), dtype=torch.float32)
    for b in range(B):
        start, end = max(0, first[b] - past[b]), count[b]  # the rows that see something
        if end <= start:
            continue
        n = past[b] + end - first[b]  # the slots that the last of them sees
        rows = q[b, :, start:end, None]  # (H, R, 1, d)
        keys, values = (x[b, :, first[b] : first[b] + n].repeat_interleave(group, 0) for x in (k, v))  # (H, n, d)
        last = past[b] - first[b] + torch.arange(start, end)  # the last slot that each row sees (R,)
        seen = torch.arange(n) <= last[:, None]  # (R, n)
        scores = torch.where(seen, lane_sum(rows * keys[:, None]) * scale, -math.inf)  # (H, R, n)
        e = torch.where(seen, exp(scores - scores.amax(-1, keepdim=True)), 0.0)  # +0 at the end of a sum moves no bit
        acc = torch.zeros(H, end - start, d, dtype=q.dtype)
        for j in range(n):
            r = max(0, j - int(last[0]))  # the first row that sees slot j; those before never touch it
            acc[:, r:] += e[:, r:, j, None] * values[:, j, None]
        out[b, start:end] = (acc / lane_sum(e)[..., None]).transpose(0, 1)
    return out.transpose(1, 2)


@no_grad()
def exp(x: Tensor) -> Tensor:
    """e^x, elementwise: the steps of vexp in fixed_order.c, one by one."""
    checks.float32(x=x)
    x = torch.where(x > 89.0, 89.0, x)
    x = torch.where(x < -104.0, -104.0, x)
    t = x * 1.44269504088896341 + _MAGIC
    n = t - _MAGIC
    r = (x - n * 0.693359375) - n * -2.12194440e-4
    p = torch.full_like(x, 1.9875691500e-4)
    for c in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = p * r + c
    p = (p * (r * r) + r) + 1.0
    i = t.view(torch.int32) - _MAGIC_BITS
    half = i >> 1
    return (p * _power_of_two(half)) * _power_of_two(i - half)


@no_grad()
def log(x: Tensor) -> Tensor:
    """Natural logarithm, elementwise: the steps of vlog in fixed_order.c, one by one."""
    checks.float32(x=x)
    tiny = x < 1.17549435e-38
    bits = torch.where(tiny, x * 8388608.0, x).view(torch.int32)
    e = (bits - 0x3F3504F3) >> 23
    f = (bits - (e << 23)).view(torch.float32) - 1.0
    z = f * f
    k = (e - 23 * tiny.int()).float()
    p = torch.full_like(x, 7.0376836292e-2)
    for c in (-1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
              2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1):  # fmt: skip
        p = p * f + c
    p = (p * f) * z
    p = p + k * -2.12194440e-4
    p = p - z * 0.5
    y = (f + p) + k * 0.693359375
    y = torch.where(x == float("inf"), float("inf"), y)
    y = torch.where(x == 0, float("-inf"), y)
    return torch.where((x < 0) | x.isnan(), float("nan"), y)


def _sqrt(x: Tensor) -> Tensor:
    # Not torch.sqrt: on the CPU it may come from a vector library that is off by an ULP. NumPy uses the processor's.
    return torch.from_numpy(np.sqrt(x.numpy()))


def _power_of_two(n: Tensor) -> Tensor:
    return ((n + 127) << 23).view(torch.float32)
