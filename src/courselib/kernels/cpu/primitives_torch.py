"""The primitives' fixed orders, stated in PyTorch: the C's reference, the fallback without a compiler, and float64.

As in `fixed_torch`, only elementwise operations appear, and every sum is a loop over slices in the written order. What
stands here takes float32 or float64 and gives the same dtype; the C gives the same bytes for float32. `primitives` has
checked the inputs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from . import fixed_torch
from .fixed_torch import _sqrt


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """a (M, K) @ b (K, N) or a (B, M, K) @ b (B, K, N). One accumulator per output, k ascending."""
    if a.dim() == 2:
        return matmul(a[None], b[None])[0]
    y = a.new_zeros(*a.shape[:2], b.shape[2])
    product = torch.empty_like(y)
    for k in range(a.shape[2]):
        torch.mul(a[:, :, k, None], b[:, None, k], out=product)
        y += product
    return y


def reduce(x: Tensor, squares: bool, shift: Tensor | None, divide_by: float) -> Tensor:
    """x (O, D, I) -> (O, I): element d of the middle dimension goes to accumulator d % 16; then a tree."""
    lanes = x.new_zeros(x.shape[0], 16, x.shape[2])
    for d in range(0, x.shape[1], 16):
        part = x[:, d : d + 16]
        if shift is not None:
            part = part - shift[:, None]
        lanes[:, : part.shape[1]] += part * part if squares else part
    for width in (8, 4, 2, 1):
        lanes = lanes[:, :width] + lanes[:, width : 2 * width]
    return lanes[:, 0] / divide_by


def row_sum(x: Tensor, squares: bool = False, divide_by: float = 1.0) -> Tensor:
    """x (R, D) -> (R, 1)."""
    return reduce(x[..., None], squares, None, divide_by)


def rms_norm(x: Tensor, weight: Tensor | None, eps: float) -> tuple[Tensor, Tensor]:
    """x (R, D) -> y (R, D), rstd (R,)."""
    rstd = 1.0 / _sqrt(row_sum(x, squares=True, divide_by=x.shape[1]) + eps)
    return _scaled(x * rstd, weight, None), rstd[:, 0]


def layer_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """x (R, D) -> y (R, D), mean (R,), rstd (R,): the mean first, then the mean of squared differences from it."""
    mean = row_sum(x, divide_by=x.shape[1])
    difference = x - mean
    rstd = 1.0 / _sqrt(row_sum(difference, squares=True, divide_by=x.shape[1]) + eps)
    return _scaled(difference * rstd, weight, bias), mean[:, 0], rstd[:, 0]


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    if weight is not None:
        x = x * weight
    return x if bias is None else x + bias


def softmax(x: Tensor) -> Tensor:
    """x (R, D) -> (R, D)."""
    e = exp(x - x.amax(-1, keepdim=True))
    return e / row_sum(e)


def log_softmax(x: Tensor) -> Tensor:
    """x (R, D) -> (R, D)."""
    shifted = x - x.amax(-1, keepdim=True)
    return shifted - log(row_sum(exp(shifted)))


def logsumexp(x: Tensor) -> Tensor:
    """x (R, D) -> (R,). An infinite maximum is not subtracted: inf - inf is no number."""
    most = x.amax(-1, keepdim=True)
    most = torch.where(most.abs() == math.inf, 0.0, most)
    return (log(row_sum(exp(x - most))) + most)[:, 0]


def silu(x: Tensor) -> Tensor:
    """x / (1 + exp(-x)), elementwise."""
    return x / (1.0 + exp(-x))


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), elementwise."""
    return 1.0 / (1.0 + exp(-x))


