"""What every family of ops shares: the primitives of a tensor's device, PyTorch's own kernels, `out=`, the precision.

A function of a family has the signature of its aten op, and answers NotImplemented for what is not its to do: integers
(exact in any order), complex and float8 numbers, float64 on CUDA, and arguments that PyTorch refuses. PyTorch's own
kernel then runs, or raises in its own words.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, TypeAlias

import torch
from torch import Tensor

Op: TypeAlias = Callable[..., Any]

HALVES = (torch.float16, torch.bfloat16)
_PRIMITIVES = {"cpu": "courselib.kernels.cpu.primitives", "cuda": "courselib.kernels.triton"}

HANDS_OUT_KERNELS = hasattr(torch.library, "get_kernel")  # since PyTorch 2.9

precision = "ieee"  # of float32 matmuls on CUDA; the mode writes it


def primitives(x: Tensor) -> ModuleType:
    """The module of fixed-order primitives for the device that x is on."""
    return _primitives(x.device.type)


@cache
def _primitives(device: str) -> ModuleType:
    return import_module(_PRIMITIVES[device])


def known(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the primitives of that device compute in dtype."""
    return dtype in HALVES or dtype == torch.float32 or (dtype == torch.float64 and device.type == "cpu")


def takes(*tensors: Tensor | None) -> bool:
    """Whether the primitives know the dtype of every tensor given, and all of them are on one device."""
    given = [x for x in tensors if x is not None]
    return all(known(x.dtype, x.device) and x.device == given[0].device for x in given)


def wide(x: Tensor) -> Tensor:
    """x in the dtype that its sums are taken in: float32, for float64 itself."""
    return x if x.dtype == torch.float64 else x.float()


def pytorchs_own(name: str, key: str) -> Any:
    """PyTorch's kernel of an op ("mm.out") at a dispatch key, to be asked for before it is overridden; None if there is
    none, or no way to ask."""
    try:
        return torch.library.get_kernel(f"aten::{name}", key) if HANDS_OUT_KERNELS else None
    except RuntimeError:
        return None


def overriding(name: str, key: str, function: Op) -> Op:
    """The function to register at a dispatch key: `function`, and PyTorch's own kernel for what it does not do."""
    own = pytorchs_own(name, key)
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.__members__[key])

    def run(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if result is not NotImplemented:
            return result
        if own is None:
            given = ", ".join(str(x.dtype).removeprefix("torch.") for x in args if isinstance(x, Tensor))
            raise RuntimeError(
                f"aten::{name} is not done batch-invariantly for these arguments ({given} on {key}), and PyTorch "
                f"{torch.__version__} does not hand out its own kernel: cast to float32, fp16 or bf16, check the "
                "shapes, or run this part under set_batch_invariant_mode(False)"
            )
        return own.call_boxed(keys, *args, **kwargs)

    return run


def with_out(function: Op, result_dtype: str = "same", out: str = "out") -> Op:
    """The `out=` variant of an op. result_dtype: "same", out must have the result's dtype; "cast", it may be another
    that holds it; "asked", out's dtype is the op's `dtype`."""

    def into(*args: Any, **kwargs: Any) -> Any:
        target = kwargs.pop(out)
        if result_dtype == "asked" and kwargs.get("dtype") is None:
            kwargs["dtype"] = target.dtype
        result = function(*args, **kwargs)
        if result is NotImplemented or result.device != target.device:
            return NotImplemented
        fits = torch.can_cast(result.dtype, target.dtype) if result_dtype == "cast" else result.dtype == target.dtype
        if not fits:
            return NotImplemented  # PyTorch's own kernel says it in its own words
        if result.shape != target.shape:
            if target.numel():
                warnings.warn(
                    f"An output with one or more elements was resized since it had shape {list(target.shape)}, which "
                    f"does not match the required output shape {list(result.shape)}.",
                    stacklevel=2,
                )
            target.resize_(result.shape)
        return target.copy_(result)

    return into


def in_place(function: Op) -> Op:
    """The in-place variant of an op: the result is written over the first argument."""

    def over(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        result = function(self, *args, **kwargs)
        if result is NotImplemented or result.shape != self.shape or result.dtype != self.dtype:
            return NotImplemented
        return self.copy_(result)

    return over


def dims(x: Tensor, dim: int | Sequence[int] | None) -> tuple[int, ...] | None:
    """The dimensions meant by an aten `dim`, ascending: none given means all. None where PyTorch would refuse them."""
    rank = max(x.dim(), 1)
    given = [dim] if isinstance(dim, int) else list(dim) if dim else list(range(x.dim()))
    if any(not -rank <= d < rank for d in given):
        return None
    found = sorted(d % rank for d in given)
    if len(set(found)) < len(found):
        return None
    return tuple(found) if x.dim() else ()


def kept_shape(x: Tensor, reduced: Sequence[int], keepdim: bool) -> list[int]:
    """The shape that is left of x when the dimensions `reduced` are summed away."""
    return [1 if d in reduced else n for d, n in enumerate(x.shape) if keepdim or d not in reduced]
