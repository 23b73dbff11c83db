"""Which aten ops the mode replaces, by what, and for which device.

Leaf ops only: the ones that no other op is made of. PyTorch's autograd formulas and composite ops (linear, matmul,
einsum, cross_entropy) stay as they are and arrive here in pieces; replacing `aten::linear` itself would lose its
gradient. `x.sum()`, `x.mean()`, mv, norm and `_safe_softmax` arrive here too (`COMPOSED`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache

import torch

from . import activations, attention, matmul, norms, reductions, softmax
from .support import Op, overriding

BOTH: dict[str, Op] = {**matmul.OPS, **softmax.OPS, **reductions.OPS, **norms.OPS}
OPS: dict[str, dict[str, Op]] = {
    "CPU": {**BOTH, **attention.CPU_OPS, **activations.CPU_OPS},
    "CUDA": {**BOTH, **matmul.CUDA_OPS, **norms.CUDA_OPS, **attention.CUDA_OPS},
}

# Ops with a kernel of PyTorch's own that does nothing but call the ones above.
COMPOSED = {"sum", "mean", "mv", "norm", "_safe_softmax", "softmax", "log_softmax", "linear"}

_may_warn = True


@cache
def present() -> list[tuple[str, str, Op]]:
    """(op, dispatch key, function) of everything that this version and build of PyTorch has."""
    keys = ["CPU", "CUDA"] if torch.backends.cuda.is_built() else ["CPU"]
    return [(name, key, function) for key in keys for name, function in OPS[key].items() if _exists(name)]


def _exists(name: str) -> bool:
    packet, _, overload = name.partition(".")
    return hasattr(getattr(torch.ops.aten, packet, None), overload or "default")


def register() -> torch.library.Library:
    """Replace them all, until the library that is answered is destroyed."""
    overrides = _overrides(frozenset(getattr(torch.library, "_impls", ())))
    library = torch.library.Library("aten", "IMPL")
    with _unwarned():
        for name, key, function in overrides:
            library.impl(name, function, key)
    return library


@lru_cache(1)
def _overrides(others: frozenset[str]) -> list[tuple[str, str, Op]]:
    """`present`, falling back on what stands there now: PyTorch's kernels, or what other libraries put in their place.
    Asking for them takes a millisecond, so it is done again only when those others have changed."""
    return [(name, key, overriding(name, key, function)) for name, key, function in present()]


@contextmanager
def _unwarned() -> Iterator[None]:
    """PyTorch warns, once in a process, that a kernel is being replaced. Here it is meant to be."""
    global _may_warn
    if not (_may_warn or torch.is_warn_always_enabled()):
        yield  # changing the filters would make Python forget which warnings it has shown
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*(Overriding a previously registered|only once for all)")
        yield
    _may_warn = False
