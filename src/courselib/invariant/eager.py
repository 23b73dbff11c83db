"""While it matters which kernel runs, functions compiled by torch.compile run eagerly.

Inductor writes reductions of its own, which no op of PyTorch's stands for. torch._dynamo takes two seconds to import,
and is not imported for this: where nobody has, the first to do so finds compilation held.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import torch

_DYNAMO = "torch._dynamo"
_lock = threading.RLock()
_holders = 0
_stance: Any = None
_said = False


def hold() -> None:
    """Set torch.compile aside until `release`. Raises RuntimeError inside a compiled function."""
    global _holders
    with _lock:
        if _holders == 0:
            if _DYNAMO in sys.modules:
                _set()
            else:
                sys.meta_path.insert(0, _WHEN_IMPORTED)
        _holders += 1


def release() -> None:
    """Give torch.compile back, when the last holder lets go."""
    global _holders, _stance
    with _lock:
        _holders -= 1
        if _holders:
            return
        if _WHEN_IMPORTED in sys.meta_path:
            sys.meta_path.remove(_WHEN_IMPORTED)
        stance, _stance = _stance, None
        if stance is not None:
            _say()
            stance.__exit__(None, None, None)


def _set() -> None:
    global _stance
    try:
        _stance = torch.compiler.set_stance("force_eager")
    except RuntimeError as error:
        raise RuntimeError(
            "batch-invariant mode cannot be entered inside a function that torch.compile is running: "
            "enter it outside, around the call"
        ) from error
    _say()


def _say() -> None:
    """One line, once, as soon as there is anything compiled to set aside."""
    global _said
    compiled = getattr(sys.modules[_DYNAMO + ".eval_frame"], "cached_backends", {})
    if not _said and any(backend is not None for backend in compiled.values()):
        _said = True
        print("courselib: functions compiled by torch.compile run eagerly in batch-invariant mode", file=sys.stderr)


class _WhenImported(MetaPathFinder):
    """Notices that torch._dynamo is imported, lets it, and holds it."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != _DYNAMO:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_hold(module: ModuleType) -> None:
            execute(module)
            with _lock:
                if _holders and _stance is None:
                    _set()

        spec.loader.exec_module = execute_and_hold  # type: ignore[method-assign]
        return spec


_WHEN_IMPORTED = _WhenImported()
