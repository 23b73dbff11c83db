"""results.json and manifest.json: whole, in agreement with themselves, and what exercise.py writes here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from checker.claims import better, mismatch
from checker.collected import refused_or
from checker.faults import show
from checker.lab01 import reference
from checker.lab01.cases import CASE_SEED
from checker.lab01.claims import replayed
from checker.lab01.playing import digest, play
from checker.lab01.schemas import Ask, AskGeneration, Case, Generation, Results, Summary
from checker.lab01.work import LAB, MANIFEST, RESULTS, Work
from checker.language import N_, _, ngettext
from checker.report import Finding

NOTHING = N_("No row was ever read back: append and read are to be written first (TODO 1 and 2). Then run exercise.py.")
OLD = N_("The file is from before append and read were written: run exercise.py, then check again.")
LESS_IS_BETTER = ("rows_differing",)
MORE_IS_BETTER = ("rows_read", "generations_equal", "pokes_seen")
Item = Finding | str


def manifest(work: Work) -> Iterator[Item]:
    """As its schema asks, and about the lab's own cases."""
    found = work.manifest
    if isinstance(found, list):
        yield from found
        return
    config = found.config
    for where, right, given in (
        ("config.case_seed", CASE_SEED, config.case_seed),
        ("config.n_cases", len(work.lab_cases), config.n_cases),
        ("config.n_generations", len(work.lab_generations), config.n_generations),
    ):
        if given != right:
            yield mismatch(MANIFEST, where, show(right), show(given), _("It is not about the lab's own cases."))
    if not found.results_summary.rows_read:
        yield mismatch(MANIFEST, "results_summary.rows_read", _("some"), "0", _(NOTHING))


def results(work: Work) -> Iterator[Item]:
    found = work.results
    if isinstance(found, list):
        yield from found
        return
    faults = list(_not_asked(work, found))
    if faults:
        yield from faults
        return
    read = refused_or(lambda: work.replayed_results(LAB))
    here = read if isinstance(read, Results) else None
    broken = replayed(work, LAB, read, RESULTS)
    yield from broken
    if not (found.summary.rows_read or found.summary.generations_equal or any(case.rows for case in found.cases)):
        message = _(OLD if here is not None and here.summary.rows_read else NOTHING)
        yield mismatch(RESULTS, "summary.rows_read", _("some"), show(found.summary.rows_read), message)
        return
    poked = {ask.id for ask in work.lab_generations if ask.poke}
    yield from _summaries(work, RESULTS, "summary", found, found.summary, here, poked)
    beside = work.readable(lambda: work.manifest)  # if it cannot be read, the task `manifest` says so
    if beside is not None:
        yield from _summaries(work, MANIFEST, "results_summary", found, beside.results_summary, here, poked)
    if here is not None and not broken:
        yield from _cases(work, found.cases, here.cases)
        yield from _generations(work, found.generations, here.generations)


def tally(found: Results, poked: set[str]) -> Summary:
    """The summary that the entries deserve."""
    cases, sound = found.cases, [g for g in found.generations if g.id not in poked]
    return Summary(
        cases=len(cases),
        operations=sum(case.operations for case in cases),
        refused=sum(case.refused for case in cases),
        rows_read=sum(case.rows for case in cases),
        generations=len(sound),
        generations_equal=sum(g.stopped is None and g.differing == 0 for g in sound),
        rows_compared=sum(g.compared for g in sound),
        rows_differing=sum(g.differing for g in sound),
        pokes=len(poked),
        pokes_seen=sum(g.differing > 0 for g in found.generations if g.id in poked),
    )


def _not_asked(work: Work, found: Results) -> Iterator[Finding]:
    asked: tuple[tuple[str, Sequence[Ask | AskGeneration], Sequence[Case | Generation]], ...] = (
        ("cases", work.lab_cases, found.cases),
        ("generations", work.lab_generations, found.generations),
    )
    message = _("It is not about the lab's own cases: run exercise.py as it came, without --cases.")
    for name, right, given in asked:
        if [ask.id for ask in right] != [entry.id for entry in given]:
            yield mismatch(RESULTS, name, _names(right), _names(given), message)


def _summaries(
    work: Work, file: str, where: str, found: Results, said: Summary, here: Results | None, poked: set[str]
) -> Iterator[Finding]:
    message = _("The summary is not what the entries of results.json show.")
    deserved = tally(found, poked)
    for name, value in said.model_dump().items():
        right = getattr(deserved, name)
        if value == right:
            continue
        flatters = (name in MORE_IS_BETTER and value > right) or (name in LESS_IS_BETTER and value < right)
        unheard_of = here is not None and getattr(tally(here, poked), name) != value
        say = partial(better, work) if flatters and unheard_of else mismatch
        yield say(file, f"{where}.{name}", show(right), show(value), message)


def _cases(work: Work, found: Sequence[Case], here: Sequence[Case]) -> Iterator[Finding]:
    """Each case as stored and as it comes out here. Nothing is computed in it: its words are the same everywhere."""
    again = _("exercise.py was run here, with your cache, and gave something else: run it again, then check again.")
    for i, (case, now, ask) in enumerate(zip(found, here, work.lab_cases, strict=True)):
        if case == now:
            continue
        name = next(name for name, value in case.model_dump().items() if getattr(now, name) != value)
        where, a, b = f"cases[{i}].{name}", show(getattr(now, name)), show(getattr(case, name))
        flatters = ask.cache == "contiguous" and case.sha256 != now.sha256
        if flatters and case.sha256 == digest(play(ask, reference.of)):
            message = _("exercise.py was run here, with your cache, and did not give the right answers of this case.")
            yield better(work, RESULTS, where, a, b, message)
        else:
            yield mismatch(RESULTS, where, a, b, again)


def _generations(work: Work, found: Sequence[Generation], here: Sequence[Generation]) -> Iterator[Item]:
    message = _("exercise.py was run here, with your cache; another number of rows differs from a run without one.")
    again = _("exercise.py was run here, with your cache, and gave something else: run it again, then check again.")
    for i, (entry, now, ask) in enumerate(zip(found, here, work.lab_generations, strict=True)):
        where = f"generations[{i}].differing"
        if entry.stopped is None and now.stopped is not None:
            yield better(work, RESULTS, f"generations[{i}].stopped", show(now.stopped), "null", again)
        elif (entry.stopped is None) != (now.stopped is None):
            yield mismatch(RESULTS, f"generations[{i}].stopped", show(now.stopped), show(entry.stopped), again)
        elif entry.differing != now.differing:
            flatters = entry.differing > now.differing if ask.poke else entry.differing < now.differing
            say = partial(better, work) if flatters and work.stored_bytes_comparable() else mismatch
            yield say(RESULTS, where, show(now.differing), show(entry.differing), message)
        elif work.stored_bytes_comparable():
            for name in ("tokens", "k", "v", "logits", "compared"):
                a, b = getattr(now, name), getattr(entry, name)
                if a != b:
                    yield mismatch(RESULTS, f"generations[{i}].{name}", show(a), show(b), again)
                    break
    if not work.stored_bytes_comparable():
        yield _("the generations in results.json were made under another promise: their bytes were not compared")


def _names(entries: Sequence[Ask | AskGeneration | Case | Generation]) -> str:
    n = len(entries)
    return f"{ngettext('{n} entry', '{n} entries', n).format(n=n)}: {', '.join(entry.id for entry in entries)}"
