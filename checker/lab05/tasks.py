"""The tasks of lab 05, by the id that lab.toml gives them.

Each yields a finding for each fault and a plain string for what is worth knowing; one that yields no finding has
passed. A Refusal (a file that cannot be read) ends it with that finding. Three also say what became of the claims
they looked into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from checker.check import Part, with_claims
from checker.claims import mismatch
from checker.collected import refused_or
from checker.gate import Refusal
from checker.lab05 import causes, stored
from checker.lab05.catches import test_catches
from checker.lab05.claims import replayed
from checker.lab05.ledger import of_the_manifest, of_the_results, of_the_test
from checker.lab05.reading import KERNELS, NO_KERNEL, read_kernels, read_reaches
from checker.lab05.schemas import Results
from checker.lab05.work import RESULTS, Work
from checker.language import _, told
from checker.report import Claim, Finding
from checker.texts import writing
from checker.todos import open_todo

Item = Finding | str
NAMES = {"matmul": "torch.mm", "log_softmax": "torch.log_softmax", "mean": "torch.mean"}


def one_op(op: str, work: Work) -> Iterator[Item]:
    """On hidden cases: near float64, the same bytes in any company, and from a Triton kernel of kernels.py."""
    from checker.lab05.rows import nearness, sameness, sealing

    read = list(read_kernels(work.kernels, op))
    yield from read
    if any(fault.found in (None, *told(NO_KERNEL)) for fault in read):  # no Python, or no kernel: nothing to run
        return
    beyond = list(read_reaches(work.kernels))
    yield from beyond
    if beyond:
        return
    results, faults = _hidden(work)
    yield from faults
    if results is None:
        return
    try:
        outputs = work.outputs
    except Refusal as refusal:
        yield from replayed(work, "hidden", refusal, "outputs.npz")
        return
    launched = {case.id: case.launches for case in results.cases}
    asked = [ask for ask in work.hidden_cases if ask.op == op]
    for ask in asked:
        if not launched.get(ask.id):
            message = _("No kernel was launched: what came back is PyTorch's own.")
            expected = _("at least one launch of a Triton kernel of kernels.py for each call")
            message = f"{message} {_todo_4(work)}".strip()
            yield _registration(op, _("inside registered()"), expected, _("none"), message)
            return
    compared = 0
    for ask in asked:
        mine = [outputs[f"{ask.id}.{i}"] for i in range(len(ask.calls))]
        far = list(nearness(ask, work.truth(ask), mine))
        yield from far
        outside = sealing(ask, mine, outputs[f"{ask.id}.sealed"])
        if outside and not far:  # one thing at a time
            yield outside
        n, different = sameness(ask, mine)
        compared += n
        if different:
            yield different
    calls = sum(len(ask.calls) for ask in asked)
    work.recomputed(
        _("{op}: {calls} calls of {n} hidden cases against float64, {compared} rows against themselves").format(
            op=op, calls=calls, n=len(asked), compared=compared
        )
    )


def registered(work: Work) -> Iterator[Item]:
    """Inside `with registered():` PyTorch's names run the kernels; after it, also after an exception, they do not."""
    results, faults = _hidden(work)
    yield from faults
    if results is None:
        return
    for op, probe in results.registered:
        launches, digests = probe.launches, probe.sha256
        if not launches.inside:
            message = f"{_('No Triton kernel was launched.')} {_todo_4(work)}".strip()
            yield _registration(op, _("inside registered()"), _("a launch"), _("none"), message)
        elif digests.inside != digests.direct:
            message = _("{name} gives other bytes than {op} of kernels.py on the same tensors.").format(
                name=NAMES[op], op=op
            )
            yield _registration(op, _("inside registered()"), digests.direct, digests.inside, message)
        for name, words in (
            ("after", _("after registered()")),
            ("after_exception", _("after an exception inside registered()")),
            ("before", _("after an earlier registered()")),
        ):  # the first that is wrong: those below follow from it
            if n := getattr(launches, name):
                message = _("A Triton kernel still runs when the block has ended: PyTorch's own is not back.")
                yield _registration(op, words, _("no launch"), f"{n}", message)
                break
            if getattr(digests, name) != digests.before:
                message = _("Other bytes than before registered(): PyTorch's own is not back.")
                yield _registration(op, words, digests.before, getattr(digests, name), message)
                break


def _todo_4(work: Work) -> str:
    line = open_todo(work.kernels, 4)
    return _("TODO 4 still stands in line {line}: registered() is to be written.").format(line=line) if line else ""


def _hidden(work: Work) -> tuple[Results | None, list[Finding]]:
    """What measure.py wrote for the hidden cases, or why that is nothing to go by."""
    found = refused_or(lambda: work.replayed_results("hidden"))
    return (found if isinstance(found, Results) else None), replayed(work, "hidden", found, RESULTS)


def _registration(op: str, where: str, expected: str, found: str, message: str) -> Finding:
    return mismatch(KERNELS, f"{NAMES[op]} {where}", expected, found, message, causes.NOT_REGISTERED)


TASKS: dict[str, Callable[[Work], Iterator[Item | Claim | Part]]] = {
    "manifest": with_claims(stored.manifest, of_the_manifest),
    "results": with_claims(stored.results, of_the_results),
    "matmul": partial(one_op, "matmul"),
    "log-softmax": partial(one_op, "log_softmax"),
    "mean": partial(one_op, "mean"),
    "registered": registered,
    "test-catches": with_claims(test_catches, of_the_test),
    "writing": writing,
}
