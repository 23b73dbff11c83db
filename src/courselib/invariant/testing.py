"""A test helper: does a row's output depend on the rest of its batch?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from courselib import bits

from .mode import is_batch_invariant_mode_enabled

NEIGHBOURS = ("rows", "scaled", "zeros", "nan", "inf")


def assert_batch_invariant(
    fn: Callable[..., Any],
    inputs: Tensor | tuple[Tensor, ...],
    *,
    batch_dim: int = 0,
    populations: Sequence[int] = (2, 3, 8, 33),
    seed: int = 0,
    neighbours: Sequence[str] = NEIGHBOURS,
    padding: Sequence[Callable[..., tuple[tuple[Tensor, ...], Callable[[Tensor], Tensor]]]] = (),
) -> None:
    """Run every row of the inputs alone and in company, and compare its outputs byte by byte.

    fn takes the tensors of `inputs`, which share the dimension `batch_dim`, and answers a tensor, or several (a
    sequence or a mapping, of which only the tensors are compared), with that dimension too: a model is
    `lambda ids, mask: model(ids, attention_mask=mask).logits`. It runs under whatever mode is on, and may answer
    gradients.

    A population of n holds the row at a random position among n - 1 neighbours: "rows", other rows of the inputs;
    "scaled", the row itself times 1e4; "zeros"; "nan"; "inf". Integer tensors (token ids) have "rows" and "zeros" only.
    Each of `padding` is called as pad(*tensors) and answers the tensors padded, and a function that cuts the padding
    from an output again.

    Raises AssertionError that names the population, the position, the neighbours, and the first word that differs;
    ValueError for inputs or outputs without a row each, for a population below 1, or a name of neighbours that is not
    one; TypeError where inputs are no tensors, or fn answers none.
    """
    tensors = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    unknown = [name for name in neighbours if name not in NEIGHBOURS]
    if unknown:
        raise ValueError(f'unknown neighbours "{unknown[0]}": expected ' + ", ".join(f'"{n}"' for n in NEIGHBOURS))
    if any(n < 1 for n in populations):
        raise ValueError(f"expected populations of at least 1 row, got {tuple(populations)}")
    strange = [type(x).__name__ for x in tensors if not isinstance(x, Tensor)]
    if strange:
        raise TypeError(f"expected inputs to be a tensor, or a tuple of tensors; there is one {strange[0]}")
    sizes = {x.shape[batch_dim] if -x.dim() <= batch_dim < x.dim() else 0 for x in tensors}
    if len(sizes) != 1 or sizes == {0}:
        raise ValueError(f"expected tensors that share a dimension {batch_dim} of at least one row")
    random = torch.Generator().manual_seed(seed)

    for row in range(sizes.pop()):
        alone = tuple(x.narrow(batch_dim, row, 1).clone() for x in tensors)
        expected = [_row(y, 0, 1, batch_dim) for y in _outputs(fn, alone)]
        for n in populations:
            for kind, others in _company(tensors, alone, n - 1, batch_dim, neighbours, random):
                position = int(torch.randint(n, (), generator=random))
                batch = tuple(_inserted(x, o, position, batch_dim) for x, o in zip(alone, others, strict=True))
                where = f"row {row} alone", f"at position {position} of {n}, neighbours: {kind}"
                _compare(expected, [_row(y, position, n, batch_dim) for y in _outputs(fn, batch)], where)
                for i, pad in enumerate(padding):
                    padded, cut = pad(*batch)
                    found = [_row(cut(y), position, n, batch_dim) for y in _outputs(fn, padded)]
                    _compare(expected, found, (where[0], f"{where[1]}, padding {i}"))


def _company(
    tensors: tuple[Tensor, ...],
    alone: tuple[Tensor, ...],
    n: int,
    dim: int,
    kinds: Sequence[str],
    random: torch.Generator,
) -> Iterator[tuple[str, tuple[Tensor, ...]]]:
    """For each kind of neighbours, n of them."""
    floating = any(x.is_floating_point() for x in tensors)
    for kind in kinds:
        if kind == "rows":
            chosen = torch.randint(tensors[0].shape[dim], (n,), generator=random)
            yield kind, tuple(x.index_select(dim, chosen.to(x.device)) for x in tensors)
        elif floating or kind == "zeros":
            yield kind, tuple(_neighbour(x, kind).repeat_interleave(n, dim) for x in alone)


def _inserted(x: Tensor, others: Tensor, position: int, dim: int) -> Tensor:
    before, after = others.split([position, others.shape[dim] - position], dim)
    return torch.cat([before, x, after], dim)


def _neighbour(x: Tensor, kind: str) -> Tensor:
    if kind == "zeros":
        return torch.zeros_like(x)
    if not x.is_floating_point():
        return x
    return x * 1e4 if kind == "scaled" else torch.full_like(x, float(kind))


def _outputs(fn: Callable[..., Any], tensors: tuple[Tensor, ...]) -> list[Tensor]:
    found = fn(*tensors)
    several = found.values() if isinstance(found, Mapping) else found if isinstance(found, Sequence) else [found]
    outputs = [x for x in several if isinstance(x, Tensor)]
    if not outputs:
        raise TypeError(f"expected fn to answer a tensor, or several; it answered {type(found).__name__}")
    return outputs


def _row(y: Tensor, position: int, n: int, dim: int) -> Tensor:
    """The row at a position of an output, which has to have n of them."""
    if not -y.dim() <= dim < y.dim() or y.shape[dim] != n:
        raise ValueError(
            f"expected fn to answer a row for each row it is given: of {n} in dimension {dim} it made {tuple(y.shape)}"
        )
    return y.narrow(dim, position, 1)


def _compare(expected: list[Tensor], found: list[Tensor], names: tuple[str, str]) -> None:
    hint = "" if is_batch_invariant_mode_enabled() else "\n(batch-invariant mode is off)"
    if len(expected) != len(found):
        raise AssertionError(f"{names[0]} gives {len(expected)} outputs, {names[1]} {len(found)}{hint}")
    for i, (a, b) in enumerate(zip(expected, found, strict=True)):
        which = f"output {i}: " if len(expected) > 1 else ""
        if a.dtype != b.dtype or a.shape != b.shape:
            sides = [f"{name} is {x.dtype} {tuple(x.shape)}" for name, x in zip(names, (a, b), strict=True)]
            raise AssertionError(which + ", ".join(sides) + hint)
        if not bits.equal(a, b):
            raise AssertionError(which + bits.report(a, b, names) + hint)
