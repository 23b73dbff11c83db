"""Matrix products: mm, addmm, bmm, baddbmm, mv, addmv, dot and their kin, on one primitive.

A row of the result depends on that row of the first matrix alone. A weight's gradient is a product too, summed over
the batch: it is the same from run to run, and cannot be the same from batch to batch.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from . import support
from .support import Op, primitives, takes, wide, with_out


def mm(self: Tensor, mat2: Tensor) -> Tensor:
    return _product(self, mat2, 2)


def bmm(self: Tensor, mat2: Tensor) -> Tensor:
    return _product(self, mat2, 3)


def addmm(self: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    return _product(mat1, mat2, 2, bias=self, beta=beta, alpha=alpha)


def baddbmm(self: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    return _product(batch1, batch2, 3, bias=self, beta=beta, alpha=alpha)


def mm_dtype(self: Tensor, mat2: Tensor, out_dtype: torch.dtype) -> Tensor:
    return _product(self, mat2, 2, out_dtype=out_dtype)


def bmm_dtype(self: Tensor, mat2: Tensor, out_dtype: torch.dtype) -> Tensor:
    return _product(self, mat2, 3, out_dtype=out_dtype)


def addmm_dtype(
    self: Tensor, mat1: Tensor, mat2: Tensor, out_dtype: torch.dtype, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    return _product(mat1, mat2, 2, bias=self, beta=beta, alpha=alpha, out_dtype=out_dtype)


def baddbmm_dtype(
    self: Tensor, batch1: Tensor, batch2: Tensor, out_dtype: torch.dtype, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    return _product(batch1, batch2, 3, bias=self, beta=beta, alpha=alpha, out_dtype=out_dtype)


def addmv(self: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    # The rows are the matrix's; the vector is its one column of weights.
    if vec.dim() != 1 or mat.dim() != 2 or not _expands(self, mat.shape[:1]):
        return NotImplemented
    y = _product(mat, vec[:, None], 2, bias=self.expand(mat.shape[0])[:, None], beta=beta, alpha=alpha)
    return y if y is NotImplemented else y[:, 0]


def addbmm(self: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    # Summed over the batch by definition: one product whose K is batch and K together.
    if batch1.dim() != 3 or batch2.dim() != 3 or batch1.shape[::2] != batch2.shape[:2]:
        return NotImplemented
    B, M, K = batch1.shape
    a, b = batch1.transpose(0, 1).reshape(M, B * K), batch2.reshape(B * K, batch2.shape[2])
    return _product(a, b, 2, bias=self, beta=beta, alpha=alpha)


def dot(self: Tensor, tensor: Tensor) -> Tensor:
    """Also vdot: for real numbers they are one."""
    if not takes(self, tensor) or self.dtype != tensor.dtype or self.dim() != 1 or self.shape != tensor.shape:
        return NotImplemented
    products = wide(self) * wide(tensor)
    return primitives(self).reduce(products[None, :, None], "sum", out_dtype=self.dtype)[0, 0]


def addmm_activation(
    self: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1, use_gelu: bool = False
) -> Tensor:
    y = addmm(self, mat1, mat2, beta=beta, alpha=alpha)
    if y is NotImplemented:
        return y
    # The library epilogue that this op stands for has the tanh form of GELU on CUDA; PyTorch's CPU kernel has erf.
    return F.gelu(y, approximate="tanh" if y.is_cuda else "none") if use_gelu else torch.relu(y)


def _product(
    a: Tensor,
    b: Tensor,
    rank: int,
    *,
    bias: Tensor | None = None,
    alpha: float = 1,
    beta: float = 1,
    out_dtype: torch.dtype | None = None,
) -> Any:
    """alpha * (a @ b) + beta * bias, or NotImplemented where PyTorch's own kernel is to answer or to refuse."""
    if a.dtype != b.dtype or a.dim() != rank or b.dim() != rank or not takes(a, b, bias):
        return NotImplemented
    if a.shape[-1] != b.shape[-2] or a.shape[:-2] != b.shape[:-2] or complex in (type(alpha), type(beta)):
        return NotImplemented
    if bias is not None and (
        bias.dtype not in (a.dtype, out_dtype) or not _expands(bias, (*a.shape[:-1], b.shape[-1]))
    ):
        return NotImplemented
    return primitives(a).matmul(
        a,
        b,
        bias=bias if beta else None,
        alpha=float(alpha),
        beta=float(beta),
        out_dtype=out_dtype,
        precision=support.precision,
    )


def _expands(x: Tensor, shape: tuple[int, ...]) -> bool:
    return x.dim() <= len(shape) and all(n in (1, m) for n, m in zip(x.shape[::-1], shape[::-1], strict=False))


def variants(name: str, function: Op, *, in_place: bool = True) -> dict[str, Op]:
    """An op, its `out=` variant and its in-place variant."""
    found = {name: function, f"{name}.out": with_out(function)}
    if in_place:
        found[f"{name}_"] = support.in_place(function)
    return found


OPS: dict[str, Op] = {
    **variants("mm", mm, in_place=False),
    **variants("bmm", bmm, in_place=False),
    **variants("addmm", addmm),
    **variants("baddbmm", baddbmm),
    **variants("addmv", addmv),
    **variants("addbmm", addbmm),
    **variants("_addmm_activation", addmm_activation, in_place=False),
    "dot": dot,
    "vdot": dot,
}
CUDA_OPS: dict[str, Op] = {
    "mm.dtype": mm_dtype,
    "mm.dtype_out": with_out(mm_dtype),
    "bmm.dtype": bmm_dtype,
    "bmm.dtype_out": with_out(bmm_dtype),
    "addmm.dtype": addmm_dtype,
    "addmm.dtype_out": with_out(addmm_dtype),
    "baddbmm.dtype": baddbmm_dtype,
    "baddbmm.dtype_out": with_out(baddbmm_dtype),
}
