"""How fast something is beside a peer."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from .look import BLUE, GRID, INK, ORANGE, done, style
from .words import _


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
        figure.suptitle(_(title), x=0.02, ha="left", fontsize=12)
        for axes, (panel, named) in zip(grid.flat, panels.items(), strict=False):
            axes.set_title(_(panel), fontsize=10, pad=5)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_ylim(low, high)
            axes.axhspan(low, 1, facecolor=GRID, alpha=0.55, linewidth=0)  # slower: grey ground, not colour alone
            axes.axhline(1, color=INK, linewidth=1.2)
            for (name, (sizes, ratios)), look in zip(named.items(), looks, strict=False):
                axes.plot(sizes, ratios, markersize=3.5, linewidth=1.4, label=_(name), **look)
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
        figure.supxlabel(_(x), fontsize=11)
    slower = sum(r < 1 for r in all_ratios)
    return done(
        figure,
        f"{title}, for {'; '.join(panels)}: {slower} of {len(all_ratios)} points lie below 1; "
        f"the lowest is {min(all_ratios):.2f}, the highest {max(all_ratios):.2f}.",
    )
