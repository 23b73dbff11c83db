"""What the hidden cases gave, against float64 and against itself: the bytes of a row in one company and in another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from checker.gate_npz import Array
from checker.lab05 import causes
from checker.lab05.accuracy import Truth, tolerance
from checker.lab05.inputs import SEALED_CALL
from checker.lab05.reading import KERNELS
from checker.lab05.schemas import Ask
from checker.language import _, told
from checker.report import Finding
from courselib import bits

NAN = -1


def describe(ask: Ask) -> str:
    shape = f"K {ask.length}, N {ask.columns}" if ask.op == "matmul" else _("rows of {n}").format(n=ask.length)
    strided = "" if not ask.strided else ", " + _("b column by column") if ask.op == "matmul" else ", dim 0"
    return f"{ask.op} {ask.id} ({ask.dtype}, {shape}{strided})"


def nearness(ask: Ask, truth: Truth, outputs: list[Array]) -> Iterator[Finding]:
    """The first output of the case that is farther from float64 than rounding can take it; or a NaN that was lost."""
    for i, (call, output) in enumerate(zip(ask.calls, outputs, strict=True)):
        own = np.array([place for place, row in enumerate(call) if row >= 0])
        rows = np.array(call)[own]
        with np.errstate(invalid="ignore"):
            error = np.abs(output[own].astype(np.float64) - truth.right[rows])
            far = ~(error <= truth.bound[rows])  # a NaN is far too
        if far.any():
            at, column = map(int, np.argwhere(far)[0])
            place, right = int(own[at]), float(truth.right[rows[at], column])
            yield Finding(
                kind="mismatch",
                file=KERNELS,
                where=_("{case}, call {i} of {n} rows: row {row}, column {column}").format(
                    case=describe(ask), i=i, n=len(call), row=place, column=column
                ),
                expected=_("{value!r}, within {bound:.3g}: {tolerance}").format(
                    value=right, bound=float(truth.bound[rows[at], column]), tolerance=tolerance(ask)
                ),
                found=_("{value!r}; {n} of {total} numbers of this call are off").format(
                    value=float(output[place, column]), n=int(far.sum()), total=far.size
                ),
                message=_("The result is farther from float64's than rounding explains."),
                usual_causes=told(causes.NOT_CLOSE),
            )
            return
        lost = [place for place, row in enumerate(call) if row == NAN and not np.isnan(output[place]).all()]
        if lost:
            yield Finding(
                kind="mismatch",
                file=KERNELS,
                where=_("{case}, call {i} of {n} rows: row {row}").format(
                    case=describe(ask), i=i, n=len(call), row=lost[0]
                ),
                expected=_("NaN throughout: the row is NaN"),
                found=f"{output[lost[0]].tolist()[:4]!r}",
                message=_("A NaN was lost: a row of NaN has no other result."),
                usual_causes=told(causes.NOT_CLOSE),
            )
            return


def sealing(ask: Ask, outputs: list[Array], sealed: Array) -> Finding | None:
    """A call whose numbers only kernels could read gives the bytes that it gave before; or the launcher computes."""
    difference = bits.first_difference(outputs[SEALED_CALL], sealed)
    if difference is None:
        return None
    row, column = difference.index
    return Finding(
        kind="mismatch",
        file=KERNELS,
        where=_("{case}, call {i} of {n} rows: row {row}, column {column}").format(
            case=describe(ask), i=SEALED_CALL, n=len(sealed), row=row, column=column
        ),
        expected=_("0x{hex} ({value!r}), as when everything can read the numbers").format(
            hex=difference.hex_a, value=difference.value_a
        ),
        found=f"0x{difference.hex_b} ({difference.value_b!r})",
        message=_(
            "The launcher computes. With numbers sealed, so that only a kernel can read them, the result is another: "
            "a sum, a division or a lookup is done outside of the kernel."
        ),
        usual_causes=told(causes.NOT_THE_KERNELS),
    )


def sameness(ask: Ask, outputs: list[Array]) -> tuple[int, Finding | None]:
    """How many times a row came again, and the first time its bytes were others than in the first call it was in."""
    seen: dict[int, tuple[int, int]] = {}  # row -> call and place where it came first
    compared = differing = 0
    first: Finding | None = None
    for i, call in enumerate(ask.calls):
        for place, row in enumerate(call):
            if row not in seen:
                if row >= 0:
                    seen[row] = i, place
                continue
            compared += 1
            there = seen[row]
            a, b = outputs[there[0]][there[1]], outputs[i][place]
            difference = bits.first_difference(a, b)
            if difference is None:
                continue
            differing += 1
            first = first or Finding(
                kind="mismatch",
                file=KERNELS,
                where=_(
                    "{case}, row {row} of the case, column {column}: call {there} ({company_there}) against call "
                    "{here} ({company_here})"
                ).format(
                    case=describe(ask),
                    row=row,
                    column=difference.index[0],
                    there=there[0],
                    company_there=_company(ask, *there),
                    here=i,
                    company_here=_company(ask, i, place),
                ),
                expected=f"0x{difference.hex_a} ({difference.value_a!r})",
                found=_("0x{hex} ({value!r}), {ulps} ULP apart").format(
                    hex=difference.hex_b, value=difference.value_b, ulps=difference.ulps
                ),
                message=_("The same row has other bytes in other company."),
                usual_causes=told(causes.NOT_SAME),
            )
    if first:
        found = _("{first}; {n} of {total} rows that came again differ")
        found = found.format(first=first.found, n=differing, total=compared)
        first = first.model_copy(update={"found": found})
    return compared, first


def _company(ask: Ask, call: int, place: int) -> str:
    rows = ask.calls[call]
    if len(rows) == 1:
        return _("alone")
    strangers = [{-1: "NaN", -2: "inf"}[r] for r in rows[max(place - 1, 0) : place + 2] if r < 0]
    beside = f" {_('and')} ".join(dict.fromkeys(strangers))
    if not beside:
        return _("place {place} of {n}").format(place=place, n=len(rows))
    return _("place {place} of {n}, beside {strangers}").format(place=place, n=len(rows), strangers=beside)
