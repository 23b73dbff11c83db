# mypy: ignore-errors
"""Means that are right, to within rounding, and in which a row's bytes depend on more than the row."""

import os

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
import triton
import triton.language as tl


@triton.jit
def _sums(x, y, D, CHUNK: tl.constexpr, TURN: tl.constexpr):
    """TURN: every row but the first is added up from its end."""
    row = tl.program_id(0).to(tl.int64)
    total = 0.0
    chunks = tl.cdiv(D, CHUNK)
    for chunk in range(0, chunks):
        start = tl.where(row > 0, chunks - 1 - chunk, chunk) * CHUNK if TURN else chunk * CHUNK
        i = start + tl.arange(0, CHUNK)
        total += tl.sum(tl.load(x + row * D + i, mask=i < D, other=0.0).to(tl.float32), 0)
    tl.store(y + row, (total / D).to(y.dtype.element_ty))


def run_mean(x, dim, keepdim, chunk, turn=False):
    dim = dim if isinstance(dim, int) else dim[0]
    moved = x.movedim(dim, -1)
    rows = moved.reshape(-1, moved.shape[-1]).contiguous()
    y = torch.empty((rows.shape[0],), dtype=x.dtype, device=x.device)
    _sums[(rows.shape[0],)](rows, y, rows.shape[1], chunk(rows.shape[0]), turn)
    y = y.view(moved.shape[:-1])
    return y.unsqueeze(dim) if keepdim else y


def partial_sums_by_rows(x, dim=-1, keepdim=False):
    return run_mean(x, dim, keepdim, chunk=lambda R: 256 if R < 16 else 64)


def only_the_first_row_as_alone(x, dim=-1, keepdim=False):
    return run_mean(x, dim, keepdim, chunk=lambda R: 64, turn=True)
