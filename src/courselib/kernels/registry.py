"""Who may run where: the implementations of a model's operations by name, and the one in use."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import ModuleType
from typing import Any

from .cpu import fixed_c, fixed_torch, stock
from .cpu.build import NoCompilerError

FIXED_ORDER = "fixed-order/1"  # names the written orders: two runs that carry it promise each other the same bytes
_MODULES = {module.NAME: module for module in (fixed_c, fixed_torch, stock)}
_current: ContextVar[Any] = ContextVar("ops", default="fixed")


def current_ops() -> Any:
    """The implementation in use in this thread or task."""
    ops = _current.get()
    return resolve(ops) if isinstance(ops, str) else ops


@contextmanager
def use_ops(ops: Any) -> Iterator[Any]:
    """Run the block on one implementation: "fixed" (the best there is here), "fixed-c", "fixed-torch" or "stock".

    An implementation of your own, an object with a NAME and the functions that `courselib.kernels` lists, stands for
    itself. Nests, and is restored after an exception. Raises ValueError for an unknown name; "fixed-c" raises
    NoCompilerError where it cannot be built, "fixed" falls back to "fixed-torch" there and says so once.
    """
    module = ops if hasattr(ops, "NAME") else resolve(ops)
    token = _current.set(ops)
    try:
        yield module
    finally:
        _current.reset(token)


@cache
def resolve(name: str) -> ModuleType:
    """The module behind a name. Raises ValueError or NoCompilerError as `use_ops` does."""
    if name == "fixed":
        try:
            fixed_c.lib()
        except NoCompilerError as error:
            print(f"courselib: running fixed-torch, slower, with the same bytes: {error}", file=sys.stderr)
            return fixed_torch
        return fixed_c
    if name not in _MODULES:
        raise ValueError(f'unknown ops "{name}": expected "fixed", ' + ", ".join(f'"{n}"' for n in _MODULES))
    if name == "fixed-c":
        fixed_c.lib()
    return _MODULES[name]
