"""softmax, log_softmax and logsumexp over the rows of a matrix, each row in an order that (D, dtype) alone decide.

A short row is read once and held in registers. A long one is cut every CHUNK elements: a chunk gives its largest
element m and the sum s of exp(x - m), one program each; a second launch combines the pairs of a row by one small tree
(Milakov and Gimelshein's safe softmax, arXiv:1805.02867) and writes a chunk a program. On Hopper a CUDA kernel does
the same in one launch and one reading (`courselib.kernels.cuda.softmax_long`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..cuda import softmax_long
from ..evidence import ran
from .launches import Launcher
from .rows import WHOLE, aligned, cut, on, options
from .runtime import cdiv, check_device, check_rows, next_power_of_2, tl, triton

CHUNK = 8192  # elements
WARPS = 16  # of every kernel that reduces a chunk
NOTHING = tl.constexpr(-(1 << 55))  # the pair of no elements, (-inf, 0): 0xff800000_00000000


@triton.jit
def _finite(m):
    """What to subtract from x before exp: m, or 0 where m is infinite (inf - inf would be NaN)."""
    return tl.where((m == float("inf")) | (m == float("-inf")), 0.0, m)


@triton.jit
def _stats(v):
    """(largest element, sum of exp(element - largest)) of a chunk."""
    m = tl.max(v, axis=0)
    return m, tl.sum(tl.exp(v - _finite(m)), axis=0)


@triton.jit
def _combine(m, s):
    """The pair of a row from those of its chunks. A chunk of -inf alone has s = 0; a NaN stays in s."""
    largest = tl.max(m, axis=0)
    return largest, tl.sum(s * tl.exp(m - _finite(largest)), axis=0)


@triton.jit
def _pack(m, s):
    """A pair in one 64-bit word, which is written and read whole."""
    high = m.to(tl.int32, bitcast=True).to(tl.int64) << 32
    return high | (s.to(tl.int32, bitcast=True).to(tl.int64) & 0xFFFFFFFF)


@triton.jit
def _unpack(word):
    return (word >> 32).to(tl.int32).to(tl.float32, bitcast=True), word.to(tl.int32).to(tl.float32, bitcast=True)


@triton.jit
def _load_pairs(pairs, row, chunks, CHUNKS: tl.constexpr):
    """The pairs of a row; those past its end are NOTHING."""
    chunk = tl.arange(0, CHUNKS)
    return _unpack(tl.load(pairs + row * chunks + chunk, mask=chunk < chunks, other=NOTHING))


@triton.jit
def _scale(m, s, LOG: tl.constexpr):
    """What turns exp(x - m), or x - m, into the answer. A row that holds +inf has none: NaN, as in PyTorch."""
    s = tl.where(m == float("inf"), float("nan"), s)
    if LOG:
        return tl.log(s)
    else:
        return tl.div_rn(1.0, s)


@triton.jit
def _finish(v, m, scale, LOG: tl.constexpr):
    if LOG:
        return (v - m) - scale
    else:
        return tl.exp(v - m) * scale


@triton.jit(do_not_specialize=["R"])
def _whole_rows(x, y, R, D, ROWS: tl.constexpr, BLOCK: tl.constexpr, LOG: tl.constexpr, LSE: tl.constexpr):
    """Rows of at most BLOCK elements, ROWS of them a program."""
    d = tl.arange(0, BLOCK)[None, :]
    row = tl.arange(0, ROWS).to(tl.int64) + tl.program_id(0) * ROWS
    at = row[:, None] * D + d
    mask = (row[:, None] < R) & (d < D)
    v = tl.load(x + at, mask=mask, other=float("-inf")).to(tl.float32)
    m = tl.max(v, axis=1)
    s = tl.sum(tl.exp(v - _finite(m)[:, None]), axis=1)
    if LSE:
        tl.store(y + row, m + tl.log(s), mask=row < R)
    else:
        tl.store(y + at, _finish(v, m[:, None], _scale(m, s, LOG)[:, None], LOG), mask=mask)


@triton.jit
def _split_stats(x, pairs, D, chunks, CHUNK: tl.constexpr):
    """x (R, D) -> pairs (R, chunks): one chunk a program."""
    pid = tl.program_id(0)
    row = tl.cast(pid // chunks, tl.int64)
    at = pid % chunks * CHUNK + tl.arange(0, CHUNK)
    v = tl.load(x + row * D + at, mask=at < D, other=float("-inf"), eviction_policy="evict_last").to(tl.float32)
    m, s = _stats(v)
    tl.store(pairs + tl.cast(pid, tl.int64), _pack(m, s))


@triton.jit
def _split_finish(x, y, pairs, D, chunks, CHUNK: tl.constexpr, CHUNKS: tl.constexpr, LOG: tl.constexpr):
    """Combine the pairs of a row, then write one of its chunks."""
    pid = tl.program_id(0)
    row = tl.cast(pid // chunks, tl.int64)
    at = pid % chunks * CHUNK + tl.arange(0, CHUNK)
    v = tl.load(x + row * D + at, mask=at < D, other=0.0, eviction_policy="evict_first").to(tl.float32)
    m, s = _load_pairs(pairs, row, chunks, CHUNKS)
    m, s = _combine(m, s)
    tl.store(y + row * D + at, _finish(v, m, _scale(m, s, LOG), LOG), mask=at < D)


@triton.jit
def _split_logsumexp(pairs, out, chunks, CHUNKS: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    m, s = _load_pairs(pairs, row, chunks, CHUNKS)
    m, s = _combine(m, s)
    tl.store(out + row, m + tl.log(s))


_launch_whole_rows = Launcher(_whole_rows)
_launch_split_stats = Launcher(_split_stats)
_launch_split_finish = Launcher(_split_finish)
_launch_split_logsumexp = Launcher(_split_logsumexp)


def softmax(x: Tensor, *, out_dtype: torch.dtype | None = None) -> Tensor:
    """exp(x) / sum(exp(x)) over the last dimension. x (R, D), any strides, fp16, bf16 or fp32 -> (R, D) contiguous.

    Computed in fp32 and rounded once to out_dtype (default: that of x). A row that is all -inf, or holds +inf or NaN,
    gives NaN. Raises TypeError for another dtype or a tensor that the kernels cannot reach, ValueError for another
    shape.
    """
    return _normalised("softmax", x, out_dtype)


def log_softmax(x: Tensor, *, out_dtype: torch.dtype | None = None) -> Tensor:
    """x - log(sum(exp(x))) over the last dimension. x (R, D) -> (R, D); all else as in `softmax`."""
    return _normalised("log_softmax", x, out_dtype)


def logsumexp(x: Tensor, *, out_dtype: torch.dtype | None = None) -> Tensor:
    """log(sum(exp(x))) over the last dimension. x (R, D) -> (R,); dtypes and errors as in `softmax`.

    A row that is all -inf, or empty, gives -inf; one that holds +inf gives +inf.
    """
    check_device(x=x)
    check_rows("logsumexp", x)
    ran("logsumexp", "triton")
    R, D = x.shape
    out = torch.empty(R, dtype=out_dtype or x.dtype, device=x.device)
    if D == 0:
        return out.fill_(float("-inf"))
    if R == 0:
        return out
    x = aligned(x)
    with on(x):
        if D <= WHOLE:
            rows, block, warps = cut(D)
            _launch_whole_rows(cdiv(R, rows), (x, out), (R, D, rows, block, True, True), **options(warps))
        else:
            chunks = cdiv(D, CHUNK)
            pairs = _pairs(x, chunks)
            _launch_split_logsumexp(R, (pairs, out), (chunks, _lanes(chunks)), **options(1))
    return out


def _normalised(op: str, x: Tensor, out_dtype: torch.dtype | None) -> Tensor:
    check_device(x=x)
    check_rows(op, x)
    R, D = x.shape
    out_dtype = out_dtype or x.dtype
    x = aligned(x)
    if R and softmax_long.serves(x, out_dtype):
        ran(op, "cuda")
        return softmax_long.run(op, x, out_dtype)
    ran(op, "triton")
    # A store narrower than the load would have a say in the layout: then the fp32 answer is rounded afterwards.
    y = torch.empty((R, D), dtype=torch.promote_types(x.dtype, out_dtype), device=x.device)
    if R == 0 or D == 0:
        return y.to(out_dtype)
    log = op == "log_softmax"
    with on(x):
        if D <= WHOLE:
            rows, block, warps = cut(D)
            _launch_whole_rows(cdiv(R, rows), (x, y), (R, D, rows, block, log, False), **options(warps))
        else:
            chunks = cdiv(D, CHUNK)
            pairs = _pairs(x, chunks)
            others = (D, chunks, CHUNK, _lanes(chunks), log)
            _launch_split_finish(R * chunks, (x, y, pairs), others, **options(WARPS))
    return y.to(out_dtype)


def _lanes(chunks: int) -> int:
    """The length of the tree that combines the pairs of a row."""
    return max(32, next_power_of_2(chunks))


def _pairs(x: Tensor, chunks: int) -> Tensor:
    """(R, chunks) int64: the packed pair of every chunk of the rows of x (R, D)."""
    R, D = x.shape
    pairs = torch.empty((R, chunks), dtype=torch.int64, device=x.device)
    _launch_split_stats(R * chunks, (x, pairs), (D, chunks, CHUNK), **options(WARPS))
    return pairs
