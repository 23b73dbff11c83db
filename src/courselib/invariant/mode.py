"""The switch. The mode belongs to the process, not to a thread: autograd runs a backward in threads of its own.

State: a base, set by `enable_`/`disable_batch_invariant_mode`, and a list of the blocks that are open. The block
entered last decides, and where none is open the base does. While the answer is "off" nothing of PyTorch is replaced,
so it runs at its own speed.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

import torch

from . import eager, support, table

F = TypeVar("F", bound=Callable[..., Any])
PRECISIONS = ("ieee", "tf32x3", "tf32")


@dataclass(eq=False)
class _Block:
    wants: str | None  # the precision of float32 matmuls; None: off
    holder: tuple[int, int]
    who: str


_lock = threading.RLock()
_base: str | None = None
_blocks: list[_Block] = []
_active: str | None = None  # what is registered now
_library: torch.library.Library | None = None
_settling = False


class set_batch_invariant_mode:
    """In the block, PyTorch's reductions run in a fixed order: a row's bytes do not depend on the rest of the batch.

        with set_batch_invariant_mode():
            logits = model(ids)

    Also a decorator of plain functions. Blocks nest in both directions, and what was in force before is back after
    the block, also after an exception. An object serves for one block.

    fp32 is the precision of float32 matmuls on CUDA: "ieee", "tf32x3" (three TF32 products, close to float32) or
    "tf32". PyTorch's own TF32 switches are not read. float16 and bfloat16 accumulate in float32.

    Several threads (or asyncio tasks) may be in blocks at once as long as all want the same; RuntimeError otherwise.
    The block holds for every thread of the process, so enter it before work starts elsewhere. Functions compiled by
    torch.compile run eagerly in the block; inside a compiled function it cannot be entered. Raises ValueError for an
    unknown fp32. Method: Horace He et al., "Defeating Nondeterminism in LLM Inference", 2025.
    """

    def __init__(self, enabled: bool = True, *, fp32: str = "ieee") -> None:
        self._wants = _wish(enabled, fp32)
        self._block: _Block | None = None

    def __enter__(self) -> None:
        if self._block is not None:
            raise RuntimeError("this set_batch_invariant_mode() has been entered before: make a new one for each block")
        self._block = _open(self._wants)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._block is not None:
            _close(self._block)

    def __call__(self, function: F) -> F:
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            raise TypeError(
                f"{function.__qualname__} runs after its call has returned, out of a decorator's reach: "
                "use `with set_batch_invariant_mode():` in its body"
            )
        enabled, fp32 = self._wants is not None, self._wants or "ieee"

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with set_batch_invariant_mode(enabled, fp32=fp32):
                return function(*args, **kwargs)

        return inside  # type: ignore[return-value]


def enable_batch_invariant_mode(*, fp32: str = "ieee") -> None:
    """Switch the mode on for the process, until `disable_batch_invariant_mode`. Raises RuntimeError in a block."""
    _set_base(_wish(True, fp32), "enable_batch_invariant_mode")


def disable_batch_invariant_mode() -> None:
    """Switch the mode off for the process. Raises RuntimeError inside a `set_batch_invariant_mode` block."""
    _set_base(None, "disable_batch_invariant_mode")


_REFUSED_BY_COMPILE = "_dynamo_forbidden"  # torch.compile refuses what carries it, by name
for _callable in (set_batch_invariant_mode, enable_batch_invariant_mode, disable_batch_invariant_mode):
    setattr(_callable, _REFUSED_BY_COMPILE, True)


def is_batch_invariant_mode_enabled() -> bool:
    """Whether the mode is on now, for the whole process."""
    return _active is not None


def _wish(enabled: bool, fp32: str) -> str | None:
    if fp32 not in PRECISIONS:
        raise ValueError(f'unknown fp32 precision "{fp32}": expected ' + ", ".join(f'"{p}"' for p in PRECISIONS))
    return fp32 if enabled else None


def _open(wants: str | None) -> _Block:
    holder, who = _caller()
    with _lock:
        other = next((b for b in _blocks if b.holder != holder and b.wants != wants), None)
        if other is not None:
            raise RuntimeError(
                f"{who} wants batch-invariant mode {_said(wants)} while {other.who} holds it {_said(other.wants)}, and "
                "the mode is the whole process's: finish that block first, or use one mode in both"
            )
        block = _Block(wants, holder, who)
        _blocks.append(block)
        try:
            _settle()
        except BaseException:
            _close(block)
            raise
        return block


def _close(block: _Block) -> None:
    with _lock:
        if block in _blocks:  # by identity: blocks may close in any order, as those of generators do
            _blocks.remove(block)
            _settle()


def _set_base(wants: str | None, name: str) -> None:
    global _base
    with _lock:
        if _blocks:
            raise RuntimeError(
                f"{name}() was called while {_blocks[-1].who} is in a set_batch_invariant_mode block: "
                "call it outside, or nest another block"
            )
        before, _base = _base, wants
        try:
            _settle()
        except BaseException:
            _base = before
            raise


def _settle() -> None:
    """Bring what is registered in line with what is wanted."""
    global _settling
    if _settling:
        return  # the garbage collector closed a generator's block meanwhile; the loop below goes round again
    _settling = True
    try:
        while (wanted := _blocks[-1].wants if _blocks else _base) != _active:
            _switch(wanted)
    finally:
        _settling = False


def _switch(wanted: str | None) -> None:
    global _active, _library
    if _library is None:
        eager.hold()
        try:
            _library = table.register()
        except BaseException:
            eager.release()
            raise
    _active = wanted
    if wanted is not None:
        support.precision = wanted
        return
    library, _library = _library, None
    library._destroy()
    eager.release()


def _caller() -> tuple[tuple[int, int], str]:
    """Who asks: a thread, or the asyncio task it is running."""
    thread = threading.current_thread()
    asyncio = sys.modules.get("asyncio")
    try:
        task = asyncio.current_task() if asyncio else None
    except RuntimeError:  # no event loop is running
        task = None
    name = f"task {task.get_name()!r}" if task else f"thread {thread.name!r}"
    return (thread.ident or 0, id(task) if task else 0), name


def _said(wants: str | None) -> str:
    return "off" if wants is None else f'on (fp32="{wants}")'
