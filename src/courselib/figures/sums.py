"""What a sum comes to, and how far off it is."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from .look import BLUE, EQUAL, INK, ORANGE, done, style
from .words import _


def answers(values: Sequence[float], counts: Sequence[int], *, exact: float, title: str) -> Figure:
    """Which answers one sum has, and in how many orders each comes out. The exact sum stands out if it is among them.

    `values`: N >= 1 different answers; `counts`: in how many orders each was found, all >= 1.
    Raises ValueError if they do not fit.
    """
    if not len(values) == len(set(values)) == len(counts) >= 1 or min(counts) < 1:
        raise ValueError(
            f"answers: expected different values with a count >= 1 each; found {len(values)}, {len(counts)}"
        )
    orders = dict(zip(values, counts, strict=True))
    with style():
        figure, axes = plt.subplots()
        axes.set_title(_(title))
        axes.set_yscale("log")
        others = [value for value in orders if value != exact]
        axes.vlines(others, 0.7, [orders[value] for value in others], color=BLUE, linewidth=1.4)
        axes.plot(
            others, [orders[value] for value in others], "o", color=BLUE, markersize=2.5, label=_("other answers")
        )
        if exact in orders:
            axes.vlines(exact, 0.7, orders[exact], color=ORANGE, linewidth=1.8)
            axes.plot(
                exact,
                orders[exact],
                "D",
                color=ORANGE,
                markersize=7,
                label=_("the exact sum, {exact:,g}").format(exact=exact),
            )
        axes.set_ylim(0.7, max(counts) * 8)  # room for the legend
        axes.yaxis.set_major_formatter(lambda n, _: f"{n:,g}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.grid(axis="x", visible=False)
        axes.set_xlabel(_("answer"))
        axes.set_ylabel(_("orders that give it"))
        axes.legend(loc="upper center", ncols=2, columnspacing=1.2, handletextpad=0.3)
    likeliest = max(orders, key=orders.__getitem__)
    return done(
        figure,
        f"{title}. {len(orders):,} answers in {sum(counts):,} orders, from {min(values):,g} to {max(values):,g}; "
        f"the exact sum, {exact:,g}, comes out {orders.get(exact, 0):,} times; the commonest answer, {likeliest:,g}, "
        f"{orders[likeliest]:,} times.",
    )


def rounding(
    exact: Sequence[float], rounded: Sequence[float], floats: Sequence[float], *, title: str, x: str
) -> Figure:
    """A piece of the number line: the floats that exist on it, and to which of them each exact result is rounded.

    `floats`: ascending, at least 2; each of `rounded` is one of them, as many as `exact`. `x`: what the numbers are.
    Raises ValueError if they do not fit.
    """
    if not len(exact) == len(rounded) >= 1 or len(floats) < 2 or not set(rounded) <= set(floats):
        raise ValueError("rounding: expected as many rounded results as exact ones, at least 1, each one of the floats")
    with style():
        figure, axes = plt.subplots(figsize=(5.0, 2.5))
        axes.set_title(_(title))
        axes.vlines(floats, -0.16, 0.16, color=INK, linewidth=2.2)
        axes.axhline(0, color=INK, linewidth=1.2)
        for a, b in zip(exact, rounded, strict=True):
            arrow = {
                "arrowstyle": "-|>",
                "color": BLUE if a == b else ORANGE,
                "linewidth": 1.6,
                "shrinkA": 3,
                "shrinkB": 1,
            }
            axes.annotate("", xy=(b, 0.2), xytext=(a, 1), arrowprops=arrow)
        kept = [a for a, b in zip(exact, rounded, strict=True) if a == b]
        moved = [a for a, b in zip(exact, rounded, strict=True) if a != b]
        axes.plot(kept, [1] * len(kept), "o", color=BLUE, markersize=6, label=_("exact sum, a float"))
        axes.plot(moved, [1] * len(moved), "D", color=ORANGE, markersize=6, label=_("exact sum, between floats"))
        axes.plot([], [], "|", color=INK, markersize=11, markeredgewidth=2.2, label=_("float"))
        axes.set_ylim(-0.35, 1.25)
        axes.set_xlim(floats[0] - 0.6, floats[-1] + 0.6)
        axes.set_yticks([])
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True))
        axes.xaxis.set_major_formatter(lambda n, _: f"{n:+g}".replace("-", "\N{MINUS SIGN}") if n else "0")
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.set_xlabel(_(x))
        figure.legend(
            loc="outside lower center", ncols=3, fontsize=10, columnspacing=0.8, handletextpad=0.1, borderaxespad=0.0
        )
    where = "; ".join(f"{a:+g} to {b:+g}" for a, b in zip(exact, rounded, strict=True) if a != b)
    return done(
        figure,
        f"{title}. Floats at {', '.join(f'{n:+g}' for n in floats)}, counted as {x}. Rounded: {where or 'nothing'}.",
    )


def sum_errors(terms: Sequence[int], errors: Mapping[str, Sequence[float]]) -> Figure:
    """How far sums are from the exact one, in ULPs, against the number of their terms, in at most four orders.

    `errors`: order -> as many numbers >= 0 as `terms` has; `terms` ascending and > 0. Both scales are logarithmic, and
    half an ULP, as near as a float can always come, is marked. Errors below 0.1 are drawn there.
    Raises ValueError if they do not fit.
    """
    if not 1 <= len(errors) <= 4 or any(len(line) != len(terms) or not len(terms) for line in errors.values()):
        lengths = {name: len(line) for name, line in errors.items()}
        raise ValueError(f"sum_errors: expected 1 to 4 lines of {len(terms)} >= 1 numbers; found {lengths}")
    looks: tuple[dict[str, Any], ...] = (
        {"color": ORANGE, "marker": "s"},
        {"color": BLUE, "marker": "o", "linestyle": "--"},
        {"color": INK, "marker": "^", "linestyle": ":"},
        {"color": "#777777", "marker": "D", "linestyle": "-."},
    )
    with style():
        figure, axes = plt.subplots(figsize=(5.0, 3.6))
        axes.set_title(_("How far from the exact sum"))
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.axhspan(0.08, 0.5, facecolor=EQUAL, linewidth=0)
        axes.text(terms[-1], 0.095, _("up to half an ULP: as near as a float can be"), fontsize=8.5, ha="right")
        for (name, line), look in zip(errors.items(), looks, strict=False):
            axes.plot(terms, np.maximum(line, 0.1), markersize=4, label=_(name), **look)
        axes.set_ylim(0.08, None)
        axes.xaxis.set_major_locator(LogLocator(base=2, numticks=8))
        axes.xaxis.set_major_formatter(lambda n, _: f"{n:,g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(lambda n, _: f"{n:,g}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(_("numbers in the sum"))
        axes.set_ylabel(_("ULPs"))
        axes.legend()
    last = "; ".join(f"{name}: {line[-1]:,.2g}" for name, line in errors.items())
    return done(
        figure,
        f"Errors of sums of {terms[0]:,} to {terms[-1]:,} numbers, in ULPs of the exact sum. For the longest: {last}.",
    )
