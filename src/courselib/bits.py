"""THE one comparison of the project: two arrays are equal when dtype, shape and raw words are.

-0.0 and +0.0 differ here, and two NaNs are equal only with the same payload. Takes NumPy arrays and PyTorch tensors
(bfloat16 too); a tensor is brought to the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_WORD = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


@dataclass(frozen=True)
class Difference:
    """Where two arrays first differ (in C order) and by how much in all. ulps is None for whole numbers."""

    index: tuple[int, ...]
    hex_a: str
    hex_b: str
    value_a: Any
    value_b: Any
    ulps: int | None
    n_different: int
    n_total: int


def words(x: Any) -> np.ndarray:
    """The raw words of x as unsigned integers of the same width and shape: float32 -> uint32."""
    if hasattr(x, "detach"):  # a torch tensor, without importing torch
        x = x.detach().cpu().contiguous()
        if str(x.dtype) == "torch.bfloat16":  # NumPy has no bfloat16; its words will do
            import torch

            x = x.view(torch.int16)
        x = x.numpy()
    x = np.ascontiguousarray(x) if np.ndim(x) else np.asarray(x)
    if x.dtype.kind not in "fiub":
        raise TypeError(f"cannot compare the bits of dtype {x.dtype}: expected floats, integers or booleans")
    return x.view(_WORD[x.dtype.itemsize])


def equal(a: Any, b: Any) -> bool:
    """True when a and b have the same dtype, the same shape and the same bytes."""
    return _dtype(a) == _dtype(b) and tuple(a.shape) == tuple(b.shape) and bool(np.array_equal(words(a), words(b)))


def ulp_distance(a: Any, b: Any) -> np.ndarray:
    """How many representable floats lie between a and b, elementwise (uint64, the shape of a). 0 means the same bits,
    except that -0.0 and +0.0 are 1 apart here, so that 0 always means equal.

    Floats of one sign are ordered as their words are; the negative half is mirrored to make one number line (B. Dawson,
    "Comparing Floating Point Numbers"). NaNs are placed where their words fall: beyond infinity.
    """
    _must_match(a, b)
    x, y = _number_line(words(a)), _number_line(words(b))
    return np.where(x > y, x - y, y - x)


def hex_words(x: Any) -> list[str]:
    """Every word of x in C order as hex of full width: float32 1.0 -> '3f800000'."""
    w = words(x)
    return [f"{int(word):0{2 * w.dtype.itemsize}x}" for word in w.ravel()]


def first_difference(a: Any, b: Any) -> Difference | None:
    """The first element, in C order, whose words differ; None when a and b are equal.

    Raises ValueError, naming both sides, when dtype or shape differ: then there are no elements to set side by side.
    """
    _must_match(a, b)
    x, y = words(a), words(b)
    different = x != y
    n = int(different.sum())
    if n == 0:
        return None
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(different)), different.shape))
    floating = "float" in _dtype(a)
    return Difference(
        index=index,
        hex_a=hex_words(x[index])[0],
        hex_b=hex_words(y[index])[0],
        value_a=a[index].item() if index else a.item(),
        value_b=b[index].item() if index else b.item(),
        ulps=int(ulp_distance(x[index], y[index])) if floating else None,
        n_different=n,
        n_total=x.size,
    )


def report(a: Any, b: Any, names: tuple[str, str] = ("a", "b"), axes: Sequence[str] = ()) -> str:
    """What a person wants to read about a and b: one line when equal, else where, both words, how far apart."""
    first = first_difference(a, b)
    if first is None:
        return f"{names[0]} and {names[1]} are equal: {words(a).size} of {words(a).size} words"
    labels = list(axes) + [f"axis {i}" for i in range(len(axes), len(first.index))]
    where = ", ".join(f"{label} {i}" for label, i in zip(labels, first.index, strict=False)) or "the one element"
    lines = [
        (names[0], f"0x{first.hex_a}  {first.value_a!r}"),
        (names[1], f"0x{first.hex_b}  {first.value_b!r}"),
        *([] if first.ulps is None else [("apart", f"{first.ulps} ULP")]),
    ]
    width = max(len(name) for name, _ in lines)
    head = f"{names[0]} and {names[1]} differ in {first.n_different} of {first.n_total} words; the first is at {where}:"
    return "\n".join([head, *(f"  {name:<{width}}  {line}" for name, line in lines)])


def _number_line(w: np.ndarray) -> np.ndarray:
    # The words of negative floats count down from zero: flip them all. Positive ones move above them.
    top = w.dtype.type(1 << (8 * w.dtype.itemsize - 1))
    return np.where(w >= top, ~w, w | top).astype(np.uint64)


def _must_match(a: Any, b: Any) -> None:
    if _dtype(a) != _dtype(b) or tuple(a.shape) != tuple(b.shape):
        raise ValueError(f"cannot compare {_dtype(a)} {tuple(a.shape)} with {_dtype(b)} {tuple(b.shape)} word by word")


def _dtype(x: Any) -> str:
    return str(x.dtype).removeprefix("torch.")
