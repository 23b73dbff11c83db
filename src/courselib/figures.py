"""Every plot of the course, in one look.

The look has to work in four places: a phone (narrow figures, large type), a dark page (an opaque white
ground: dark lines on a transparent one would vanish there, and both the book and Colab have dark pages), a
black-and-white print (lightness, dashes and markers tell things apart, never colour alone) and a
colour-blind eye (blue against orange, from the palette of Okabe and Ito, "Color Universal Design", 2008).

Each function draws one figure, returns it closed (so a notebook shows it once, as a cell's last value), and
writes down what it shows: `alt(figure)` is the text for those who do not see it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

BLUE, ORANGE, INK, GRID = "#0072B2", "#D55E00", "#222222", "#D9D9D9"

# A row that is equal is pale blue. The ramp for the others starts well below that in lightness and ends near
# black, so that in grey "equal" is still the one light thing in the picture.
EQUAL = "#DCEBF7"
RAMP = LinearSegmentedColormap.from_list("ulps", ["#F0A04B", "#D55E00", "#8A2B06", "#2B0A02"])

_RC = {
    "figure.figsize": (5.0, 3.2),  # inches: on a phone's 350 px the type is still readable
    "figure.dpi": 200,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,
    "savefig.facecolor": "white",
    "savefig.dpi": 200,
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.facecolor": "white",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}

_ALT: WeakKeyDictionary[Figure, str] = WeakKeyDictionary()


@contextmanager
def style() -> Iterator[None]:
    """Draw in the course's look: `with style(): figure, axes = plt.subplots()`. Undone at the end."""
    with plt.rc_context(), plt.style.context([_RC], after_reset=True):
        yield


def alt(figure: Figure) -> str:
    """What a figure of this module shows, in words. Raises ValueError for any other figure."""
    if figure not in _ALT:
        raise ValueError("no alt text: this figure was not drawn by courselib.figures; write its alt text yourself")
    return _ALT[figure]


def row_differences(ulps: ArrayLike, *, title: str) -> Figure:
    """A map of which K and V rows differ between two runs, and by how much.

    `ulps`: shape (2 L, S), whole numbers >= 0: the largest ULP distance within each row (over heads and
    d_h), 0 where the row's bytes are equal. Line 2 l is layer l's K, line 2 l + 1 its V; column s is slot s.
    Distances are coloured on a log scale; 0 has a colour of its own, outside that scale.

    Raises ValueError if the shape is not (2 L, S) or a distance is negative or not finite.
    """
    distance = _distances(ulps)
    lines, slots = distance.shape
    differing = int((distance > 0).sum())
    largest = float(distance.max())
    with style():
        figure, axes = plt.subplots(figsize=(5.0, 1.6 + 0.24 * max(lines, 8)))
        axes.set_title(title)
        axes.set_facecolor(EQUAL)  # what is equal is masked below, and shows the ground
        image = axes.imshow(
            np.ma.masked_equal(distance, 0),
            cmap=RAMP,
            norm=LogNorm(vmin=1, vmax=max(largest, 10)),
            aspect="auto",
            interpolation="nearest",
        )
        axes.set_xlabel("slot")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        axes.set_yticks(range(lines), [f"layer {i // 2} {'KV'[i % 2]}" for i in range(lines)])
        between_layers = np.arange(1.5, lines - 1, 2)
        axes.hlines(between_layers, -0.5, slots - 0.5, color="white", linewidth=1.5)
        axes.grid(False)
        axes.tick_params(length=0)
        axes.spines[["top", "right"]].set_visible(True)
        if differing:
            bar = figure.colorbar(image, ax=axes, label="ULPs, the largest in the row")
            bar.ax.yaxis.set_major_formatter(EngFormatter(sep=""))  # 100, 1k, 1M
        equal = Patch(facecolor=EQUAL, edgecolor=INK, linewidth=0.6, label="0 ULPs: the same bytes")
        figure.legend(handles=[equal], loc="outside lower left")
    apart = f"; the largest distance is {largest:,.0f} ULPs" if differing else ""
    return _done(
        figure,
        f"{title}. A map of {lines // 2} layers, K and V, by {slots} slots: "
        f"{differing:,} of {distance.size:,} rows differ{apart}.",
    )


