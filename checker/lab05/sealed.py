"""Lab 05, done for you: sealed numbers, which only a kernel can read.

A sealed tensor holds stand-ins: each number that is not 0 is replaced by another, which says nothing of it. When a
kernel of yours starts, the true numbers are put in their place; when it has ended, what it wrote is sealed. A launcher
moves, copies and converts as ever, and gets the bytes that it gets otherwise. Whatever it adds or divides itself is
added up from stand-ins.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

FLOATS = (torch.float16, torch.float32, torch.float64)


class Seals:
    """Stand-ins for the numbers of one call; float16 can take them on without rounding, if ``dtype`` is float16.

    Each ends in an odd bit, so that 1.0, or what else a launcher may fill a tensor with, is none.
    """

    def __init__(self, dtype: str) -> None:
        if dtype == "float16":
            bits = np.arange(0x0401, 0x7C00, 2, dtype=np.uint16)
            both = np.concatenate([bits, bits | np.uint16(0x8000)]).view(np.float16)  # 30,720
        else:
            both = np.arange(0x3F80_0001, 0x4000_0000, 2, dtype=np.uint32).view(np.float32)  # 4,194,304
        self.stand_ins = np.sort(both.astype(np.float64))
        self.true = np.zeros(len(both))
        self.used = 0
        self.within = False

    def seal(self, x: np.ndarray) -> np.ndarray:
        """Stand-ins for x, of its shape and dtype. A zero, a NaN and an infinity stay what they are."""
        sealed = x.copy()
        here = np.isfinite(x) & (x != 0)
        end = self.used + int(here.sum())
        if end > len(self.true):
            raise ValueError(
                f"the kernels of one call wrote more than {len(self.true):,} numbers: no stand-ins are left"
            )
        self.true[self.used : end] = x[here]
        sealed[here] = self.stand_ins[self.used : end]
        self.used = end
        return sealed

    def open(self, x: np.ndarray) -> np.ndarray:
        """The true numbers, of x's shape and dtype; what is no stand-in stays what it is."""
        place = np.searchsorted(self.stand_ins, x.astype(np.float64))
        place[place >= self.used] = 0
        return np.where(self.stand_ins[place] == x, self.true[place], x).astype(x.dtype) if self.used else x

    def launch(self, run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The launch of a kernel, to which its tensors are open."""
        if self.within:  # a kernel in another's wrapping, @triton.heuristics say
            return run(*args, **kwargs)
        given = [getattr(x, "base", x) for x in (*args, *kwargs.values())]  # a TensorDescriptor's tensor is its base
        tensors = [memory(x) for x in given if isinstance(x, torch.Tensor) and x.dtype in FLOATS]
        seen = {x.data_ptr(): x for x in tensors}.values()
        before = [x.cpu().numpy().copy() for x in seen]
        true = [self.open(x) for x in before]
        self.within = True
        try:
            for x, numbers in zip(seen, true, strict=True):
                x.copy_(torch.from_numpy(numbers))
            return run(*args, **kwargs)
        finally:
            self.within = False
            for x, sealed, numbers in zip(seen, before, true, strict=True):
                after = x.cpu().numpy()
                written = after.view(f"u{after.itemsize}") != numbers.view(f"u{numbers.itemsize}")
                sealed[written] = self.seal(after[written])
                x.copy_(torch.from_numpy(sealed))


def memory(x: torch.Tensor) -> torch.Tensor:
    """All that lies in the memory of x, whatever part of it x is: a kernel can go anywhere from its address."""
    return torch.empty(0, dtype=x.dtype, device=x.device).set_(x.untyped_storage())
