"""What exercise.py hands to a cache: the tensors of an append, and the words that slots are filled with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from checker.lab01 import cases
from checker.lab01.schemas import Ask


@dataclass(frozen=True)
class Given:
    """k or v of one append. ``words`` has its shape, also where the tensor was on another device and held none."""

    shape: tuple[int, ...]
    dtype: str
    device: str
    words: np.ndarray

    @property
    def gone(self) -> int:
        """The word it was overwritten with as soon as append had returned."""
        return cases.GONE[self.dtype]


def given(case: Ask, n: int, name: str) -> Given:
    """k or v of append number ``n``."""
    op: dict[str, Any] = case.ops[n]
    shape, dtype = tuple(op[name]), op[f"{name}_dtype"]
    return Given(shape, dtype, op["device"], _words(case.seed, n, "kv".index(name), shape, dtype))


def filled(value: str, dtype: str) -> int:
    return cases.FILLS[value][dtype]


@cache
def _words(seed: int, n: int, which: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    words = cases.words(seed, n, which, list(shape), dtype)
    words.flags.writeable = False
    return words
