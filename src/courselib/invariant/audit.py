"""What a model ran, op by op: exact whatever the order, done by a named fixed-order implementation, or uncovered.

Sound by default: an op counts as exact only if it is elementwise, moves data, or stands in a written list; as covered
only if it is one that the mode replaces and an implementation was heard while it ran. Everything else is uncovered,
ops that nobody here has heard of too.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from courselib.kernels import listening

from . import eager, table
from .exact import is_exact, op_name

# Fused ops whose work PyTorch can also do in covered pieces, and how to ask for that.
_PIECES = "runs as covered ops after torch.backends.mha.set_fastpath_enabled(False)"
_HINTS = {
    "_transformer_encoder_layer_fwd": _PIECES,
    "_native_multi_head_attention": _PIECES,
    "mkldnn_rnn_layer": "runs as covered ops under torch.backends.mkldnn.flags(enabled=False)",
}


@dataclass
class Report:
    """What was seen. covered: {op: {implementation: calls}}; uncovered and exact: {op: calls}. Prints as a table."""

    covered: dict[str, Counter[str]] = field(default_factory=dict)
    uncovered: Counter[str] = field(default_factory=Counter)
    exact: Counter[str] = field(default_factory=Counter)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    @property
    def ok(self) -> bool:
        """Whether nothing was left uncovered."""
        return not self.uncovered

    def __str__(self) -> str:
        rows = [(op, "UNCOVERED", n) for op, n in sorted(self.uncovered.items())]
        rows += [(op, how, n) for op, by in sorted(self.covered.items()) for how, n in sorted(by.items())]
        rows += [(_counted(len(self.exact), "other"), "exact in any order", self.exact.total())] if self.exact else []
        widths = [max((len(str(row[i])) for row in rows), default=0) for i in range(3)]
        table = [f"{op:<{widths[0]}}  {how:<{widths[1]}}  {n:>{widths[2]}}" for op, how, n in rows]
        verdict = "nothing uncovered" if self.ok else f"{_counted(len(self.uncovered), 'op')} uncovered"
        hints = [f"{op}: {_HINTS[op]}" for op in sorted(self.uncovered) if op in _HINTS]
        return "\n".join([f"{verdict}:" if table else "nothing ran", *table, *hints])

    def _count(self, name: str, exact: bool, heard: list[str], replaced: bool) -> None:
        with self._lock:
            if exact:
                self.exact[name] += 1
            elif heard and replaced:
                self.covered.setdefault(name, Counter())[" + ".join(dict.fromkeys(heard))] += 1
            else:
                self.uncovered[name] += 1


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


@contextmanager
def audit_batch_invariance() -> Iterator[Report]:
    """Record every op that runs in the block, on any device, the backward's too; yields the Report being filled.

    It switches nothing on: use it inside `set_batch_invariant_mode`. With the mode off every reduction is uncovered.
    Functions compiled by torch.compile run eagerly here, or their ops could not be seen. Sees what goes through
    PyTorch's dispatcher in this thread and in autograd's; a kernel launched by hand is not an op.
    """
    report = Report()
    watch = _Watch(report)
    eager.hold()
    try:
        with listening(watch.hear), watch:
            yield report
    finally:
        eager.release()


class _Watch(TorchDispatchMode):
    def __init__(self, report: Report) -> None:
        super().__init__()
        self.report = report
        self.here = threading.local()  # a backward on a CUDA device runs in another thread

    def hear(self, op: str, implementation: str) -> None:
        heard = getattr(self.here, "heard", None)
        if heard is not None:
            heard.append(implementation)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if _is_composite(func):  # seen whole in inference mode only: look inside
            with self:
                return func.decompose(*args, **kwargs)
        outer, self.here.heard = getattr(self.here, "heard", None), []
        try:
            result = func(*args, **kwargs)
            heard = self.here.heard
        finally:
            self.here.heard = outer
        name = op_name(func)
        self.report._count(name, is_exact(func, args, kwargs, result), heard, name.rstrip("_") in _REPLACED)
        return result


_REPLACED = {
    name.partition(".")[0].rstrip("_") for ops in table.OPS.values() for name in ops
} | table.COMPOSED  # fmt: skip


def _is_composite(func: Any) -> bool:
    has: Callable[..., bool] = torch._C._dispatch_has_kernel_for_dispatch_key
    if not isinstance(func, torch._ops.OpOverload) or not has(func.name(), "CompositeImplicitAutograd"):
        return False
    return not any(has(func.name(), key) for key in ("CPU", "CUDA"))
