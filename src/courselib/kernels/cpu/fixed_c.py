"""The fixed-order C kernels, called on PyTorch tensors through ctypes.

A kernel works on the rows it is handed; large work is shared among `torch.get_num_threads()` threads by giving each
some rows (or some columns) whole, so a thread never holds a part of a sum. ctypes lets go of the interpreter's lock.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache

import torch
from torch import Tensor

from . import build, checks

NAME = "fixed-c"
# Multiply-adds that make a second thread worth waking, about 0.1 ms of work: one that finds its core taken may wait for
# milliseconds.
MIN_WORK = 4_000_000
# The bytes that every correct build gives on `_probe`'s inputs; a compiler that reorders or fuses gives others.
PROBE_SHA256 = "383011e37e92147a838fea2e061dd2786f0f01d154f38bcd3da82fc3dfcf9e5f"

_PTR, _INT, _F32 = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
_SIGNATURES = {
    "linear": [_PTR, _INT, _PTR, _INT, _PTR, _INT, _INT, _INT, _INT],
    "linear_nk": [_PTR, _INT, _PTR, _INT, _PTR, _INT, _INT, _INT, _INT],
    "bmm": [_PTR, _INT, _INT, _PTR, _INT, _INT, _INT, _PTR, *[_INT] * 5],
    "rms_norm": [_PTR, _PTR, _PTR, _INT, _INT, _F32],
    "rms_norm_rstd": [*[_PTR] * 4, _INT, _INT, _F32],
    "layer_norm": [*[_PTR] * 6, _INT, _INT, _F32],
    "reduce": [_PTR, _PTR, _PTR, *[_INT] * 5, _F32],
    "softmax": [_PTR, _PTR, _INT, _INT],
    "log_softmax": [_PTR, _PTR, _INT, _INT],
    "logsumexp": [_PTR, _PTR, _INT, _INT],
    "exp_": [_PTR, _PTR, _INT],
    "log_": [_PTR, _PTR, _INT],
    "silu": [_PTR, _PTR, _INT],
    "sigmoid": [_PTR, _PTR, _INT],
    "gelu": [_PTR, _PTR, _INT],
    "rope": [_PTR, _INT, _INT, _INT, _PTR, _PTR, _PTR, _INT, _INT, _INT, _INT],
    "attention": [*[_PTR] * 10, *[_INT] * 7, _F32],
    "masked_attention": [*[_PTR] * 10, *[_INT] * 9, _F32],
}
_ANSWERS_STATUS = {"attention", "masked_attention"}  # 1 when there was no memory; the others return nothing


@cache
def lib() -> ctypes.CDLL:
    """The loaded kernels, checked once against PROBE_SHA256. Raises build.NoCompilerError."""
    library = build.load()
    for name, signature in _SIGNATURES.items():
        kernel = getattr(library, name)
        kernel.argtypes = signature
        # ctypes takes void for int otherwise, and reads whatever the register held: some day a 1.
        kernel.restype = ctypes.c_int if name in _ANSWERS_STATUS else None
    found = _probe(library)
    if found != PROBE_SHA256:
        torch.set_flush_denormal(False)  # a fast-math library switches this on for the thread that loads it
        raise build.NoCompilerError(
            f"the kernels that {build.find_compiler()} built do not give the promised bytes "
            f"(sha256 {found[:16]}, expected {PROBE_SHA256[:16]}); is fast-math forced on?"
        )
    return library


def linear(x: Tensor, w: Tensor) -> Tensor:
    """y = x @ w. x (..., K), w (K, N) -> (..., N). One accumulator per output, k ascending.

    w is fastest stored (K, N) row by row; the transpose of an (N, K) weight is served too.
    """
    checks.linear(x, w)
    x, w = _aligned(x.contiguous()), _aligned(w)
    K, N = w.shape
    if w.stride(1) == 1:
        kernel, ldw, column = lib().linear, w.stride(0), 1
    elif w.stride(0) == 1:
        kernel, ldw, column = lib().linear_nk, w.stride(1), w.stride(1)
    else:
        w = w.contiguous()
        kernel, ldw, column = lib().linear, N, 1
    y = x.new_empty(*x.shape[:-1], N)
    M = x.numel() // K if K else 0
    if M * N == 0 or K == 0:
        return y.zero_()
    xp, wp, yp = x.data_ptr(), w.data_ptr(), y.data_ptr()
    if M * N * K < 2 * MIN_WORK:
        _check_memory(kernel(xp, K, wp, ldw, yp, N, M, K, N))
    elif M >= 8:
        _share(M, N * K, lambda a, b: kernel(xp + 4 * a * K, K, wp, ldw, yp + 4 * a * N, N, b - a, K, N))
    else:
        _share(N, M * K, lambda a, b: kernel(xp, K, wp + 4 * a * column, ldw, yp + 4 * a, N, M, K, b - a))
    return y


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimension. x (..., D), weight (D,)."""
    checks.rms_norm(x, weight)
    x, weight = _aligned(x.contiguous()), _aligned(weight.contiguous())
    y = torch.empty_like(x)
    D = x.shape[-1]
    lib().rms_norm(x.data_ptr(), weight.data_ptr(), y.data_ptr(), x.numel() // max(D, 1), D, eps)
    return y


def softmax(x: Tensor) -> Tensor:
    """Softmax over the last dimension."""
    return _rows("softmax", x)


def log_softmax(x: Tensor) -> Tensor:
    """Log-softmax over the last dimension."""
    return _rows("log_softmax", x)


def exp(x: Tensor) -> Tensor:
    """e^x, elementwise."""
    return _elementwise("exp_", x)


def log(x: Tensor) -> Tensor:
    """Natural logarithm, elementwise."""
    return _elementwise("log_", x)


def silu(x: Tensor) -> Tensor:
    """x * sigmoid(x), elementwise."""
    return _elementwise("silu", x)


def gelu(x: Tensor) -> Tensor:
    """GELU by its tanh approximation, elementwise."""
    return _elementwise("gelu", x)


def rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate pairs (i, i + d_h/2). x (B, H, T, d_h), cos and sin (B, T, d_h/2)."""
    checks.rope(x, cos, sin)
    x = _strided(x)
    B, H, T, d = x.shape
    y = x.new_empty(B, H, T, d)
    sb, sh, st, _ = x.stride()
    c, s = _aligned(cos.contiguous()), _aligned(sin.contiguous())
    lib().rope(x.data_ptr(), sb, sh, st, c.data_ptr(), s.data_ptr(), y.data_ptr(), B, H, T, d)
    return y


def attention(
    q: Tensor, k: Tensor, v: Tensor, past: Sequence[int], first: Sequence[int], count: Sequence[int]
) -> Tensor:
    """Causal attention over absolute slots; see `courselib.kernels` for the contract."""
    checks.attention(q, k, v, past, first, count)
    q, k, v = _strided(q), _strided(k), _strided(v)
    B, H, T, d = q.shape
    H_kv, S = k.shape[1:3]
    out = q.new_empty(B, T, H, d)
    arguments = (
        q.data_ptr(), _ints(q.stride()), k.data_ptr(), _ints(k.stride()), v.data_ptr(), _ints(v.stride()),
        out.data_ptr(), _ints(tuple(past)), _ints(tuple(first)), _ints(tuple(count)),
    )  # fmt: skip
    kernel, scale = lib().attention, 1 / math.sqrt(d)
    if 2 * B * H * T * S * d < 2 * MIN_WORK:
        _check_memory(kernel(*arguments, 0, B * H, H, H_kv, T, S, d, scale))
    else:
        _share(B * H, 2 * T * S * d, lambda a, b: kernel(*arguments, a, b, H, H_kv, T, S, d, scale))
    return out.transpose(1, 2)


def _strided(x: Tensor) -> Tensor:
    # Heads and slots may lie anywhere (a cache's view, a transpose); the numbers of one row must lie side by side.
    return _aligned(x if x.stride(3) == 1 else x.contiguous())


def _aligned(x: Tensor) -> Tensor:
    # safetensors may map a tensor at an odd address, where C knows no float.
    return x.clone() if x.data_ptr() % 4 else x


def _rows(name: str, x: Tensor) -> Tensor:
    checks.float32(x=x)
    x = _aligned(x.contiguous())
    y = torch.empty_like(x)
    if x.numel():
        getattr(lib(), name)(x.data_ptr(), y.data_ptr(), x.numel() // x.shape[-1], x.shape[-1])
    return y


def _elementwise(name: str, x: Tensor) -> Tensor:
    checks.float32(x=x)
    x = _aligned(x.contiguous())
    y = torch.empty_like(x)
    getattr(lib(), name)(x.data_ptr(), y.data_ptr(), x.numel())
    return y


def _check_memory(status: int | None) -> None:
    if status == 1:
        raise MemoryError("a fixed-order kernel found no memory for its scratch row")


@lru_cache(4096)
def _ints(values: tuple[int, ...]) -> ctypes.Array[ctypes.c_int64]:
    # Every layer of a step asks for the same few; the kernels only read them.
    return (ctypes.c_int64 * len(values))(*values)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="courselib")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child inherits the pool, but not its threads


def _share(n: int, work: int, kernel: Callable[[int, int], int | None]) -> None:
    """Run kernel(a, b) over [0, n) in as many parts as there are threads and MIN_WORK-sized shares of n * work."""
    threads = max(1, min(torch.get_num_threads(), n, n * work // MIN_WORK))
    cuts = [n * i // threads for i in range(threads + 1)]
    pool = _pool(torch.get_num_threads())
    for status in pool.map(kernel, cuts[:-1], cuts[1:]):
        _check_memory(status)


def _probe(library: ctypes.CDLL) -> str:
    """sha256 of what every kernel gives on fixed inputs that a reordered or fused sum would round differently."""
    R, D = 67, 83
    words = torch.arange(2 * R * D, dtype=torch.int64)
    noise = ((words * 2654435761 % 4294967296).double() / 2147483648 - 1).float()  # exact steps in [-1, 1), no libm
    masked = noise[: R * D] * 32
    masked[::11] = -math.inf  # never a whole row
    out = torch.zeros(19, R * R + R * D)
    x, w, m = noise.data_ptr(), noise[R * D :].data_ptr(), masked.data_ptr()
    y = [row.data_ptr() for row in out]
    strides, zero, eps = _ints((R * D, R * D, D, 1)), _ints((0,)), math.ldexp(1.0, -17)
    library.linear(x, D, w, R, y[0], R, R, D, R)
    library.linear_nk(x, D, w, D, y[1], R, R, D, R)
    library.rms_norm(x, w, y[2], R, D, eps)
    library.softmax(m, y[3], R, D)
    library.log_softmax(m, y[4], R, D)
    library.exp_(m, y[5], R * D)
    library.log_(y[5], y[6], R * D)
    library.silu(x, y[7], R * D)
    library.gelu(x, y[8], R * D)
    library.rope(x, 0, 0, D, w, w, y[9], 1, 1, R, D - 1)
    library.attention(x, strides, w, strides, x, strides, y[10], zero, zero, _ints((R,)), 0, 1, 1, 1, R, R, D, 0.125)
    library.bmm(x, 1, D, w, 2, D, 0, y[11], 0, 3 * 19, 19, 57, 61)
    library.rms_norm_rstd(x, None, y[12], y[12] + 4 * R * D, R, D, eps)
    library.layer_norm(x, w, x, y[13], y[13] + 4 * R * D, y[13] + 4 * R * (D + 1), R, D, eps)
    library.reduce(x, y[14], None, 0, R, D, 1, 1, 3.0)
    library.reduce(x, y[15], w, 0, 1, R, D, 0, 3.0)
    library.logsumexp(m, y[16], R, D)
    library.sigmoid(x, y[17], R * D)
    seen = (m, strides, y[18], y[18] + 4 * R * D)
    library.masked_attention(x, strides, w, strides, x, strides, *seen, 0, R, 1, 1, R, R, D, D, 1, 0.125)
    return hashlib.sha256(out.numpy().astype("<f4").tobytes()).hexdigest()
