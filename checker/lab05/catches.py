"""Does the student's test tell kernels that are batch-invariant from kernels that are not?"""

from __future__ import annotations

from collections.abc import Iterator

from checker.claims import better, mismatch
from checker.collected import refused_or
from checker.faults import show
from checker.gate import Refusal
from checker.lab05 import causes
from checker.lab05.claims import replayed
from checker.lab05.reading import KERNELS
from checker.lab05.schemas import Called, Invariance, Tested
from checker.lab05.variants import VARIANTS, Candidate
from checker.lab05.work import INVARIANCE, TEST, Work
from checker.language import _, ngettext, told
from checker.report import Finding
from checker.todos import open_todo

Item = Finding | str


def test_catches(work: Work) -> Iterator[Item]:
    """invariance_test.py, run on candidates: each planted kernel is caught, and no sound one is."""
    try:
        submitted = work.invariance
    except Refusal as refusal:
        yield refusal.finding
        submitted = []
    else:
        if isinstance(submitted, list):
            yield from submitted
    caught, broken = 0, False
    said: set[str | None] = set()
    missed: list[Finding] = []
    for name, candidate in work.tests.items():
        found, faults = _tested(work, name)
        if found is None or faults:
            broken = True
            yield from (fault for fault in faults if fault.found not in said)  # one error, not seven times
            said |= {fault.found for fault in faults}
            continue
        if not candidate:
            if isinstance(submitted, Invariance):
                yield from _own(work, submitted, found)
            continue
        calls = work.calls(name)
        for op, tested in found.ops:
            fault = _wrong(op, tested, candidate, getattr(calls, op))
            if fault:
                missed.append(fault)
            elif candidate[op]:
                caught += 1
    if missed:
        yield from _open_todos(work)
    yield from missed
    if not broken:
        yield _("{caught} of {n} planted kernels caught").format(caught=caught, n=len(VARIANTS))


def _open_todos(work: Work) -> Iterator[Finding]:
    text = work.text(TEST)
    lines = {number: line for number in (5, 6, 7) if (line := open_todo(text, number))}
    if lines:
        numbers = ", ".join(map(str, lines))
        yield Finding(
            kind="mismatch",
            file=TEST,
            where=_("line {line}").format(line=", ".join(map(str, lines.values()))),
            expected=_("the work of TODO 5, 6 and 7"),
            found=f"TODO {numbers}",
            message=_("TODO {numbers} still stands in the file: until it is done, kernels slip through.").format(
                numbers=numbers
            ),
        )


def _tested(work: Work, name: str) -> tuple[Invariance | None, list[Finding]]:
    found = refused_or(lambda: work.replayed_test(name))
    return (found if isinstance(found, Invariance) else None), replayed(work, name, found, INVARIANCE)


def _wrong(op: str, tested: Tested, candidate: Candidate, called: Called) -> Finding | None:
    variant = candidate[op]
    seen = ngettext(
        "{differing} of {n} comparison differs", "{differing} of {n} comparisons differ", tested.comparisons
    ).format(differing=tested.differing, n=tested.comparisons)
    if variant and not tested.differing:
        return Finding(
            kind="mismatch",
            file=TEST,
            where=_("a planted {op}").format(op=op),
            expected=_("at least one comparison that differs"),
            found=seen,
            message=_("Your test lets a kernel pass that is not batch-invariant: {behaviour}.").format(
                behaviour=_(variant.behaviour)
            ),
            usual_causes=told(causes.MISSED),
        )
    if variant and not called.changed:
        return Finding(
            kind="mismatch",
            file=TEST,
            where=_("a planted {op}").format(op=op),
            expected=_("among its calls, the same row twice, with other bytes the second time"),
            found=ngettext(
                "{n} call, and no row that came out in two ways",
                "{n} calls, and no row that came out in two ways",
                called.calls,
            ).format(n=called.calls),
            message=_("Your test says that a planted kernel differs, and has not seen it differ: {behaviour}.").format(
                behaviour=_(variant.behaviour)
            ),
            usual_causes=told(causes.NOT_SEEN),
        )
    if not variant and (tested.differing or not tested.comparisons):
        first = "; " + _("the first: {first}").format(first=show(tested.first.model_dump())) if tested.first else ""
        return Finding(
            kind="mismatch",
            file=TEST,
            where=_("a sound {op}").format(op=op),
            expected=_("some comparisons, and none that differs"),
            found=f"{seen}{first}",
            message=_("Your test finds fault with a kernel whose rows depend on nothing but themselves."),
            usual_causes=told(causes.FALSE_ALARM),
        )
    return None


def _own(work: Work, submitted: Invariance, here: Invariance) -> Iterator[Finding]:
    """invariance.json against a run of the same test on the same kernels, here."""
    right = work.sha256(KERNELS)
    if submitted.kernels_sha256 != right:
        message = _("The file is about other kernels than kernels.py as it is now: run the test in its folder again.")
        yield mismatch(INVARIANCE, "kernels_sha256", right, submitted.kernels_sha256, message)
        return
    for op, claimed in submitted.ops:
        again: Tested = getattr(here.ops, op)
        message = _("Your test was run here on your kernels, and saw something else.")
        where = f"ops.{op}"
        if again.differing and not claimed.differing and submitted.device == here.device:
            yield better(work, INVARIANCE, f"{where}.differing", show(again.differing), show(0), message)
        elif (again.differing > 0) != (claimed.differing > 0):
            yield mismatch(INVARIANCE, f"{where}.differing", show(again.differing), show(claimed.differing), message)
        elif again.comparisons != claimed.comparisons:
            expected, found = show(again.comparisons), show(claimed.comparisons)
            yield mismatch(
                INVARIANCE, f"{where}.comparisons", expected, found, f"{message} {_('Run it in its folder again.')}"
            )