def row_against_batch(sizes: Sequence[int], differing: Mapping[str, Sequence[int]], *, n_words: int) -> Figure:
    """How many words of one row's output differ from the row computed alone, against the rows in the call.

    `differing`: at most two lines by name, each as long as `sizes` (rows in the call, ascending), with whole numbers
    from 0 to `n_words`, the words of a row. Raises ValueError if they do not fit.
    """
    if not 1 <= len(differing) <= 2 or any(len(line) != len(sizes) or not len(sizes) for line in differing.values()):
        lengths = {name: len(line) for name, line in differing.items()}
        raise ValueError(f"row_against_batch: expected 1 or 2 lines of {len(sizes)} >= 1 numbers; found {lengths}")
    looks: tuple[dict[str, Any], ...] = ({"color": ORANGE}, {"color": BLUE, "linestyle": "--"})
    with style():
        figure, axes = plt.subplots()
        axes.set_title("One row's output, among other rows")
        for (name, line), look in zip(differing.items(), looks, strict=False):
            axes.plot(sizes, line, marker="o", markersize=3.5, label=name, **look)
        axes.set_xlabel("rows in the call")
        axes.set_ylabel(f"words that differ, of {n_words}")
        axes.set_ylim(-0.05 * n_words, 1.1 * n_words)
        axes.legend()
    worst = "; ".join(f"{name}: at most {max(line)}" for name, line in differing.items())
    return _done(
        figure,
        f"How many of the {n_words} words of one row differ from the row computed alone, for calls of {sizes[0]} to "
        f"{sizes[-1]} rows. {worst}.",
    )


