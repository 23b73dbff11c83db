"""The primitives on the C kernels, float32: what `primitives_torch` states, with the same bytes.

Every function here takes inputs that `primitives` has checked. Work is shared among threads as in `fixed_c`: by rows,
heads or columns, each whole, so that a thread never holds a part of a sum.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from . import fixed_c
from .fixed_c import _aligned, _check_memory, _ints, _share, _strided

_EXP = 16  # an exponential costs about as much as this many multiply-adds


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """a (M, K) @ b (K, N) or a (B, M, K) @ b (B, K, N). One accumulator per output, k ascending."""
    if a.dim() == 2:
        return fixed_c.linear(a, b)
    B, M, K = a.shape
    N = b.shape[2]
    if B == 1:
        return fixed_c.linear(a[0], b[0])[None]
    if B * M * N * K == 0:
        return a.new_zeros(B, M, N)
    a, b = _aligned(a if a.stride(2) == 1 else a.contiguous()), _aligned(b if 1 in b.stride()[1:] else b.contiguous())
    y = a.new_empty(B, M, N)
    nk = b.stride(2) != 1
    x, w = (a.data_ptr(), *a.stride()[:2]), (b.data_ptr(), b.stride(0), b.stride(2 if nk else 1), nk, y.data_ptr())
    _run(B * M, N * K, lambda lo, hi: fixed_c.lib().bmm(*x, *w, lo, hi, M, K, N))
    return y


def reduce(x: Tensor, squares: bool, shift: Tensor | None, divide_by: float) -> Tensor:
    """x (O, D, I) -> (O, I), a lane sum over the middle dimension."""
    x, s = _whole(x), shift if shift is None else _whole(shift)
    O, D, I = x.shape
    y = x.new_empty(O, I)
    columns = 256 if I > 1 else 1  # what one part holds: COLUMNS in the C
    pointers, numbers = (x.data_ptr(), y.data_ptr(), _pointer(s)), (D, I, squares, divide_by)
    _run(O * -(-I // columns), D * columns, lambda lo, hi: fixed_c.lib().reduce(*pointers, lo, hi, *numbers))
    return y


def rms_norm(x: Tensor, weight: Tensor | None, eps: float) -> tuple[Tensor, Tensor]:
    """x (R, D) -> y (R, D), rstd (R,)."""
    x, w = _whole(x), weight if weight is None else _whole(weight)
    y, rstd = torch.empty_like(x), x.new_empty(len(x))
    _over_rows("rms_norm_rstd", x, [w], [y, rstd], 1, eps)
    return y, rstd


def layer_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """x (R, D) -> y (R, D), mean (R,), rstd (R,)."""
    x, w, b = _whole(x), weight if weight is None else _whole(weight), bias if bias is None else _whole(bias)
    y, mean, rstd = torch.empty_like(x), x.new_empty(len(x)), x.new_empty(len(x))
    _over_rows("layer_norm", x, [w, b], [y, mean, rstd], 1, eps)
    return y, mean, rstd


def softmax(x: Tensor) -> Tensor:
    """x (R, D) -> (R, D)."""
    x = _whole(x)
    return _over_rows("softmax", x, [], [torch.empty_like(x)], _EXP)


def log_softmax(x: Tensor) -> Tensor:
    """x (R, D) -> (R, D)."""
    x = _whole(x)
    return _over_rows("log_softmax", x, [], [torch.empty_like(x)], _EXP)


def logsumexp(x: Tensor) -> Tensor:
    """x (R, D) -> (R,)."""
    return _over_rows("logsumexp", _whole(x), [], [x.new_empty(len(x))], _EXP)


def silu(x: Tensor) -> Tensor:
    """x / (1 + exp(-x)), elementwise."""
    return _elements("silu", x)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), elementwise."""
    return _elements("sigmoid", x)


def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    """q (B, H, T, d_h), k (B, H_kv, S, d_h), v (B, H_kv, S, d_v), mask (B, H, T, S), -inf where masked."""
    q, k, v = _strided(q), _strided(k), _strided(v)
    mask = mask if mask is None else _aligned(mask)
    B, H, T, d = q.shape
    H_kv, S, d_v = v.shape[1:]
    out, lse = q.new_empty(B, H, T, d_v), q.new_empty(B, H, T)
    pointers = (
        q.data_ptr(), _ints(q.stride()), k.data_ptr(), _ints(k.stride()), v.data_ptr(), _ints(v.stride()),
        _pointer(mask), None if mask is None else _ints(mask.stride()), out.data_ptr(), lse.data_ptr(),
    )  # fmt: skip
    numbers = H, H_kv, T, S, d, d_v, causal, scale
    _run(B * H * T, S * (d + d_v + _EXP), lambda lo, hi: fixed_c.lib().masked_attention(*pointers, lo, hi, *numbers))
    return out, lse


def _run(n: int, work: int, kernel: Callable[[int, int], int | None]) -> None:
    """kernel(0, n) on this thread, or shared among several when n * work multiply-adds are worth waking them."""
    if n * work < 2 * fixed_c.MIN_WORK:
        _check_memory(kernel(0, n))
    else:
        _share(n, work, kernel)


def _over_rows(
    name: str, x: Tensor, parameters: list[Tensor | None], outputs: list[Tensor], cost: int, *numbers: float
) -> Tensor:
    """Run a kernel (x, parameters, outputs, rows, D, numbers) on x (R, D); every output has R rows."""
    kernel, (R, D) = getattr(fixed_c.lib(), name), x.shape
    fixed = [_pointer(p) for p in parameters]
    moving = [(y.data_ptr(), 4 * y.stride(0)) for y in outputs]

    def rows(lo: int, hi: int) -> None:
        at = [start + lo * step for start, step in moving]
        kernel(x.data_ptr() + 4 * lo * D, *fixed, *at, hi - lo, D, *numbers)

    _run(R, D * cost, rows)
    return outputs[0]


def _elements(name: str, x: Tensor) -> Tensor:
    x = _whole(x)
    y, kernel = torch.empty_like(x), getattr(fixed_c.lib(), name)
    _run(x.numel(), _EXP, lambda lo, hi: kernel(x.data_ptr() + 4 * lo, y.data_ptr() + 4 * lo, hi - lo))
    return y


def _whole(x: Tensor) -> Tensor:
    return _aligned(x.contiguous())


def _pointer(x: Tensor | None) -> int | None:
    return None if x is None else x.data_ptr()
