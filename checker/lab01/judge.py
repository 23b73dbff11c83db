"""What a cache gave, against what it must give: the first operation that is wrong, the first wrong word, and why.

Of what read() gives, only the rows that a sequence holds are compared: those behind its cursor mean nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from checker.faults import show
from checker.lab01 import causes, reference
from checker.lab01.bugs import BUGS
from checker.lab01.faults import Fault, of_words
from checker.lab01.paging import Paging
from checker.lab01.playing import Step, play
from checker.lab01.reading import CACHE
from checker.lab01.schemas import Ask
from checker.lab01.standing import Rowbook
from checker.language import _, told
from checker.report import Finding


def judge(case: Ask, given: Sequence[Step]) -> Finding | None:
    """The first fault of a case; None if every answer is right."""
    right, paging = play(case, reference.of), Paging(case)
    for n, (must, does) in enumerate(zip(right, given, strict=True)):
        fault = paging.fault(n, must, does) if case.ops[n]["do"] == "pages" else first_fault(case, n, must, does)
        if fault is None:
            continue
        said = [fault.message]
        if fault.rows:
            said.append(Rowbook(case, n).says(fault.rows.words[1]))
        if case.cache == "contiguous":
            said.append(looks_like(case, right, given, n))
        where = _("{case}, operation {n} of {last}, {call}").format(
            case=case.id, n=n, last=len(given) - 1, call=call(case.ops[n])
        )
        return Finding(
            kind="mismatch",
            file=CACHE,
            where=f"{where}{fault.place}",
            expected=fault.expected,
            found=fault.found,
            message=" ".join(filter(None, said)),
            usual_causes=told(fault.causes),
            rows=fault.rows,
        )
    return None


def looks_like(case: Ask, right: Sequence[Step], given: Sequence[Step], n: int) -> str:
    """A sentence on the bug that gives these very answers, up to operation ``n`` at least. Nothing if none does, or
    if several do that this case cannot tell apart."""
    reach = {bug: agreement(case, play(case, bug.make()), right, given) for bug in BUGS}
    furthest = max(reach.values())
    found = [bug for bug, end in reach.items() if end == furthest]
    if furthest <= n or len(found) > 1:
        return ""
    behaviour = _(found[0].behaviour)
    if furthest == len(given):
        text = _("Every answer of this case is, word for word, that of a cache in which {behaviour}.")
        return text.format(behaviour=behaviour)
    text = _("As far as operation {n}, every answer is, word for word, that of a cache in which {behaviour}.")
    return text.format(n=furthest - 1, behaviour=behaviour)


def agreement(case: Ask, with_bug: Sequence[Step], right: Sequence[Step], given: Sequence[Step]) -> int:
    """How many answers, from the first on, are those that the bug gives. Which rows mean something says ``right``."""
    for n, (must, sound, does) in enumerate(zip(with_bug, right, given, strict=True)):
        if first_fault(case, n, must, does, sound.cursors):
            return n
    return len(given)


def first_fault(
    case: Ask, n: int, must: Step, does: Step, cursors: Sequence[Sequence[int]] | None = None
) -> Fault | None:
    """``cursors``: what each sequence holds in each layer, if not what ``must`` says."""
    op = case.ops[n]
    if must.raised != does.raised:
        return _of_exceptions(must, does)
    if must.raised:
        return None
    if must.numbers != does.numbers:
        message = (
            _("first is not what it should be.")
            if op["do"] == "first"
            else _("lengths is not how many slots each sequence holds.")
        )
        return Fault(message, show(must.numbers[0]), show(does.numbers[0]), causes=causes.NUMBERS)
    for name, a, b in zip(("K", "V") if op["do"] == "read" else ("data",), must.arrays, does.arrays, strict=False):
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            message = _("{name} has another shape, or numbers of another width.").format(name=name)
            return Fault(message, _shape(a), _shape(b), f": {name}", causes=causes.SHAPE)
    if op["do"] == "read":
        return _of_a_read(op["layer"], must, does, (cursors or must.cursors)[op["layer"]])
    return _of_data(must.arrays[0], does.arrays[0]) if op["do"] == "data" else None


def _of_exceptions(must: Step, does: Step) -> Fault:
    nothing = _("no exception")
    found = does.said or does.raised or nothing
    if must.raised is None:
        return Fault(_("It ended with an exception."), nothing, found, causes=causes.EXCEPTION)
    if does.raised is None:
        return Fault(_("This is to be refused, and was not."), must.raised, found, causes=causes.REFUSED)
    return Fault(_("This is to be refused with another exception."), must.raised, found, causes=causes.REFUSED)


def _of_a_read(layer: int, must: Step, does: Step, cursors: Sequence[int]) -> Fault | None:
    S = must.arrays[0].shape[2]
    held = np.arange(S) < np.array(cursors)[:, None]  # (B, S)
    for pair, (a, b) in enumerate(zip(must.arrays, does.arrays, strict=True)):
        matters = np.broadcast_to(held[:, None, :, None], a.shape)
        differs = (a != b) & matters
        if differs.any():
            sequence, head, slot, dim = (int(i) for i in np.argwhere(differs)[0])
            message = _("read() does not give the rows that were appended.")
            row, n = (layer, pair, sequence, head, slot), int(differs.sum())
            return of_words(message, a[sequence, head, slot], b[sequence, head, slot], row, dim, n, int(matters.sum()))
    return None


def _of_data(must: np.ndarray, does: np.ndarray) -> Fault | None:
    differs = must != does
    if not differs.any():
        return None
    *row, dim = (int(i) for i in np.argwhere(differs)[0])
    message, at = _("data does not hold what it should."), tuple(row)
    return of_words(message, must[at], does[at], at, dim, int(differs.sum()), must.size)


def call(op: dict[str, Any]) -> str:
    """The operation as one would write it."""
    do = op["do"]
    if do == "append":
        count = "" if op["count"] is None else f", count={op['count']}"
        k, v = (f"{op[f'{name}_dtype']} {tuple(op[name])}" for name in "kv")
        tensors = _("k and v {tensor}").format(tensor=k) if k == v else f"k {k}, v {v}"
        written = f"append({op['layer']}, {tensors}{count})"
        if op["device"] == "cpu":
            return written
        return _("{call} on {device}").format(call=written, device=op["device"])
    if do == "first":
        return "first" if op["first"] is None else f"first = {op['first']}"
    arguments = ", ".join(str(value) for name, value in op.items() if name != "do")
    names = {"make": "__init__", "data": "data", "lengths": "lengths", "pages": "tables, free, pool"}
    return names.get(do, f"{do}({arguments})")


def _shape(x: np.ndarray) -> str:
    return _("{shape}, {bits} bits each").format(shape=tuple(x.shape), bits=8 * x.dtype.itemsize)
