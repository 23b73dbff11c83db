"""The product of two tiles, for every kernel that has one."""

from __future__ import annotations

from .runtime import INTERPRETED, tl, triton

if INTERPRETED:  # its dot is NumPy's, whose order follows the row's place in the tile, and which takes no bfloat16

    @triton.jit
    def _dot(a, b, acc, PRECISION: tl.constexpr):
        return acc + tl.sum(a.to(tl.float32)[:, :, None] * b.to(tl.float32)[None, :, :], axis=1)

else:

    @triton.jit
    def _dot(a, b, acc, PRECISION: tl.constexpr):
        return tl.dot(a, b, acc, input_precision=PRECISION)
