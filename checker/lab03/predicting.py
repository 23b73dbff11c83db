"""prediction.json: the large model's numbers worked out again, the seconds from the student's own fit and medians."""

from __future__ import annotations

from collections.abc import Iterator

from checker.check import Part
from checker.claims import mismatch
from checker.faults import show
from checker.lab03 import cases, mistakes, truth
from checker.lab03.fitting import median, relatively_close
from checker.lab03.mistakes import one
from checker.lab03.schemas import Analysis, AskedMedian, Number, Results, Shape, Step
from checker.lab03.stored import is_right
from checker.lab03.work import PREDICTION, Work, series
from checker.language import N_, _
from checker.report import Finding

Item = Finding | Part | str
SECONDS = 1e-6  # relative. An exponent may be 1e-9 off, which is 1e-8 of a power of 32,768; and a person may round
GIB = 0.005  # written with two decimals
SMALL, LARGE = Shape.model_validate(cases.MINIGPT), Shape.model_validate(cases.LARGE)
LAST = Step(id="large", shape=LARGE, B=1, T=1, S=cases.SLOTS - 1, size=cases.LARGE_SIZE)

OTHER_STEPS = {  # the right formula, of something else
    N_("32,768 slots are held before the step, and it makes one more"): LAST.model_copy(update={"S": cases.SLOTS}),
    N_("it is of one slot too few: the step's own token is the last of 32,768"): LAST.model_copy(
        update={"S": cases.SLOTS - 2}
    ),
    N_("it is of a pass over all 32,768 tokens: with a cache one token goes through"): LAST.model_copy(
        update={"T": cases.SLOTS, "S": 0}
    ),
    N_("it is of MiniGPT, not of the large model"): LAST.model_copy(update={"shape": SMALL}),
    N_("a number is taken to have 4 bytes: in bfloat16 it has 2"): LAST.model_copy(update={"size": 4}),
}


def prediction(work: Work) -> Iterator[Item]:
    found = work.prediction
    if isinstance(found, list):
        yield from found
        return
    right = truth.of_step(LAST)
    done = 0
    for quantity in ("flops", "weight_bytes", "kv_bytes_read", "cache_bytes"):
        true, said = getattr(right, quantity), getattr(found.large, quantity)
        done += is_right(said, true)
        if not is_right(said, true):
            yield _of_the_large(quantity, true, said)
    fault = _in_gib(found.large.cache_gib, truth.slot_bytes(LARGE, cases.LARGE_SIZE) * cases.SLOTS)
    done += fault is None
    if fault:
        yield fault
    analysis, results = work.readable(lambda: work.analysis), work.readable(lambda: work.results)
    if analysis is None or results is None:
        message = _("Without results.json and analysis.json, nothing says what the seconds follow from.")
        yield mismatch(PREDICTION, "seconds", _("both beside it"), _("one that cannot be read"), message)
        return
    for cache, name in ((True, "cached"), (False, "uncached")):
        said_both = getattr(found.seconds, name)
        by_fit, by_flops = by_the_fit(analysis, cache), by_the_flops(results, cache)
        for way, true, said in (("by_fit", by_fit, said_both.by_fit), ("by_flops", by_flops, said_both.by_flops)):
            if true is not None and relatively_close(said, true, SECONDS):
                done += 1
            else:
                yield _of_the_seconds(f"seconds.{name}.{way}", true, said, analysis, results, cache)
    yield Part(done, of=9)
    work.recomputed(_("prediction.json: {n} numbers, from the shapes and from your own fits").format(n=9))


# ---- the large model -------------------------------------------------------------------------------------------------


def _of_the_large(quantity: str, true: int, said: Number) -> Finding:
    if said == 0:
        cause = _("TODO 9 of predict.py is still to be done.")
    elif isinstance(said, float) and said == true:
        cause = _("The value is right, and it is a float: / makes one, // does not.")
    else:
        same = [says for says, step in OTHER_STEPS.items() if is_right(said, getattr(truth.of_step(step), quantity))]
        cause = one(same[0]) if same else ""
        known = mistakes.KNOWN[quantity]
        for made, says in known.says.items() if not cause else ():
            if known.of(LAST, frozenset([made])) == said:
                cause = one(says)
                break
    message = _("The number for the large model's decode step at 32,768 slots is another.")
    return mismatch(PREDICTION, f"large.{quantity}", show(true), show(said), f"{message} {cause}".strip())


