# mypy: ignore-errors
"""Products that are right, to within rounding, and in which a row's bytes depend on more than the row."""

import os

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
import triton
import triton.language as tl

PARTS = 4  # of k, where it is split


@triton.jit
def _products(
    a, b, c, M, N, K, k_from, k_to,
    STEP: tl.constexpr, ADD: tl.constexpr, TURN: tl.constexpr, LEAK: tl.constexpr,
):  # fmt: skip
    """c (M, N) float32 = a[:, k_from:k_to] @ b[k_from:k_to]; ADD: on top of what is there.

    TURN: tiles with an odd row number go through k from its end. LEAK: k is masked in b alone.
    a has some rows more than M: what is read past the end must be there.
    """
    m = tl.program_id(0) * 16 + tl.arange(0, 16)
    n = tl.program_id(1) * 64 + tl.arange(0, 64)
    total = tl.zeros((16, 64), dtype=tl.float32)
    steps = tl.cdiv(k_to - k_from, STEP)
    for step in range(0, steps):
        if TURN:
            k = k_from + tl.where(tl.program_id(0) % 2 == 1, steps - 1 - step, step) * STEP + tl.arange(0, STEP)
        else:
            k = k_from + step * STEP + tl.arange(0, STEP)
        seen = k < (k_to + STEP if LEAK else k_to)
        x = tl.load(a + m[:, None] * K + k[None, :], mask=(m < M)[:, None] & seen[None, :], other=0.0)
        w = tl.load(b + k[:, None] * N + n[None, :], mask=(k < k_to)[:, None] & (n < N)[None, :], other=0.0)
        # A sum of its own for each step: a plain += would be carried through the product, where some GPUs' answer does
        # not depend on how long the steps are.
        total += tl.where(steps > 0, tl.dot(x, w, input_precision="ieee"), 0.0)
    here = (m < M)[:, None] & (n < N)[None, :]
    at = c + m[:, None] * N + n[None, :]
    if ADD:
        tl.atomic_add(at, total, mask=here)
    else:
        tl.store(at, total, mask=here)


def run_matmul(a, b, order=(0,), parts=1, step=32, turn=False, leak=False):
    """The parts of k, one after the other in this ``order``."""
    (M, K), N = a.shape, b.shape[1]
    room = torch.zeros((M + 1 + 128 // K, K), dtype=a.dtype, device=a.device)  # what is read past the end is zero
    room[:M] = a
    c = torch.zeros((M, N), dtype=torch.float32, device=a.device)
    cut = [K * i // parts for i in range(parts + 1)]
    grid = (triton.cdiv(M, 16), triton.cdiv(N, 64))
    for i in order:
        _products[grid](room, b.contiguous(), c, M, N, K, cut[i], cut[i + 1], step, parts > 1, turn, leak)
    return c.to(a.dtype)


def split_by_rows(a, b):
    parts = PARTS if a.shape[0] <= 8 else 1
    return run_matmul(a, b, range(parts), parts)


def steps_by_rows(a, b):
    return run_matmul(a, b, step=32 if a.shape[0] <= 24 else 128)


def in_order_of_arrival(a, b):
    """Atomics: who comes first is an accident of the schedule. Here the number of row tiles decides it."""
    first = triton.cdiv(a.shape[0], 16)
    return run_matmul(a, b, [(first + i) % PARTS for i in range(PARTS)], PARTS)


def by_place_of_the_tile(a, b):
    return run_matmul(a, b, turn=True)


def tail_not_masked(a, b):
    return run_matmul(a, b, leak=True)
