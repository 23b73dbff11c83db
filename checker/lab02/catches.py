"""Does the student's test tell a cache that is right from caches that are not?

Decided from the data it wrote, never from its exit code or its words: a planted cache is caught if a case of its
results.json says that the two paths differ, and the digests it gives for the cached one are those that this very cache
gives here, and for the other those of the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from checker.check import Part
from checker.gate import Refusal
from checker.lab02 import causes
from checker.lab02.consistency import bytes_equal, extended_cases
from checker.lab02.ledger import ITS_PROBE
from checker.lab02.prompts import Ask, extended_prompts
from checker.lab02.schemas import Case, Results
from checker.lab02.work import PROPERTY_TEST, Work
from checker.lab02.zoo import Planted
from checker.language import _, ngettext, told
from checker.replay import ended_with, no_end
from checker.report import Finding

if TYPE_CHECKING:
    from checker.lab02.zoo.oracle import Account

Cases = list[tuple[Ask, Case]]


def catches(work: Work) -> Iterator[Finding | Part | str]:
    """property_test.py, run on planted caches: each is caught, a sound one is not, and the cache is really read."""
    work.planted.start(work.timeout)
    yield from _probe(work)
    alarms = list(_false_alarm(work))
    yield from alarms
    caught = 0
    for planted in work.planted.sample:
        missed = _missed(work, planted)
        if missed:
            yield missed
        else:
            caught += 1
    n = len(work.planted.sample)
    yield Part(0 if alarms else caught, n)  # who cries at everything has caught nothing
    yield ngettext("{caught} of {n} planted cache caught", "{caught} of {n} planted caches caught", n).format(
        caught=caught, n=n
    )


def _probe(work: Work) -> Iterator[Finding]:
    """Each decoded token overwrites a number of slot 1 with how much work was done: is that what the test has read?"""
    from checker.lab02.zoo import oracle

    cases = _cases(work, work.planted.poison)
    if isinstance(cases, Finding):
        yield cases
        return
    for (ask, case), right in zip(cases, oracle.accounts(work.planted.poison, work.planted.asks), strict=True):
        cached, uncached = oracle.cached_account(case), oracle.uncached_account(case)
        if cached in right and uncached not in right:
            continue
        if uncached in right:
            message = _("Your test compares a cache with itself: what it calls uncached read a slot that we overwrote.")
            found = _("on both paths, the rows of the overwritten slot")
        elif cached == uncached:
            message = _(
                "Your test never reads a cache: a slot was overwritten while tokens were "
                "decoded, and what it calls cached did not change. Both its paths recompute "
                "everything, so no planted cache can show in it."
            )
            found = _("on both paths, the rows of a run without a cache")
        else:
            message = _(
                "What your test calls cached is not a prefill and then one token a step: each "
                "step left in the cache how many tokens it was given, and another number than 1 "
                "was read, or another number of steps."
            )
            found = _("other rows")
        yield Finding(
            kind="mismatch",
            file=PROPERTY_TEST,
            where=f"{_(ITS_PROBE)}: prompt {ask.id}",
            expected=_("on the cached path, the rows of the overwritten slot; on the other, those of the model"),
            found=found,
            message=message,
            usual_causes=told(causes.NO_CACHE),
        )
        return


def _false_alarm(work: Work) -> Iterator[Finding]:
    cases = _cases(work, work.planted.sound)
    if isinstance(cases, Finding):
        yield cases
        return
    for ask, case in cases:
        if _admits(case) or not bytes_equal(case):
            yield Finding(
                kind="mismatch",
                file=PROPERTY_TEST,
                where=_("its run on a sound cache: prompt {ask}").format(ask=ask.id),
                expected=_("no difference"),
                found=_("a difference, by its own account") if _admits(case) else _("two digests that differ"),
                message=_("Your test finds fault with a cache that keeps every row as it was given."),
                usual_causes=told(causes.FALSE_ALARM),
            )
            return


def _missed(work: Work, planted: Planted) -> Finding | None:
    """Why this planted cache does not count as caught, or None: it does."""
    from checker.lab02.zoo import oracle

    work.options.progress(_("testing your test on planted caches"), 1.0)
    cases = _cases(work, planted)
    if isinstance(cases, Finding):
        return cases
    right = _right(work, planted)
    admitted = [(ask, case) for ask, case in cases if _admits(case) and not bytes_equal(case)]
    if any(
        oracle.cached_account(case) in right.get(ask.id, ()) and _is_the_models(work, planted, ask, case)
        for ask, case in admitted
    ):
        return None
    if admitted:
        message = _("Your test says that a planted cache differs, with rows that are not this cache's and the model's.")
        if planted.mutant.seen == "warm":
            message += " " + _("Is the warm case made as the brief says, with reset and truncate?")
        found = _("other rows, in {case}").format(case=admitted[0][0].id)
    elif any(not bytes_equal(case) for _ask, case in cases):
        message = _("Your test passes a planted cache: its own digests differ, and it counts no row that does.")
        found = _("no row counted")
    else:
        message = _("Your test passes a planted cache.")
        found = _no_difference(len(cases)) if cases else _("no extended cases")
    return Finding(
        kind="mismatch",
        file=PROPERTY_TEST,
        where=_("its run on a planted cache ({seen})").format(seen=planted.mutant.seen),
        expected=_("a case that differs"),
        found=found,
        message=f"{message} {_(planted.mutant.behaviour)}",
        usual_causes=told(causes.LET_PASS),
    )


def _right(work: Work, planted: Planted) -> dict[str, frozenset[Account]]:
    """By case, what the cached path gives on this cache."""
    from checker.lab02.zoo import oracle

    if planted.mutant.seen != "alone":
        return oracle.extended_accounts(planted)
    asks = work.planted.asks
    return {ask.id: found for ask, found in zip(asks, oracle.accounts(planted, asks), strict=True)}


def _is_the_models(work: Work, planted: Planted, ask: Ask, case: Case) -> bool:
    """Is the path without a cache what the model gives? A planted bug is in the cache, and does not show there."""
    from checker.lab02.zoo import oracle

    found = oracle.uncached_account(case)
    if planted.mutant.seen == "alone":
        asks = work.planted.asks
        sound = planted.without_the_bug() if planted.mutant.changes_model else work.planted.sound
        return found in dict(zip(asks, oracle.accounts(sound, asks), strict=True))[ask]
    truth = dict(zip(extended_prompts(), work.extended_truths, strict=True))[ask]
    if found == oracle.account(truth):
        return True
    other = work.recompute.other_seeding(ask)
    return other is not None and found == oracle.account(other)


def _admits(case: Case) -> bool:
    """Does the case itself say that its two paths differ?"""
    return case.tokens.first_divergence is not None or any(r.differing for r in (case.k, case.v, case.logits))


def _cases(work: Work, planted: Planted) -> Cases | Finding:
    """What the run wrote, each case beside what was asked; of a bug that one sequence does not show, the extended
    cases, which may be none. A finding if the run wrote nothing to go by."""
    found = _results(work, planted)
    if isinstance(found, Results):
        if planted.mutant.seen == "alone":
            asks, cases = work.planted.asks, found.runs.fixed.cases
        elif found.extended:
            asks, cases = extended_prompts(), list(extended_cases(found.extended).values())
        else:
            return []
        if [(c.id, c.prompt, c.seed) for c in cases] == [(a.id, a.prompt, a.seed) for a in asks]:
            return list(zip(asks, cases, strict=True))
        found = _("Its results.json holds other cases than were asked for.")
    return Finding(
        kind="replay",
        file=PROPERTY_TEST,
        where=_("its run on a planted cache ({seen})").format(seen=planted.mutant.seen),
        expected=_("results.json; a case that fails is a result too"),
        found=_("nothing to go by"),
        message=f"{_('Your test was run on a planted cache.')} {_(planted.mutant.behaviour)} {found}",
        usual_causes=told(causes.NO_DATA_PLANTED),
    )


def _no_difference(n: int) -> str:
    return ngettext("no difference in {n} case", "no difference in {n} cases", n).format(n=n)


def _results(work: Work, planted: Planted) -> Results | str:
    """What the run wrote, or, in a sentence, why that is nothing to go by."""
    run = work.planted.run(planted)
    if why := no_end(run, work.timeout):
        return why
    try:
        found = work.planted_results(planted)
    except Refusal as refusal:
        return f"{_('Its results.json: {fault}').format(fault=refusal)}{ended_with(run)}"
    if isinstance(found, list):
        where = found[0].where or _("the document")
        return _("In its results.json, {where}: {fault}").format(where=where, fault=found[0].message)
    return found