def _in_gib(said: Number, held: int) -> Finding | None:
    true = held / 2**30
    if said is not None and abs(said - true) <= GIB:
        return None
    cause = ""
    for says, value in (
        (N_("it is in GB, of 10^9 bytes: a GiB has 2^30"), held / 1e9),
        (N_("it is in Gib, of bits"), 8 * true),
        (N_("it is in MiB"), held / 2**20),
        (N_("it is in bytes"), float(held)),
    ):
        if said is not None and abs(said - value) <= GIB:
            cause = one(says)
    expected = _("{value:g}, within {tolerance:g}").format(value=true, tolerance=GIB)
    message = _("The memory of the cache, in GiB, is another.")
    return mismatch(PREDICTION, "large.cache_gib", expected, show(said), f"{message} {cause}".strip())


# ---- the seconds -----------------------------------------------------------------------------------------------------


def by_the_fit(analysis: Analysis, cache: bool) -> float | None:
    """Along the fitted line, whatever it is."""
    return _along(analysis, "length", cache, cases.SLOTS)


def _along(analysis: Analysis, sweep: str, cache: bool, x: int) -> float | None:
    for fit in analysis.fits:
        if (fit.sweep, fit.cache) == (sweep, cache) and fit.exponent is not None and fit.prefactor_ns is not None:
            try:
                return fit.prefactor_ns * float(x) ** fit.exponent / 1e9
            except OverflowError:
                return None
    return None


def by_the_flops(results: Results, cache: bool) -> float | None:
    """From the longest step that was measured, as the FLOPs grow."""
    x, samples = series(results.points, "length", cache)
    if not x:
        return None
    longest = max(x)
    measured = median(AskedMedian(samples=list(samples[x.index(longest)]), warmup=results.warmup))
    return measured * work_of(cache, cases.SLOTS) / work_of(cache, longest) / 1e9


def work_of(cache: bool, n: int) -> int:
    """FLOPs of MiniGPT's step that ends with n tokens."""
    return truth.flops(SMALL, 1, 1, n - 1) if cache else truth.flops(SMALL, 1, n, 0)


def _of_the_seconds(
    where: str, true: float | None, said: float | None, analysis: Analysis, results: Results, cache: bool
) -> Finding:
    way = where.rpartition(".")[2]
    cause = ""
    if said == 0:
        cause = _("TODO 9 of predict.py is still to be done.")
    elif true is not None:
        other = by_the_fit(analysis, not cache) if way == "by_fit" else by_the_flops(results, not cache)
        batch = _along(analysis, "batch", cache, cases.SLOTS) if way == "by_fit" else None
        swapped = by_the_flops(results, cache) if way == "by_fit" else by_the_fit(analysis, cache)
        for says, value in (
            (N_("it is in nanoseconds, and a second has 10^9"), true * 1e9),
            (N_("it is in milliseconds"), true * 1e3),
            (N_("it is in microseconds"), true * 1e6),
            (N_("with a cache and without are swapped"), other),
            (N_("by_fit and by_flops are swapped"), swapped),
            (N_("it is along the fit over batches, not over lengths"), batch),
        ):
            if value is not None and relatively_close(said, value, SECONDS):
                cause = one(says)
                break
    message = {
        "by_fit": _("The seconds are not what your own fit gives: prefactor_ns times 32768 to the exponent."),
        "by_flops": _(
            "The seconds are not those of the longest step that you measured, times the growth of its FLOPs."
        ),
    }[way]
    expected = _("a fit in analysis.json to go by") if true is None else show(true)
    return mismatch(PREDICTION, where, expected, show(said), f"{message} {cause}".strip())
