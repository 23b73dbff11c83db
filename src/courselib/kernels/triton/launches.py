"""Launching a compiled kernel again, without asking Triton each time which one it is.

For every launch Triton looks at each argument afresh and builds a key from what it finds: 30 µs of Python where a small
kernel runs for 3. All that it can find follows from the integers, the dtypes, and whether an address is a multiple of
16; so the compiled kernel is kept under these, and the next launch of the same kind is one look into a dictionary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .runtime import INTERPRETED, triton

KEPT = 4096  # kinds of launch that are remembered, of one kernel
_KNOWN = (3, 6) <= tuple(map(int, triton.__version__.split(".")[:2])) <= (3, 7)  # releases whose launcher is as below


class Launcher:
    """One kernel. Its tensors come first among its parameters, then tensor descriptors count as tensors, then all else.

    launch = Launcher(_kernel)
    launch(programs, (x, y), (R, D, BLOCK), num_warps=4)
    """

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self._compiled: dict[Any, Any] = {}

    def __call__(self, programs: int, tensors: tuple[Any, ...], others: tuple[Any, ...], **options: Any) -> None:
        """Run on the current device and stream. others: numbers of unvarying types (1 and 1.0 are one key)."""
        if INTERPRETED or not _KNOWN:
            self.kernel[(programs,)](*tensors, *others, **options)
            return
        device = torch.cuda.current_device()
        key = (device, others, tuple(map(_form, tensors)), *options.values())
        compiled = self._compiled.get(key)
        if compiled is None:
            if len(self._compiled) >= KEPT:
                self._compiled.clear()
            self._compiled[key] = self.kernel[(programs,)](*tensors, *others, **options)
            return
        hooks = triton.knobs.runtime
        if hooks.launch_enter_hook.calls or hooks.launch_exit_hook.calls:  # a profiler listens
            compiled[(programs, 1, 1)](*tensors, *others)
            return
        stream = torch._C._cuda_getCurrentRawStream(device)
        packed = compiled.packed_metadata
        compiled.run(programs, 1, 1, stream, compiled.function, packed, None, None, None, *tensors, *others)


def _form(x: Any) -> Any:
    """What Triton compiles in of a tensor: the dtype, and whether its address is a multiple of 16. A descriptor's is,
    and its block is among the constants."""
    if isinstance(x, Tensor):
        return x.dtype, x.data_ptr() % 16 == 0
    return None if x is None else x.base.dtype
