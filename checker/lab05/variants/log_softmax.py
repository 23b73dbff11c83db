# mypy: ignore-errors
"""Log-softmaxes that are right, to within rounding or when nobody is near, and depend on more than the row."""

import os

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
import triton
import triton.language as tl


@triton.jit
def _row(x, y, D, CHUNK: tl.constexpr, SHARED: tl.constexpr, LEAK: tl.constexpr, ONE_PASS: tl.constexpr):
    """SHARED: two rows subtract one maximum. LEAK: a row is read on to the end of its last chunk.

    ONE_PASS: the sum is made while the maximum is still looked for, and scaled whenever it grows.
    """
    row = tl.program_id(0)
    top, total = float("-inf"), 0.0
    for start in range(0, D, CHUNK):
        i = start + tl.arange(0, CHUNK)
        v = tl.load(x + row * D + i, mask=i < (D + CHUNK if LEAK else D), other=float("-inf")).to(tl.float32)
        new = tl.maximum(top, tl.max(v, 0))
        if SHARED:
            beside = tl.load(x + (row ^ 1) * D + i, mask=i < D, other=float("-inf")).to(tl.float32)
            new = tl.maximum(new, tl.max(beside, 0))
        if ONE_PASS:
            total = total * tl.exp(top - new) + tl.sum(tl.exp(v - new), 0)
        top = new
    for start in range(0, 0 if ONE_PASS else D, CHUNK):
        i = start + tl.arange(0, CHUNK)
        v = tl.load(x + row * D + i, mask=i < (D + CHUNK if LEAK else D), other=float("-inf")).to(tl.float32)
        total += tl.sum(tl.exp(v - top), 0)
    for start in range(0, D, CHUNK):
        i = start + tl.arange(0, CHUNK)
        v = tl.load(x + row * D + i, mask=i < D, other=0.0).to(tl.float32)
        tl.store(y + row * D + i, (v - (top + tl.log(total))).to(y.dtype.element_ty), mask=i < D)


def run_log_softmax(x, dim, chunk=256, shared=False, leak=False, one_pass=False):
    moved = x.movedim(dim, -1)
    rows = moved.reshape(-1, moved.shape[-1])
    R, D = rows.shape
    room = torch.full((R + 2 + chunk // D, D), float("-inf"), dtype=x.dtype, device=x.device)  # past the end: exp() = 0
    room[:R] = rows
    y = torch.empty((R, D), dtype=x.dtype, device=x.device)
    _row[(R,)](room, y, D, chunk, shared, leak, one_pass)
    return y.view(moved.shape).movedim(-1, dim).contiguous()


def chunks_by_rows(x, dim=-1):
    few = x.numel() // max(x.shape[dim], 1) <= 8
    return run_log_softmax(x, dim) if few else run_log_softmax(x, dim, chunk=32, one_pass=True)


def shared_maximum(x, dim=-1):
    return run_log_softmax(x, dim, shared=True)


def reads_past_the_row(x, dim=-1):
    return run_log_softmax(x, dim, leak=True)
