"""results.json and manifest.json: whole, in agreement with themselves, and what measure.py writes here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from checker.claims import better, mismatch
from checker.collected import refused_or
from checker.faults import show
from checker.lab05.claims import replayed
from checker.lab05.schemas import Ask, Case, Results, Summary
from checker.lab05.work import MANIFEST, RESULTS, Work
from checker.language import N_, _, ngettext
from checker.report import Finding

CASE_SEED = 5
NOTHING_RAN = N_(
    "No Triton kernel ran: what was measured are PyTorch's own. Fill in registered() (TODO 4), run measure.py again."
)
Item = Finding | str


def manifest(work: Work) -> Iterator[Item]:
    """As its schema asks, and about the lab's own cases."""
    found = work.manifest
    if isinstance(found, list):
        yield from found
        return
    for where, right, given in (
        ("config.case_seed", CASE_SEED, found.config.case_seed),
        ("config.n_cases", len(work.lab_cases), found.config.n_cases),
    ):
        if given != right:
            yield mismatch(MANIFEST, where, show(right), show(given), _("It is not about the lab's own cases."))
    if not found.results_summary.launches:
        yield mismatch(MANIFEST, "results_summary.launches", _("some"), "0", _(NOTHING_RAN))
    if (found.config.arithmetic is None) != (found.config.device == "cuda"):
        expected = "null" if found.config.device == "cuda" else _("a sha256")
        message = _("On the CPU, the manifest says what NumPy's results were; on a GPU, nothing.")
        yield mismatch(MANIFEST, "config.arithmetic", expected, show(found.config.arithmetic), message)


def results(work: Work) -> Iterator[Item]:
    found = work.results
    if isinstance(found, list):
        yield from found
        return
    faults = list(_not_asked(found.cases, work.lab_cases))
    if faults:
        yield from faults
        return
    idle = [i for i, case in enumerate(found.cases) if not case.launches]
    if idle:
        yield mismatch(RESULTS, f"cases[{idle[0]}].launches", _("some"), "0", _(NOTHING_RAN))
    for i, case in enumerate(found.cases):
        rows = [row for call in case.calls for row in call if row >= 0]
        again = len(rows) - len(set(rows))
        if case.compared != again:
            message = _("A row that comes again is compared with its first time, each time.")
            yield mismatch(RESULTS, f"cases[{i}].compared", show(again), show(case.compared), message)
        if len(case.sha256) != len(case.calls):
            message = _("There must be one digest for each call.")
            yield mismatch(RESULTS, f"cases[{i}].sha256", show(len(case.calls)), show(len(case.sha256)), message)
    read = refused_or(lambda: work.replayed_results("lab"))
    here = read if isinstance(read, Results) else None
    broken = replayed(work, "lab", read, RESULTS)
    yield from broken
    yield from _summaries(work, RESULTS, "summary", tally(found.cases), found.summary, here)
    beside = work.readable(lambda: work.manifest)  # if it cannot be read, the task `manifest` says so
    if beside is not None:
        yield from _summaries(work, MANIFEST, "results_summary", tally(found.cases), beside.results_summary, here)
        if beside.config.device != found.device:
            message = _("The two files are not of one run.")
            yield mismatch(MANIFEST, "config.device", show(found.device), show(beside.config.device), message)
    if here is not None and not broken:
        yield from _against_the_run(work, found, here)


def tally(cases: Sequence[Case]) -> Summary:
    """The summary that ``cases`` deserve."""
    return Summary(
        cases=len(cases),
        cases_equal=sum(case.differing == 0 for case in cases),
        rows_compared=sum(case.compared for case in cases),
        rows_differing=sum(case.differing for case in cases),
        launches=sum(case.launches for case in cases),
    )


def _not_asked(cases: Sequence[Case], asked: Sequence[Ask]) -> Iterator[Finding]:
    if len(cases) != len(asked):
        message = _("There must be one entry for each of the lab's cases.")
        yield mismatch(RESULTS, "cases", _count(len(asked)), _count(len(cases)), message)
        return
    for i, (case, ask) in enumerate(zip(cases, asked, strict=True)):
        for name, value in ask.model_dump().items():
            given = getattr(case, name)
            if given != value:
                message = _("The case is not the lab's own: run measure.py as it came, without --cases.")
                yield mismatch(RESULTS, f"cases[{i}].{name}", show(value), show(given), message)
                break


def _summaries(
    work: Work, file: str, where: str, deserved: Summary, found: Summary, here: Results | None
) -> Iterator[Finding]:
    message = _("The summary is not what the cases of results.json show.")
    for name, value in found.model_dump().items():
        right = getattr(deserved, name)
        if value == right:
            continue
        flatters = value < right if name == "rows_differing" else value > right
        unheard_of = here is not None and getattr(tally(here.cases), name) != value
        say = partial(better, work) if flatters and unheard_of else mismatch
        yield say(file, f"{where}.{name}", show(right), show(value), message)


def _against_the_run(work: Work, found: Results, here: Results) -> Iterator[Item]:
    """Each case as stored and as it comes out here: counts always, bytes where they would be the same."""
    comparable = work.stored_bytes_comparable()
    for i, (case, again) in enumerate(zip(found.cases, here.cases, strict=False)):
        where = f"cases[{i}].differing"
        message = _("measure.py was run here, with your kernels; another number of rows changed.")
        if case.differing < again.differing and comparable:
            yield better(work, RESULTS, where, show(again.differing), show(case.differing), message)
        elif case.differing != again.differing:
            yield mismatch(RESULTS, where, show(again.differing), show(case.differing), message)
        elif comparable and case.sha256 != again.sha256:
            n = next(n for n, (a, b) in enumerate(zip(case.sha256, again.sha256, strict=False)) if a != b)
            message = _(
                "measure.py was run here, with your kernels, and gave other bytes: run it again, then check again."
            )
            yield mismatch(RESULTS, f"cases[{i}].sha256[{n}]", again.sha256[n], case.sha256[n], message)
    message = _("measure.py was run here, with your kernels; the launches it counted are others: run it again.")
    for op, probe in found.registered:
        there, now = probe.launches.model_dump(), getattr(here.registered, op).launches.model_dump()
        for name, n in there.items():
            if (n > 0) != (now[name] > 0):
                yield mismatch(RESULTS, f"registered.{op}.launches.{name}", show(now[name]), show(n), message)
    if not comparable:
        yield _("results.json was made on something else: its counts were compared, its bytes were not")


def _count(n: int) -> str:
    return ngettext("{n} case", "{n} cases", n).format(n=n)
