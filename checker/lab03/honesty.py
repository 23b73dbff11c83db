"""Does the figure show what was measured? It is judged as data: no pixel is looked at.

The brief's rules, each on your results and on hidden ones: a picture that is right for one set of numbers only is no
drawing of them. All that is asked of the words is that they are there, and name what is drawn.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from checker.check import Part
from checker.claims import mismatch
from checker.collected import refused_or
from checker.faults import show
from checker.lab03.claims import replayed
from checker.lab03.fitting import WRONG_MEDIANS, median
from checker.lab03.mistakes import one
from checker.lab03.schemas import AskedMedian, Axes, Drawn, Figure, Figures, Point, Scale
from checker.lab03.work import CURVES, PLOT, Work, series
from checker.language import N_, _
from checker.report import Finding

Item = Finding | Part | str
UNITS = {"ns": 1, "µs": 1_000, "μs": 1_000, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
IN_FULL = {"nanosecond": "ns", "microsecond": "µs", "millisecond": "ms", "second": "s"}
IN_FULL |= {"nanosegundo": "ns", "microsegundo": "µs", "milisegundo": "ms", "segundo": "s"}
COUNTED = {
    "length": r"token|slot|length|longitud|context",
    "batch": r"batch|sequence|prompt|lote|secuencia",
}
WITHOUT = r"without|\bno\b|\bnone\b|un-?cached|\bsin\b"
WITH = r"\bcache|cach[eé]|\bwith\b|\bcon\b"
SAME = 1e-9  # relative: what a change of unit, rounded a few times, can do to a float
LEAST_WIDTH = 600  # pixels
WAYS = {True: N_("with a cache"), False: N_("without a cache")}


@dataclass(frozen=True)
class Found:
    """One series of one set of results, and the line that shows it."""

    sweep: str
    cache: bool
    line: Drawn
    axes: Axes
    unit: float  # nanoseconds in one unit of the y axis


def figure(work: Work) -> Iterator[Item]:
    """plot.py draws all that was measured, as it was measured; and curves.png is there."""
    yield from _picture(work)
    found = refused_or(lambda: work.figures)
    yield from replayed(work, "figures", found)
    if not isinstance(found, Figures):
        return
    broken: dict[str, Finding] = {}
    for (name, warmup, points), drawn in zip(work.drawn, found.figures, strict=True):
        missing, faults = judged(drawn, points, warmup, _("your results") if name else _("hidden results"))
        broken = {**faults, **broken}  # each rule once, where it was broken first
        if missing:  # the same would be said of the results that follow
            break
    yield from missing
    yield from broken.values()
    yield Part(0 if missing else len(RULES) - len(broken), of=len(RULES))
    work.recomputed(
        _("plot.py: {n} figures drawn here, as data: yours and of hidden results").format(n=len(work.drawn))
    )


def judged(drawn: Figure, points: Sequence[Point], warmup: int, where: str) -> tuple[list[Finding], dict[str, Finding]]:
    """The series that are not shown as they were measured; and, of those that are, the rules that are broken."""
    items = list(_series(drawn, points, warmup, where))
    shown = [item for item in items if isinstance(item, Found)]
    faults = {name: rule(shown, drawn, where) for name, rule in RULES.items()}
    return [item for item in items if isinstance(item, Finding)], {k: fault for k, fault in faults.items() if fault}


# ---- every point, and as it was measured -----------------------------------------------------------------------------


def _series(drawn: Figure, points: Sequence[Point], warmup: int, where: str) -> Iterator[Finding | Found]:
    """For each sweep, with a cache and without: the line that shows its medians, or what is missing or changed."""
    lines = [(axes, line) for axes in drawn.axes for line in axes.lines]
    if not lines:
        message = _("The figure draws no line and no points: TODO 8 of plot.py.")
        yield mismatch(PLOT, where, _("two panels with two lines each"), _("none"), message)
        return
    for sweep in ("length", "batch"):
        for cache in (True, False):
            x, samples = series(points, sweep, cache)
            measured = [AskedMedian(samples=list(some), warmup=warmup) for some in samples]
            right = dict(zip(x, map(median, measured), strict=True))
            exact = [
                Found(sweep, cache, line, axes, unit)
                for axes, line in lines
                for unit in sorted(set(UNITS.values()))
                if _shows(line, right, unit)
            ]
            if exact:
                yield next((found for found in exact if found.line.seen), exact[0])
            else:
                fault = _not_shown(lines, right, f"{where}, {sweep}, {_(WAYS[cache])}")
                cause = _something_else([line for _axes, line in lines], x, measured)
                yield fault.model_copy(
                    update={"message": f"{fault.message} {cause}", "usual_causes": []} if cause else {}
                )


def _shows(line: Drawn, right: dict[int, float], unit: float) -> bool:
    drawn = _pairs(line)
    return (
        len(line.x) == len(right)
        and drawn.keys() == right.keys()
        and all(_same(drawn[x] * unit, y) for x, y in right.items())
    )


def _something_else(lines: Sequence[Drawn], x: Sequence[int], measured: Sequence[AskedMedian]) -> str:
    """What is drawn in the place of the medians, if it is one of the usual things, at every x."""
    units = sorted(set(UNITS.values()))
    for says, wrong in WRONG_MEDIANS.items():
        drawn = dict(zip(x, map(wrong, measured), strict=True))
        if any(_shows(line, drawn, unit) for line in lines for unit in units):
            return one(says)
    for unit in units:
        for logarithm in (math.log, math.log2, math.log10):
            drawn = dict(zip(x, (logarithm(median(each) / unit) for each in measured), strict=True))
            if any(_shows(line, drawn, 1) for line in lines):
                return one(LOGARITHMS)
    return ""


def _pairs(line: Drawn) -> dict[float, float]:
    return {x: y for x, y in zip(line.x, line.y, strict=False) if x is not None and y is not None}


def _same(a: float, b: float) -> bool:
    return abs(a - b) <= SAME * abs(b)


def _not_shown(lines: list[tuple[Axes, Drawn]], right: dict[int, float], where: str) -> Finding:
    """The line that comes nearest, and the first point at which it is not the medians; or that there is none."""
    tried = [(line, unit) for _axes, line in lines for unit in sorted(set(UNITS.values()))]

    def agreeing(one: tuple[Drawn, float]) -> int:
        drawn = _pairs(one[0])
        return sum(x in drawn and _same(drawn[x] * one[1], y) for x, y in right.items())

    line, unit = max(tried, key=agreeing)
    n = agreeing((line, unit))
    if n == 0:
        return mismatch(
            PLOT,
            where,
            _("a line with the medians of all {n} points, x from {low} to {high}").format(
                n=len(right), low=min(right), high=max(right)
            ),
            _("no line or cloud of points that shows one of them"),
            _("A series is not drawn as it was measured."),
            CHANGED,
        )
    drawn = _pairs(line)
    x = next((x for x in sorted(right) if x not in drawn or not _same(drawn[x] * unit, right[x])), None)
    if x is None:
        extra = next((a for a in line.x if a not in right), None)
        return mismatch(
            PLOT,
            f'{where}, "{line.name}"',
            _("{n} points").format(n=len(right)),
            _("{n} points, x = {x} among them").format(n=len(line.x), x=show(extra)),
            _("The line has points that were not measured."),
        )
    if x not in drawn:
        message = _("A point that was measured is left out.")
        found = _("none at this x; {n} of {total} points are drawn").format(n=n, total=len(right))
    else:
        message = _("A point is drawn where it was not measured.")
        found = _("{value!r} ns").format(value=drawn[x] * unit)
    expected = _("{value!r} ns, the median of its samples").format(value=right[x])
    return mismatch(PLOT, f'{where}, "{line.name}", x = {x}', expected, found, message)


CHANGED = [
    N_("something else than the median of the samples that count is drawn"),
    N_("the picture is of other numbers than those that draw() was given"),
]
LOGARITHMS = N_("logarithms are drawn: draw the numbers, and let the axis be logarithmic")


# ---- the other rules: each gives its first fault ---------------------------------------------------------------------


def _marked(shown: Sequence[Found], drawn: Figure, where: str) -> Finding | None:
    """A line between two points was not measured: the points are to be seen."""
    for found in shown:
        if not found.line.seen:
            message = _("The line leaves no trace: it is hidden, transparent, or as light as the paper.")
            return mismatch(PLOT, _at(where, found), _("a line that can be seen"), _("none"), message)
        if not found.line.marker or not found.line.every:
            message = _("What was measured are points, and not what lies between: give every point a marker.")
            found_here = _("markers at some of them") if found.line.marker else _("no marker")
            return mismatch(PLOT, _at(where, found), _("a marker at each point"), found_here, message)
        if found.line.stroke and found.line.x != sorted(x for x in found.line.x if x is not None):
            message = _("The line runs back and forth: results need not come in order, so sort the points by x.")
            return mismatch(PLOT, _at(where, found), _("x from small to large"), show(found.line.x), message)
    return None


def _together(shown: Sequence[Found], drawn: Figure, where: str) -> Finding | None:
    """With a cache and without, on one pair of scales."""
    for sweep in ("length", "batch"):
        panels = [found.axes for found in shown if found.sweep == sweep]
        if len(panels) == 2 and panels[0] is not panels[1]:
            message = _("With a cache and without stand on two pairs of scales, so the eye cannot compare them.")
            return mismatch(PLOT, f"{where}, {sweep}", _("both in one panel"), _("two panels"), message)
    return None


def _scales(shown: Sequence[Found], drawn: Figure, where: str) -> Finding | None:
    """Logarithmic, both: a power law is straight there. A linear one that does not begin at zero is worse than that."""
    for found in shown:
        for name, scale in (("x", found.axes.x), ("y", found.axes.y)):
            if scale.scale == "log":
                continue
            low = scale.limits[0]
            zero = scale.scale == "linear" and low is not None and low <= 0
            message = _("The scale is not logarithmic: on two logarithmic scales a power law is a straight line.")
            if scale.scale == "linear" and not zero:
                message += " " + _(
                    "And it is cut: a linear scale that does not begin at 0 makes differences look large."
                )
            return mismatch(
                PLOT,
                f"{_at(where, found)}, {name}",
                "log",
                f"{scale.scale}, {show(scale.limits)}",
                message,
            )
    return None


def _limits(shown: Sequence[Found], drawn: Figure, where: str) -> Finding | None:
    """Nothing that was measured lies outside the paper."""
    for found in shown:
        for name, scale, values in (("x", found.axes.x, found.line.x), ("y", found.axes.y, found.line.y)):
            low, high = scale.limits
            numbers = [value for value in values if value is not None]
            if low is None or high is None or not numbers:
                continue
            if low > high:
                message = _("The axis runs from large to small.")
                return mismatch(
                    PLOT, f"{_at(where, found)}, {name}", _("from small to large"), show(scale.limits), message
                )
            outside = next((value for value in numbers if not low <= value <= high), None)
            if outside is not None:
                message = _("The axis is cut: a point that was measured lies outside its limits.")
                expected = _("limits that hold {low:g} to {high:g}").format(low=min(numbers), high=max(numbers))
                shown_limits = _("{limits}, and {value:g} lies outside").format(
                    limits=show(scale.limits), value=outside
                )
                return mismatch(PLOT, f"{_at(where, found)}, {name}", expected, shown_limits, message)
    return None


def _labelled(shown: Sequence[Found], drawn: Figure, where: str) -> Finding | None:
    """Each axis says what it shows, and y in which unit."""
    for found in shown:
        x, y = found.axes.x, found.axes.y
        if not re.search(COUNTED[found.sweep], x.label, re.IGNORECASE):
            what = {"length": _("tokens"), "batch": _("sequences")}[found.sweep]
            message = _("The x axis does not say what it counts.")
            return mismatch(
                PLOT,
                f"{_at(where, found)}, x",
                _("a label that names {what}").format(what=what),
                show(x.label),
                message,
            )
        unit = unit_of(y)
        right = next(name for name, size in UNITS.items() if size == found.unit)
        if unit is None:
            message = _("The y axis does not say in which unit the time is.")
            return mismatch(
                PLOT,
                f"{_at(where, found)}, y",
                _("a label with its unit, {unit}").format(unit=right),
                show(y.label),
                message,
            )
        if UNITS[unit] != found.unit:
            message = _("The numbers that are drawn are in another unit than the label says.")
            return mismatch(PLOT, f"{_at(where, found)}, y", right, show(y.label), message)
    return None


def unit_of(scale: Scale) -> str | None:
    """The unit of time that a label names."""
    for name, short in IN_FULL.items():
        if re.search(rf"\b{name}s?\b", scale.label, re.IGNORECASE):
            return short
    found = re.findall(r"(?<![\w'’])(ns|µs|μs|us|ms|s)(?!\w)", scale.label.replace("\\mu", "µ").replace("$", ""))
    return str(found[-1]) if found else None


def _named(shown: Sequence[Found], drawn: Figure, where: str) -> Finding | None:
    """Each line is named where it can be read, and by what it is."""
    for found in shown:
        name = found.line.name
        if name.startswith("_") or not name.strip() or name not in found.axes.names:
            message = _("The line has no name that the figure shows: give it a label, and the panel a legend.")
            return mismatch(
                PLOT, _at(where, found, named=False), _("a name in a legend"), show(found.axes.names), message
            )
        without = re.search(WITHOUT, name, re.IGNORECASE) is not None
        if without == found.cache or not (without or re.search(WITH, name, re.IGNORECASE)):
            message = _("The name does not say which of the two it is.")
            if without == found.cache:
                message = _("The name says the opposite of what is drawn: the lines are mixed up.")
            return mismatch(PLOT, _at(where, found, named=False), _(WAYS[found.cache]), show(name), message)
    mine = [found.line for found in shown]
    for axes in drawn.axes:
        for line in axes.lines:
            unnamed = line.name.startswith("_") or line.name not in axes.names
            if line.seen and unnamed and line not in mine and (line.stroke or line.marker):
                message = _("There is a line more, and nothing says what it is.")
                return mismatch(PLOT, where, _("a name in a legend for every line"), show(line.name), message)
    return None


def _told_apart(shown: Sequence[Found], drawn: Figure, where: str) -> Finding | None:
    """Not everybody sees colours, and not every page is printed in them."""
    for sweep in ("length", "batch"):
        looks = [(found.line.stroke, found.line.marker) for found in shown if found.sweep == sweep]
        if len(looks) == 2 and looks[0] == looks[1]:
            message = _("The two lines differ in nothing but colour, which is lost on paper and on many eyes.")
            found = _("both {stroke} {marker}").format(stroke=show(looks[0][0]), marker=show(looks[0][1]))
            return mismatch(PLOT, f"{where}, {sweep}", _("another marker, or another dash"), found, message)
    return None


Rule = Callable[[Sequence[Found], Figure, str], Finding | None]
RULES: dict[str, Rule] = {
    "marked": _marked,
    "together": _together,
    "scales": _scales,
    "limits": _limits,
    "labelled": _labelled,
    "named": _named,
    "told apart": _told_apart,
}


def _at(where: str, found: Found, named: bool = True) -> str:
    name = f', "{found.line.name}"' if named else f", {_(WAYS[found.cache])}"
    return f"{where}, {found.sweep}{name}"


# ---- curves.png ------------------------------------------------------------------------------------------------------

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _picture(work: Work) -> Iterator[Finding]:
    """A whole PNG, wide enough to be read. What it shows is for people; what plot.py draws is looked at above."""
    data = work.bytes(CURVES)
    whole = data.startswith(SIGNATURE) and data[12:16] == b"IHDR" and data[-8:-4] == b"IEND"
    if not whole:
        message = _("The file is not a whole PNG.")
        yield Finding(
            kind="malformed",
            file=CURVES,
            expected=_("a PNG, as analyse.py writes it"),
            found=data[:8].hex(" "),
            message=message,
        )
        return
    width = int.from_bytes(data[16:20], "big")
    if width < LEAST_WIDTH:
        message = _("The picture is too small to be read.")
        expected = _("at least {n} pixels wide").format(n=LEAST_WIDTH)
        yield mismatch(CURVES, None, expected, _("{n} pixels").format(n=width), message)
