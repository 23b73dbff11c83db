"""What something costs as it grows, and what a machine allows."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from .look import BLUE, GRID, INK, ORANGE, done, style
from .words import _

_LOOKS: tuple[dict[str, Any], ...] = (
    {"color": ORANGE, "marker": "s", "linestyle": "--"},
    {"color": BLUE, "marker": "o"},
    {"color": INK, "marker": "^", "linestyle": ":"},
)


class Fit(NamedTuple):
    """A power law, factor * x**exponent, that was fitted to the points with low <= x <= high."""

    low: float
    high: float
    exponent: float
    factor: float


def cost_curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    title: str,
    x: str,
    y: str,
    fits: Mapping[str, Sequence[Fit]] | None = None,
    marks: Mapping[str, float] | None = None,
) -> Figure:
    """What something costs against its size, both on logarithmic scales, where a power law is a straight line.

    `lines`: at most three by name -> (sizes, costs), of one length, all > 0. `fits`: by the name of a line, power laws;
    each is drawn as a straight stroke over its own range only, with its exponent beside it. `marks`: sizes to be marked
    by an upright line, by name. `x`, `y`: what the axes count, with the unit.
    Raises ValueError if there is nothing to draw, the numbers do not fit, or a fit belongs to no line.
    """
    fits, marks = fits or {}, marks or {}
    if not 1 <= len(lines) <= len(_LOOKS):
        raise ValueError(f"cost_curves: expected 1 to {len(_LOOKS)} lines; found {len(lines)}")
    for name, (sizes, costs) in lines.items():
        if not len(sizes) == len(costs) >= 1 or not all(isfinite(n) and n > 0 for n in (*sizes, *costs)):
            raise ValueError(f"cost_curves: {name}: expected sizes and costs > 0, as many of one as of the other")
    if lost := [name for name in fits if name not in lines]:
        raise ValueError(f"cost_curves: a fit to {lost[0]}: there is no such line; expected some of {[*lines]}")
    for name, size in [*marks.items(), *((name, n) for name, some in fits.items() for f in some for n in f[:2])]:
        if not isfinite(size) or size <= 0:
            raise ValueError(f"cost_curves: {name}: a size must be > 0, got {size}")
    with style():
        figure, axes = plt.subplots(figsize=(5.0, 3.6))
        axes.set_title(_(title))
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        for i, ((name, (sizes, costs)), look) in enumerate(zip(lines.items(), _LOOKS, strict=False)):
            own = fits.get(name, ())
            thin = {"linewidth": 0.9, "alpha": 0.75} if own else {}  # the strokes stand out
            many = {"marker": ""} if len(sizes) > 24 else {"markersize": 4.5}
            axes.plot(sizes, costs, label=_(name), **{**look, **thin, **many})
            for fit in own:
                _stroke(axes, fit, look["color"], above=i == 0)
        for i, (name, size) in enumerate(marks.items()):
            axes.axvline(size, color=INK, linewidth=1, linestyle=(0, (1, 2)))
            axes.annotate(
                _(name), (size, 0.03 + 0.09 * (i % 2)), xycoords=axes.get_xaxis_transform(),
                xytext=(-4, 0), textcoords="offset points", ha="right", fontsize=9,
            )  # fmt: skip
        _scales(axes)
        axes.set_xlabel(_(x))
        axes.set_ylabel(_(y))
        low, high = axes.get_ylim()
        axes.set_ylim(low / (high / low) ** 0.08, high * (high / low) ** 0.12)  # room for the exponents
        if len(lines) > 1:
            axes.legend(loc="upper left", fontsize=9.5)
    ranges = [min(sizes) for sizes, _costs in lines.values()] + [max(sizes) for sizes, _costs in lines.values()]
    said = [
        f"{name}: {costs[0]:,.3g} to {costs[-1]:,.3g}"
        + "".join(f", exponent {f.exponent:.2f} from {f.low:g} to {f.high:g}" for f in fits.get(name, ()))
        for name, (_sizes, costs) in lines.items()
    ]
    said += [f"marked: {name}, {size:,g}" for name, size in marks.items()]
    return done(
        figure,
        f"{title}. {y} against {x}, {min(ranges):,g} to {max(ranges):,g}, both on logarithmic scales. "
        f"{'; '.join(said)}.",
    )


def roofline(
    machines: Mapping[str, tuple[float, float]],
    points: Mapping[str, Sequence[tuple[str, float, float]]],
    *,
    title: str,
) -> Figure:
    """What a machine allows (a roof: bandwidth times intensity, up to its best rate), and what was reached under it.

    The method is Williams, Waterman and Patterson's, "Roofline: an insightful visual performance model", 2009.
    `machines`: 1 or 2 by name -> (bytes a second, FLOPs a second). `points`: at most three groups by name -> (label,
    FLOPs per byte, FLOPs a second); an empty label is not drawn. All numbers > 0.
    Raises ValueError if there is nothing to draw, or the numbers do not fit.
    """
    if not 1 <= len(machines) <= 2 or len(points) > len(_LOOKS):
        raise ValueError(
            f"roofline: expected 1 or 2 machines and at most {len(_LOOKS)} groups of points; "
            f"found {len(machines)} and {len(points)}"
        )
    numbers = {name: [*rates] for name, rates in machines.items()}
    for name, group in points.items():
        numbers[name] = [n for point in group for n in point[1:]]
    for name, some in numbers.items():
        if not all(isfinite(n) and n > 0 for n in some):
            raise ValueError(f"roofline: {name}: expected numbers > 0, got {some}")
    ridges = {name: rate / bandwidth for name, (bandwidth, rate) in machines.items()}
    at = [*ridges.values(), *(point[1] for group in points.values() for point in group)]
    left, right = min(at) / 4, max(at) * 4
    with style():
        figure, axes = plt.subplots(figsize=(5.0, 3.9))
        axes.set_title(_(title))
        axes.set_xscale("log")
        axes.set_yscale("log")
        for (name, (bandwidth, rate)), dashes in zip(machines.items(), ("-", "--"), strict=False):
            x = np.array([left, ridges[name], right])
            axes.plot(x, np.minimum(bandwidth * x, rate), color=INK, linestyle=dashes, linewidth=1.6)
            axes.vlines(ridges[name], 0, rate, color=GRID, linewidth=1.2, linestyle=dashes)
            axes.annotate(
                _(name), (right, rate), xytext=(-2, 4), textcoords="offset points", ha="right", va="bottom", fontsize=9
            )
        for (name, group), look in zip(points.items(), _LOOKS, strict=False):
            axes.plot(
                [p[1] for p in group], [p[2] for p in group],
                color=look["color"], marker=look["marker"], markersize=5, linewidth=0, label=_(name),
            )  # fmt: skip
            for label, intensity, rate in group:
                if label:
                    axes.annotate(
                        _(label), (intensity, rate), xytext=(5, -3), textcoords="offset points", va="top", fontsize=8
                    )
        axes.set_xlim(left, right)
        rates = [r for _bandwidth, r in machines.values()] + [p[2] for group in points.values() for p in group]
        axes.set_ylim(min(rates) / 4, max(rates) * 4)
        axes.xaxis.set_major_formatter(lambda n, _pos: f"{n:g}")
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_locator(NullLocator())
        axes.set_xlabel(_("FLOPs per byte"))
        axes.set_ylabel(_("FLOPs a second"))
        if points:
            axes.legend(loc="upper left", fontsize=9)
    roofs = "; ".join(
        f"{name}: {_short(bandwidth / 1e9)} GB/s up to {_short(ridges[name])} FLOPs per byte, "
        f"then {_short(rate / 1e9)} GFLOP/s"
        for name, (bandwidth, rate) in machines.items()
    )
    reached = "".join(
        f" {name}: {_short(intensity)} FLOPs per byte at {_short(rate / 1e9)} GFLOP/s{f' ({label})' if label else ''}."
        for name, group in points.items()
        for label, intensity, rate in group
    )
    return done(figure, f"{title}. Roofs of {roofs}.{reached}")


def _short(n: float) -> str:
    """Three digits, and no exponent: 0.501, 2,970, 788,000."""
    return f"{float(f'{n:.3g}'):,.10g}"


def _stroke(axes: Axes, fit: Fit, color: str, above: bool) -> None:
    ends = np.array([fit.low, fit.high])
    axes.plot(ends, fit.factor * ends**fit.exponent, color=color, linewidth=3, solid_capstyle="butt", zorder=3)
    middle = float(np.sqrt(fit.low * fit.high))
    axes.annotate(
        f"{fit.exponent:.2f}", (middle, fit.factor * middle**fit.exponent),
        xytext=(-3, 6) if above else (3, -6), textcoords="offset points",
        ha="right" if above else "left", va="bottom" if above else "top", fontsize=10, fontweight="bold",
    )  # fmt: skip


def _scales(axes: Axes) -> None:
    axes.xaxis.set_major_locator(LogLocator(base=2, numticks=9))
    axes.xaxis.set_major_formatter(lambda n, _pos: f"{n:g}" if n < 1024 else f"{n / 1024:g}k")
    axes.yaxis.set_major_locator(LogLocator(numticks=8))
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))  # 10µ, 100, 1k, 1M
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