def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    """q (B, H, T, d_h), k (B, H_kv, S, d_h), v (B, H_kv, S, d_v), mask (B, H, T, S) in q's dtype, -inf where masked."""
    B, H, T, _ = q.shape
    S, d_v = v.shape[2:]
    out, lse = q.new_zeros(B, H, T, d_v), q.new_full((B, H, T), -math.inf)
    if S == 0:
        return out, lse
    slot = torch.arange(S)
    for b in range(B):
        keys, values = (x[b].repeat_interleave(H // max(k.shape[1], 1), 0) for x in (k, v))  # (H, S, d)
        seen = torch.ones(H, T, S, dtype=torch.bool)
        if causal:
            seen &= slot <= torch.arange(T)[:, None]
        if mask is not None:
            seen &= mask[b] != -math.inf
        products = torch.stack([_dot(q[b, :, t, None], keys) for t in range(T)], 1) if T else q.new_zeros(H, 0, S)
        scores = products * scale
        if mask is not None:
            scores = scores + mask[b]
        most = torch.where(seen, scores, -math.inf).amax(-1, keepdim=True)
        e = torch.where(seen, exp(scores - most), 0.0)
        # The row's first slot comes to lane 0: what is turned to the end are the zeros of masked slots.
        turned = (seen.int().argmax(-1, keepdim=True) + slot) % S
        total = row_sum(e.gather(-1, turned).flatten(0, 1)).unflatten(0, (H, T))  # (H, T, 1)
        acc = q.new_zeros(H, T, d_v)
        for j in range(S):
            acc = torch.where(seen[..., j, None], acc + e[..., j, None] * values[:, None, j], acc)
        some = seen.any(-1, keepdim=True)
        out[b] = torch.where(some, acc / total, 0.0)
        lse[b] = torch.where(some, most + log(total), -math.inf)[..., 0]
    return out, lse


def _dot(q: Tensor, k: Tensor) -> Tensor:
    """q (H, 1, d), k (H, S, d) -> (H, S): a lane sum over d."""
    H, S, _ = k.shape
    return row_sum((q * k).flatten(0, 1)).view(H, S)


def exp(x: Tensor) -> Tensor:
    """e^x, elementwise. float64: fdlibm's exp (Sun Microsystems), a quotient after Cody-Waite reduction."""
    if x.dtype == torch.float32:
        return fixed_torch.exp(x)
    x = torch.where(x > 710.0, 710.0, x)
    x = torch.where(x < -746.0, -746.0, x)
    t = x * 1.4426950408889634073599 + 6755399441055744.0  # 1.5 * 2^52: adding it rounds to an integer
    n = t - 6755399441055744.0
    high, low = x - n * 6.93147180369123816490e-1, n * 1.90821492927058770002e-10
    r = high - low
    z = r * r
    p = torch.full_like(x, 4.13813679705723846039e-8)
    for c in (-1.65339022054652515390e-6, 6.61375632143793436117e-5, -2.77777777770155933842e-3,
              1.66666666666666019037e-1):  # fmt: skip
        p = p * z + c
    p = r - z * p
    y = 1.0 - ((low - (r * p) / (2.0 - p)) - high)
    i = t.view(torch.int64) - 0x4338000000000000
    half = i >> 1
    return (y * ((half + 1023) << 52).view(torch.float64)) * ((i - half + 1023) << 52).view(torch.float64)


def log(x: Tensor) -> Tensor:
    """Natural logarithm, elementwise. float64: Cephes' log (S. Moshier)."""
    if x.dtype == torch.float32:
        return fixed_torch.log(x)
    tiny = x < 2.0**-1022
    bits = torch.where(tiny, x * 2.0**54, x).view(torch.int64)
    e = (bits - 0x3FE6A09E667F3BCD) >> 52  # x = m 2^e, sqrt(1/2) <= m < sqrt(2)
    f = (bits - (e << 52)).view(torch.float64) - 1.0
    k = (e - 54 * tiny.long()).double()
    z = f * f
    p = torch.full_like(x, 1.01875663804580931796e-4)
    for c in (4.97494994976747001425e-1, 4.70579119878881725854e0, 1.44989225341610930846e1,
              1.79368678507819816313e1, 7.70838733755885391666e0):  # fmt: skip
        p = p * f + c
    q = f + 1.12873587189167450590e1
    for c in (4.52279145837532221105e1, 8.29875266912776603211e1, 7.11544750618563894466e1, 2.31251620126765340583e1):
        q = q * f + c
    y = (f * (z * p / q) - k * 2.121944400546905827679e-4) - z * 0.5
    y = (f + y) + k * 0.693359375
    y = torch.where(x == math.inf, math.inf, y)
    y = torch.where(x == 0, -math.inf, y)
    return torch.where((x < 0) | x.isnan(), math.nan, y)
