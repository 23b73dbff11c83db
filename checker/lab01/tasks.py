"""The tasks of lab 01, by the id that lab.toml gives them.

Each yields a finding for each fault and a plain string for what is worth knowing; one that yields no finding has
passed, and one that fails has earned the part of its points that its cases make up. A Refusal (a file that cannot be
read) ends it with that finding. Two also say what became of the claims they looked into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from checker.check import Part, with_claims
from checker.collected import refused_or
from checker.gate import Refusal
from checker.lab01 import generations, stored
from checker.lab01.claims import replayed
from checker.lab01.judge import judge
from checker.lab01.ledger import of_the_manifest, of_the_results
from checker.lab01.reading import CACHE, read_cache
from checker.lab01.schemas import Ask, AskGeneration, Results
from checker.lab01.work import ALL, ANSWERS, RESULTS, Work
from checker.language import _
from checker.report import Claim, Finding
from checker.texts import writing
from checker.todos import open_todo

Item = Finding | Part | str
TODOS = {"A": (1, 2), "B": (3,), "C": (4, 5), "D": (6,)}


def block(name: str, work: Work) -> Iterator[Item]:
    """The scripts of one block, the lab's and hidden ones; of block D a generation with pages too."""
    results, faults = _played(work)
    yield from faults
    if results is None:
        return
    asked = [ask for ask in (*work.lab_cases, *work.hidden_cases) if ask.block == name]
    judged = [judge(ask, work.steps(ask)) for ask in asked]
    yield from _to_watch(work, asked, judged)
    if name == "D":
        judged += list(_generated(work, results, "paged"))
    yield from _in_parts(work, name, judged)
    operations = sum(len(ask.ops) for ask in asked)
    work.recomputed(
        _("block {block}: {operations} operations of {n} cases against the reference").format(
            block=name, operations=operations, n=len(asked)
        )
    )


def generate(work: Work) -> Iterator[Item]:
    """generate with the student's cache equals generate without one; and it reads what data holds, and nothing else."""
    results, faults = _played(work)
    yield from faults
    if results is None:
        return
    judged = list(_generated(work, results, "contiguous"))
    yield from _in_parts(work, "A", judged)
    work.recomputed(
        _("{n} generations without a cache, every row of K, V and logits against those with yours").format(
            n=len(judged)
        )
    )


def _played(work: Work) -> tuple[Results | None, list[Finding]]:
    """The results of the run on all cases, or why there is nothing to go by."""
    if read := list(read_cache(work.cache)):
        return None, read
    found = refused_or(lambda: work.replayed_results(ALL))
    if broken := replayed(work, ALL, found, RESULTS):
        return None, broken
    try:
        work.given()
    except Refusal as refusal:
        return None, replayed(work, ALL, refusal, refusal.finding.file or ANSWERS)
    return (found if isinstance(found, Results) else None), []


def _generated(work: Work, results: Results, cache: str) -> Iterator[Finding | None]:
    entries = {entry.id: entry for entry in results.generations}
    asked: list[AskGeneration] = [*work.lab_generations, *work.hidden_generations]
    for ask in asked:
        if ask.cache == cache:
            entry = entries[ask.id]
            ended = entry.stopped is None
            given = {name: work.arrays_of(ask, name) for name in ("k", "v", "logits")} if ended else {}
            yield generations.judge(ask, entry, given, work.truth(ask), work.truth_without_a_poke(ask))


def _in_parts(work: Work, name: str, judged: list[Finding | None]) -> Iterator[Item]:
    """The findings; or, where nothing is right and a TODO still stands, that alone."""
    wrong = [fault for fault in judged if fault]
    right = len(judged) - len(wrong)
    open_ = [(number, line) for number in TODOS[name] if (line := open_todo(work.cache, number))]
    if open_ and not right:
        number, line = open_[0]
        yield Finding(
            kind="mismatch",
            file=CACHE,
            where=_("line {line}").format(line=line),
            message=_("TODO {number} is still open. (If it is done, take its comment out.)").format(number=number),
        )
    else:
        yield from wrong[:1]
        yield from (fault.model_copy(update={"rows": None}) for fault in wrong[1:])  # one picture is enough
    yield Part(right, of=len(judged))


def _to_watch(work: Work, asked: list[Ask], judged: list[Finding | None]) -> Iterator[str]:
    """How to watch the first case that is wrong."""
    for ask, fault in zip(asked, judged, strict=True):
        if fault:
            hidden = f" --seed {work.hidden_seed}" if ask in work.hidden_cases else ""
            yield _("step by step: {command}").format(command=f"python exercise.py --show {ask.id}{hidden}")
            return


TASKS: dict[str, Callable[[Work], Iterator[Item | Claim]]] = {
    "append-read": partial(block, "A"),
    "refusals": partial(block, "B"),
    "forgetting": partial(block, "C"),
    "generate": generate,
    "pages": partial(block, "D"),
    "results": with_claims(stored.results, of_the_results),
    "manifest": with_claims(stored.manifest, of_the_manifest),
    "writing": writing,
}
