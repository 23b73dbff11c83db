"""A script of operations, played on the reference (or on one with a bug in it): what each of them must give."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from checker.lab01.given import given
from checker.lab01.reference import Pages, Reference
from checker.lab01.schemas import Ask

Make = Callable[[Ask], Reference]


@dataclass(frozen=True)
class Step:
    """What one operation gives: an exception, or whole numbers and words."""

    raised: str | None = None
    said: str | None = None
    numbers: list[list[int]] = field(default_factory=list)
    arrays: list[np.ndarray] = field(default_factory=list)
    cursors: list[list[int]] = field(default_factory=list)  # of the reference: (layer, sequence)


def play(case: Ask, make: Make) -> list[Step]:
    cache, steps = make(case), []
    for n in range(len(case.ops)):
        try:
            numbers, arrays = _act(case, n, cache)
            step = Step(numbers=numbers, arrays=[x.copy() for x in arrays])
        except (ValueError, TypeError, IndexError) as error:
            step = Step(raised=type(error).__name__)
        steps.append(Step(step.raised, None, step.numbers, step.arrays, [list(layer) for layer in cache.cursor]))
    return steps


def _act(case: Ask, n: int, cache: Reference) -> tuple[list[list[int]], list[np.ndarray]]:
    op = case.ops[n]
    match op["do"]:
        case "append":
            cache.append(op["layer"], given(case, n, "k"), given(case, n, "v"), op["count"])
        case "read":
            return [], list(cache.read(op["layer"]))
        case "lengths":
            return [cache.lengths()], []
        case "data":
            return [], [cache.data]
        case "pages":  # the numbers of pages that each sequence holds, and every row, in the contiguous layout
            assert isinstance(cache, Pages)
            return [cache.held(cache.cursor)], [cache.data]
        case "fill":
            cache.fill(op["value"])
        case "first" if op["first"] is None:
            return [list(cache.first)], []
        case "first":
            cache.first = list(op["first"])
        case "truncate":
            cache.truncate(op["n"])
        case "reset":
            cache.reset()
        case "release":
            assert isinstance(cache, Pages)
            cache.release(op["sequence"])
    return [], []


def digest(steps: list[Step]) -> str:
    """The sha256 that exercise.py writes of a case."""
    total = hashlib.sha256()
    for step in steps:
        arrays = [{"dtype": str(x.dtype), "shape": list(x.shape)} for x in step.arrays]
        total.update(json.dumps([step.raised, step.numbers, arrays]).encode())
        for x in step.arrays:
            little = np.ascontiguousarray(x, x.dtype.newbyteorder("<"))
            total.update(hashlib.sha256(little.tobytes()).hexdigest().encode())
    return total.hexdigest()