def speed_ratios(
    panels: Mapping[str, Mapping[str, tuple[Sequence[int], Sequence[float]]]], *, title: str, x: str
) -> Figure:
    """How fast something is beside a peer, at many sizes: 1 is parity, and what lies below it is slower.

    `panels`: panel title -> line name -> (sizes, ratios): at most three lines a panel, the two sequences of one
    length, all numbers > 0. A panel with one line has no legend. Both scales are logarithmic and shared by all panels.
    `x`: what the sizes count. Raises ValueError if there is nothing to draw, or the numbers do not fit.
    """
    lines = [(f"{panel}, {name}", *line) for panel, named in panels.items() for name, line in named.items()]
    if not lines or any(not 1 <= len(named) <= 3 for named in panels.values()):
        counts = {panel: len(named) for panel, named in panels.items()}
        raise ValueError(f"speed_ratios: expected panels of 1 to 3 lines; found {counts}")
    for name, sizes, ratios in lines:
        if not len(sizes) == len(ratios) >= 1 or min(*sizes, *ratios) <= 0:
            raise ValueError(f"speed_ratios: {name}: expected sizes and ratios > 0, as many of one as of the other")
    all_ratios = [r for _, _, ratios in lines for r in ratios]
    low, high = min(*all_ratios, 1 / 1.15) / 1.05, max(*all_ratios, 1.15) * 1.1
    ticks = [t for t in (0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.5, 2, 3, 4, 6, 8, 16) if low <= t <= high]
    if high / low > 3:  # too many to be read apart
        ticks = [t for t in ticks if t in (0.25, 0.5, 1, 2, 4, 8, 16)]
    looks: tuple[dict[str, Any], ...] = (
        {"color": BLUE, "marker": "o"},
        {"color": ORANGE, "marker": "s", "linestyle": "--"},
        {"color": INK, "marker": "^", "linestyle": ":"},
    )
    rows = -(-len(panels) // 2)
    with style():
        figure, grid = plt.subplots(
            rows, min(len(panels), 2), sharex=True, sharey=True, squeeze=False, figsize=(5.0, 0.9 + 1.85 * rows)
        )
        figure.suptitle(title, x=0.02, ha="left", fontsize=12)
        for axes, (panel, named) in zip(grid.flat, panels.items(), strict=False):
            axes.set_title(panel, fontsize=10, pad=5)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_ylim(low, high)
            axes.axhspan(low, 1, facecolor=GRID, alpha=0.55, linewidth=0)  # slower: grey ground, not colour alone
            axes.axhline(1, color=INK, linewidth=1.2)
            for (name, (sizes, ratios)), look in zip(named.items(), looks, strict=False):
                axes.plot(sizes, ratios, markersize=3.5, linewidth=1.4, label=name, **look)
            axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
            axes.yaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_locator(LogLocator(base=2, numticks=6))
            axes.xaxis.set_major_formatter(lambda n, _: f"{n:g}" if n < 1024 else f"{n / 1024:g}k")
            axes.xaxis.set_minor_locator(NullLocator())
            axes.tick_params(labelsize=9, labelbottom=True)
            if len(named) > 1:
                axes.legend(fontsize=8, handlelength=2.2)
        for axes in list(grid.flat)[len(panels) :]:
            axes.set_visible(False)
        figure.supxlabel(x, fontsize=11)
    slower = sum(r < 1 for r in all_ratios)
    return _done(
        figure,
        f"{title}, for {'; '.join(panels)}: {slower} of {len(all_ratios)} points lie below 1; "
        f"the lowest is {min(all_ratios):.2f}, the highest {max(all_ratios):.2f}.",
    )


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
        axes.set_title(title)
        axes.set_yscale("log")
        others = [value for value in orders if value != exact]
        axes.vlines(others, 0.7, [orders[value] for value in others], color=BLUE, linewidth=1.4)
        axes.plot(others, [orders[value] for value in others], "o", color=BLUE, markersize=2.5, label="other answers")
        if exact in orders:
            axes.vlines(exact, 0.7, orders[exact], color=ORANGE, linewidth=1.8)
            axes.plot(exact, orders[exact], "D", color=ORANGE, markersize=7, label=f"the exact sum, {exact:,g}")
        axes.set_ylim(0.7, max(counts) * 8)  # room for the legend
        axes.yaxis.set_major_formatter(lambda n, _: f"{n:,g}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.grid(axis="x", visible=False)
        axes.set_xlabel("answer")
        axes.set_ylabel("orders that give it")
        axes.legend(loc="upper center", ncols=2, columnspacing=1.2, handletextpad=0.3)
    likeliest = max(orders, key=orders.__getitem__)
    return _done(
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
        axes.set_title(title)
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
        axes.plot(kept, [1] * len(kept), "o", color=BLUE, markersize=6, label="exact sum, a float")
        axes.plot(moved, [1] * len(moved), "D", color=ORANGE, markersize=6, label="exact sum, between floats")
        axes.plot([], [], "|", color=INK, markersize=11, markeredgewidth=2.2, label="float")
        axes.set_ylim(-0.35, 1.25)
        axes.set_xlim(floats[0] - 0.6, floats[-1] + 0.6)
        axes.set_yticks([])
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True))
        axes.xaxis.set_major_formatter(lambda n, _: f"{n:+g}".replace("-", "\N{MINUS SIGN}") if n else "0")
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.set_xlabel(x)
        figure.legend(
            loc="outside lower center", ncols=3, fontsize=10, columnspacing=0.8, handletextpad=0.1, borderaxespad=0.0
        )
    where = "; ".join(f"{a:+g} to {b:+g}" for a, b in zip(exact, rounded, strict=True) if a != b)
    return _done(
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
        axes.set_title("How far from the exact sum")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.axhspan(0.08, 0.5, facecolor=EQUAL, linewidth=0)
        axes.text(terms[-1], 0.095, "up to half an ULP: as near as a float can be", fontsize=8.5, ha="right")
        for (name, line), look in zip(errors.items(), looks, strict=False):
            axes.plot(terms, np.maximum(line, 0.1), markersize=4, label=name, **look)
        axes.set_ylim(0.08, None)
        axes.xaxis.set_major_locator(LogLocator(base=2, numticks=8))
        axes.xaxis.set_major_formatter(lambda n, _: f"{n:,g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(lambda n, _: f"{n:,g}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("numbers in the sum")
        axes.set_ylabel("ULPs")
        axes.legend()
    last = "; ".join(f"{name}: {line[-1]:,.2g}" for name, line in errors.items())
    return _done(
        figure,
        f"Errors of sums of {terms[0]:,} to {terms[-1]:,} numbers, in ULPs of the exact sum. For the longest: {last}.",
    )


def loss_curve(steps: Sequence[float], train: Sequence[float], held_out: Sequence[float]) -> Figure:
    """Training and held-out loss over a training run, with the step where the held-out loss is lowest.

    `steps`, `train` and `held_out` have one length N >= 1; losses are cross-entropy in nats a token.
    Raises ValueError if the lengths differ or there is nothing to draw.
    """
    if not (len(steps) == len(train) == len(held_out) >= 1):
        raise ValueError(
            f"loss_curve: steps, train and held_out need one length, at least 1; "
            f"found {len(steps)}, {len(train)} and {len(held_out)}"
        )
    best = int(np.argmin(held_out))
    with style():
        figure, axes = plt.subplots()
        axes.set_title("Loss while training")
        axes.plot(steps, train, color=BLUE, linestyle="--", label="training sentences")
        axes.plot(steps, held_out, color=ORANGE, label="held-out sentences")
        lowest = f"lowest held-out loss: {held_out[best]:.2f}, at step {steps[best]:,}"
        axes.plot(steps[best], held_out[best], "o", color=INK, label=lowest)
        axes.set_xlabel("step")
        axes.set_ylabel("cross-entropy (nats a token)")
        axes.legend()
    return _done(
        figure,
        f"Loss while training, steps {steps[0]:,} to {steps[-1]:,}: "
        f"on training sentences from {train[0]:.2f} to {train[-1]:.2f}, "
        f"on held-out sentences from {held_out[0]:.2f} to {held_out[-1]:.2f}; {lowest}.",
    )


def _distances(ulps: ArrayLike) -> NDArray[np.float64]:
    distance = np.asarray(ulps).astype(np.float64)
    if distance.ndim != 2 or distance.shape[0] % 2 or not distance.size:
        raise ValueError(
            f"row_differences: ulps needs shape (2 L, S), a line each for K and V of every layer; "
            f"found shape {distance.shape}"
        )
    if not np.isfinite(distance).all() or (distance < 0).any():
        raise ValueError("row_differences: a ULP distance is a whole number >= 0; found one negative or not finite")
    return distance


def _done(figure: Figure, text: str) -> Figure:
    _ALT[figure] = text
    plt.close(figure)  # else a notebook shows it a second time
    return figure
