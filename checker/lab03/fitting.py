"""fit.py on numbers it has not seen, and analysis.json against the samples beside it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from checker.check import Part
from checker.claims import mismatch
from checker.collected import refused_or
from checker.faults import show
from checker.lab03 import cases, causes
from checker.lab03.claims import replayed
from checker.lab03.mistakes import one
from checker.lab03.schemas import AskedFit, AskedFits, AskedMedian, Fits
from checker.lab03.work import ANALYSIS, FIT, RESULTS, Work, series
from checker.language import N_, _
from checker.report import Finding

Item = Finding | Part | str
# The sums of a fit are sums of some ten logarithms, each below 30 and rounded to 53 bits; the normal equations multiply
# their error by at most some thousands. That is below 1e-11, whatever the base and the method; and 1e-9 is a hundred
# times as much, and far less than anybody can measure. A prefactor is exp of the intercept: its relative error is the
# intercept's error, and the tolerance ten times as wide.
EXPONENT, PREFACTOR = 1e-9, 1e-8
HALF = 1e-12  # of a median, which is a sample or the mean of two: one rounding
Pair = tuple[float, float]
A = TypeVar("A")


def median(asked: AskedMedian) -> float:
    """The middle sample of those after the warm-up, or the mean of the middle two."""
    return float(statistics.median(asked.samples[asked.warmup :] or asked.samples))


def line(x: Sequence[float], y: Sequence[float]) -> Pair:
    """(slope, intercept) of the least-squares line, with sums that are rounded once."""
    n = len(x)
    u, v = math.fsum(x) / n, math.fsum(y) / n
    slope = math.fsum((a - u) * (b - v) for a, b in zip(x, y, strict=True)) / math.fsum((a - u) ** 2 for a in x)
    return slope, v - slope * u


def fitted(asked: AskedFit) -> Pair:
    """(exponent, prefactor) of y = prefactor * x ** exponent over the range, both ends included."""
    x, y = _inside(asked, lambda a: asked.low <= a <= asked.high)
    slope, intercept = line([math.log(a) for a in x], [math.log(b) for b in y])
    return slope, math.exp(intercept)


def _inside(asked: AskedFit, inside: Callable[[float], bool]) -> tuple[list[float], list[float]]:
    pairs = [(a, b) for a, b in zip(asked.x, asked.y, strict=True) if inside(a)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def close(found: float | None, right: float, tolerance: float) -> bool:
    return found is not None and abs(found - right) <= tolerance


def relatively_close(found: float | None, right: float, tolerance: float) -> bool:
    return close(found, right, tolerance * abs(right))


# ---- fit.py ----------------------------------------------------------------------------------------------------------

WRONG_MEDIANS: dict[str, Callable[[AskedMedian], float]] = {
    N_("the samples of the warm-up are counted too"): lambda asked: statistics.median(asked.samples),
    N_("it is the mean, which one slow sample moves"): lambda asked: statistics.fmean(asked.samples[asked.warmup :]),
    N_("it is the mean of all samples, those of the warm-up too"): lambda asked: statistics.fmean(asked.samples),
    N_("it is the smallest sample"): lambda asked: min(asked.samples[asked.warmup :]),
    N_("of an even number of samples it is the lower of the middle two, not their mean"): lambda asked: (
        statistics.median_low(asked.samples[asked.warmup :])
    ),
    N_("of an even number of samples it is the upper of the middle two, not their mean"): lambda asked: (
        statistics.median_high(asked.samples[asked.warmup :])
    ),
    N_("the samples were not sorted"): lambda asked: asked.samples[asked.warmup :][
        (len(asked.samples) - asked.warmup) // 2
    ],
}


def _raw(asked: AskedFit) -> tuple[list[float], list[float]]:
    return _inside(asked, lambda a: asked.low <= a <= asked.high)


def _logs(values: Sequence[float]) -> list[float]:
    return [math.log(value) for value in values]


def _without(asked: AskedFit, low: bool, high: bool) -> Pair:
    """Ends of the range left out."""
    x, y = _inside(
        asked,
        lambda a: (asked.low < a if low else asked.low <= a) and (a < asked.high if high else a <= asked.high),
    )
    slope, intercept = line(_logs(x), _logs(y))
    return slope, math.exp(intercept)


def _everywhere(asked: AskedFit) -> Pair:
    slope, intercept = line(_logs(asked.x), _logs(asked.y))
    return slope, math.exp(intercept)


def _swapped(asked: AskedFit) -> float:
    x, y = _raw(asked)
    return line(_logs(y), _logs(x))[0]


WRONG_EXPONENTS: dict[str, Callable[[AskedFit], float]] = {
    N_("the range is not looked at: all points are fitted"): lambda asked: _everywhere(asked)[0],
    N_("a point at the lower end of the range is left out: both ends belong to it"): lambda asked: _without(
        asked, low=True, high=False
    )[0],
    N_("a point at the upper end of the range is left out: both ends belong to it"): lambda asked: _without(
        asked, low=False, high=True
    )[0],
    N_("points at both ends of the range are left out: they belong to it"): lambda asked: _without(
        asked, low=True, high=True
    )[0],
    N_("x and y are swapped"): _swapped,
    N_("no logarithm was taken: it is the slope of y on x"): lambda asked: line(*_raw(asked))[0],
    N_("the logarithm of y is taken, and that of x is not"): lambda asked: line(_raw(asked)[0], _logs(_raw(asked)[1]))[
        0
    ],
    N_("the logarithm of x is taken, and that of y is not"): lambda asked: line(_logs(_raw(asked)[0]), _raw(asked)[1])[
        0
    ],
}
WRONG_PREFACTORS: dict[str, Callable[[float], float]] = {
    N_("it is the intercept, a natural logarithm: the prefactor is exp of it"): lambda right: math.log(right),
    N_("it is the intercept, a logarithm to base 10"): lambda right: math.log10(right),
    N_("it is the intercept, a logarithm to base 2"): lambda right: math.log2(right),
    N_("the logarithms were natural ones, and 10 was raised to the intercept"): lambda right: 10 ** math.log(right),
    N_("the logarithms were natural ones, and 2 was raised to the intercept"): lambda right: 2 ** math.log(right),
    N_("the logarithms were to base 10, and exp was taken of the intercept"): lambda right: math.exp(math.log10(right)),
    N_("the logarithms were to base 2, and exp was taken of the intercept"): lambda right: math.exp(math.log2(right)),
    N_("it is the reciprocal"): lambda right: 1 / right,
}


def fit(work: Work) -> Iterator[Item]:
    """Medians, exponents and prefactors of hidden numbers."""
    found = refused_or(lambda: work.fits)
    yield from replayed(work, "fits", found)
    if not isinstance(found, Fits):
        return
    yield from judged(work.numbers, found)
    work.recomputed(
        _("fit.py: {medians} medians and {fits} fits of hidden numbers").format(
            medians=len(found.medians), fits=len(found.fits)
        )
    )


def judged(asked: AskedFits, found: Fits) -> Iterator[Finding | Part]:
    """A finding for each of the three that is wrong somewhere, and which part is right."""
    exponents, prefactors = [each.exponent for each in found.fits], [each.prefactor for each in found.fits]
    faults = list(_medians(asked.medians, found.medians))
    right = 1 - len(faults)
    if not any(exponents) and not any(prefactors):
        message = _("TODO 6 of fit.py: not begun yet, it gives 0 for everything.")
        faults.append(mismatch(FIT, "fit(x, y, low, high)", _("(exponent, prefactor)"), "(0.0, 0.0)", message))
    elif steep := list(_exponents(asked.fits, exponents)):
        faults += steep  # a prefactor beside a wrong exponent is wrong because of it
    else:
        level = list(_prefactors(asked.fits, prefactors))
        faults += level
        right += 2 - len(level)
    yield from faults
    yield Part(right, of=3)


def _medians(asked: Sequence[AskedMedian], found: Sequence[float | None]) -> Iterator[Finding]:
    right = [median(each) for each in asked]
    wrong = [i for i, (a, b) in enumerate(zip(right, found, strict=True)) if not relatively_close(b, a, HALF)]
    if wrong:
        i = wrong[0]
        cause = _("TODO 5 of fit.py: not begun yet.") if not any(found) else _cause(WRONG_MEDIANS, asked, found, HALF)
        yield mismatch(
            FIT,
            _("median of {samples}, warmup {warmup}").format(samples=show(asked[i].samples), warmup=asked[i].warmup),
            show(right[i]),
            show(found[i]),
            f"{_('These samples have another median.')} {cause}".strip(),
            [] if cause else causes.MEDIAN,
        )


def _exponents(asked: Sequence[AskedFit], found: Sequence[float | None]) -> Iterator[Finding]:
    right = [fitted(each)[0] for each in asked]
    wrong = [i for i, (a, b) in enumerate(zip(right, found, strict=True)) if not close(b, a, EXPONENT)]
    if wrong:
        i = wrong[0]
        cause = _cause(WRONG_EXPONENTS, asked, found, EXPONENT)
        yield mismatch(
            FIT,
            _fit_of(asked[i], "exponent"),
            _("{value!r}, within {tolerance:g}: what rounding can do to a fit in float64").format(
                value=right[i], tolerance=EXPONENT
            ),
            show(found[i]),
            f"{_('These points have another exponent.')} {cause}".strip(),
            [] if cause else causes.FIT,
        )


def _prefactors(asked: Sequence[AskedFit], found: Sequence[float | None]) -> Iterator[Finding]:
    right = [fitted(each)[1] for each in asked]
    wrong = [i for i, (a, b) in enumerate(zip(right, found, strict=True)) if not relatively_close(b, a, PREFACTOR)]
    if wrong:
        i = wrong[0]
        cause = _cause(WRONG_PREFACTORS, right, found, PREFACTOR)
        yield mismatch(
            FIT,
            _fit_of(asked[i], "prefactor"),
            _("{value!r}, within {tolerance:g} of it: what rounding can do to a fit in float64").format(
                value=right[i], tolerance=PREFACTOR
            ),
            show(found[i]),
            f"{_('These points have another prefactor.')} {cause}".strip(),
            [] if cause else causes.FIT,
        )


def _fit_of(asked: AskedFit, which: str) -> str:
    return f"{which}: x {show(asked.x)}, y {show(asked.y)}, low {show(asked.low)}, high {show(asked.high)}"


def _cause(
    known: dict[str, Callable[[A], float]], asked: Sequence[A], found: Sequence[float | None], tolerance: float
) -> str:
    """The mistake that gives just these numbers, all of them."""
    for says, wrong in known.items():
        try:
            values = [wrong(each) for each in asked]
        except (ValueError, ZeroDivisionError, OverflowError, statistics.StatisticsError):
            continue  # so many points less, and there is no line
        if all(relatively_close(b, a, tolerance) for a, b in zip(values, found, strict=True)):
            return one(says)
    return ""


# ---- analysis.json ---------------------------------------------------------------------------------------------------


def analysis(work: Work) -> Iterator[Item]:
    """The medians are those of the samples, and the exponents those of the medians."""
    found, results = work.analysis, work.readable(lambda: work.results)
    if isinstance(found, list):
        yield from found
        return
    if results is None:
        message = _("Without a results.json that can be read, nothing says what was fitted.")
        yield mismatch(ANALYSIS, None, _("results.json beside it"), _("none that can be read"), message)
        return
    digest = work.sha256(RESULTS)
    if found.results_sha256 != digest:
        message = _("The file is about another results.json than the one beside it: run analyse.py again.")
        yield mismatch(ANALYSIS, "results_sha256", digest, found.results_sha256, message)
        return
    named = [(each.sweep, each.cache) for each in found.fits]
    if named != cases.SERIES:
        message = _("There is one fit for each sweep, with a cache and without.")
        yield mismatch(ANALYSIS, "fits", show(cases.SERIES), show(named), message)
        return
    for i, each in enumerate(found.fits):
        x, samples = series(results.points, each.sweep, each.cache)
        medians = [median(AskedMedian(samples=list(some), warmup=results.warmup)) for some in samples]
        inside = {value for value in x if each.low <= value <= each.high}
        if len(inside) < 3:
            message = _("A line through fewer than three points says nothing of the points: widen RANGE in fit.py.")
            yield mismatch(
                ANALYSIS, f"fits[{i}].low", _("a range with three points or more"), show([each.low, each.high]), message
            )
            continue
        faults = list(_wrong_medians(i, medians, each.medians_ns))
        yield from faults
        if faults:
            continue
        exponent, prefactor = fitted(AskedFit(x=list(x), y=medians, low=each.low, high=each.high))
        message = _("It is not what the samples of results.json give over this range: run analyse.py again.")
        if not close(each.exponent, exponent, EXPONENT):
            yield mismatch(ANALYSIS, f"fits[{i}].exponent", show(exponent), show(each.exponent), message)
        if not relatively_close(each.prefactor_ns, prefactor, PREFACTOR):
            yield mismatch(ANALYSIS, f"fits[{i}].prefactor_ns", show(prefactor), show(each.prefactor_ns), message)
    work.recomputed(_("analysis.json: {n} exponents, from the samples of results.json").format(n=len(found.fits)))


def _wrong_medians(i: int, right: Sequence[float], found: Sequence[float | None]) -> Iterator[Finding]:
    message = _("It is not the median of its samples in results.json: run analyse.py again.")
    if len(found) != len(right):
        message = _("There is one median for each point of the sweep: none is added, none is left out.")
        yield mismatch(ANALYSIS, f"fits[{i}].medians_ns", str(len(right)), str(len(found)), message)
        return
    for j, (a, b) in enumerate(zip(right, found, strict=True)):
        if not relatively_close(b, a, HALF):
            yield mismatch(ANALYSIS, f"fits[{i}].medians_ns[{j}]", show(a), show(b), message)
            return
