"""What a KV cache saves, and where its rows lie."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from .look import BLUE, EQUAL, GRID, INK, ORANGE, done, style
from .words import _


def rows_computed(new: Sequence[int], again: Sequence[int]) -> Figure:
    """How many rows of K and V a model computes at each step of a generation without a cache: those that it never had
    before, and on top of them those that it computes again. With a cache only the first remain.

    `new`, `again`: a whole number >= 0 for each step. Raises ValueError if they do not fit, or nothing is computed.
    """
    if not len(new) == len(again) >= 1 or min(*new, *again) < 0 or not sum(new) + sum(again):
        raise ValueError(
            f"rows_computed: expected as many counts >= 0 of rows computed again as of new ones, not all 0; "
            f"found {len(new)} and {len(again)}"
        )
    steps = range(len(new))
    with style():
        figure, axes = plt.subplots()
        axes.set_title(_("Rows of K and V, computed at each step"))
        axes.bar(steps, new, width=1.0, color=BLUE, label=_("new: {n:,} in all").format(n=sum(new)))
        axes.bar(
            steps,
            again,
            bottom=new,
            width=1.0,
            facecolor="white",
            edgecolor=ORANGE,
            hatch="////",
            linewidth=0,
            label=_("computed before: {n:,} in all").format(n=sum(again)),
        )
        axes.step(
            [-0.5, *steps, steps[-1] + 0.5],
            [0, *np.add(new, again), 0],
            where="mid",
            color=ORANGE,
            linewidth=1.2,
        )
        axes.set_xlim(-0.5, len(new) - 0.5)
        axes.set_xlabel(_("step"))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        axes.yaxis.set_major_formatter(lambda n, _: f"{n:,g}")
        axes.grid(axis="x", visible=False)
        axes.legend(loc="upper left", reverse=True, frameon=True, facecolor="white", edgecolor="none", framealpha=1)
    share = sum(again) / (sum(new) + sum(again))
    return done(
        figure,
        f"Rows of K and V computed at each of {len(new)} steps. Computed before: from {again[0]:,} at the first step "
        f"to {again[-1]:,} at the last, {sum(again):,} in all, {share:.0%} of the work. New: {sum(new):,} in all.",
    )


def slot_map(lengths: Mapping[str, int], max_slots: int, *, title: str) -> Figure:
    """The slots of a contiguous cache: a line for each sequence, with the slots that it holds up to its cursor.

    `lengths`: name of a sequence -> slots held, 0 to `max_slots`. Raises ValueError if they do not fit.
    """
    if not lengths or not all(0 <= n <= max_slots for n in lengths.values()):
        raise ValueError(
            f"slot_map: expected sequences that hold 0 to {max_slots} slots; found {list(lengths.values())}"
        )
    cursors = list(lengths.values())
    held = np.arange(max_slots) < np.array(cursors)[:, None]  # (B, max_slots)
    lines = np.arange(len(cursors))
    with style():
        figure, axes = plt.subplots(figsize=(5.0, 1.5 + 0.45 * len(cursors)))
        axes.set_title(_(title))
        axes.pcolormesh(
            np.arange(max_slots + 1) - 0.5,
            np.arange(len(cursors) + 1) - 0.5,
            held,
            cmap=ListedColormap(["white", BLUE]),
            vmin=0,
            vmax=1,
            edgecolors=GRID,
            linewidth=1.2,
        )
        axes.vlines(np.array(cursors) - 0.5, lines - 0.42, lines + 0.42, color=ORANGE, linewidth=3)
        axes.plot(np.array(cursors) - 0.5, lines - 0.42, "v", color=ORANGE, markersize=7, clip_on=False)
        axes.set_ylim(len(cursors) - 0.5, -0.65)  # the first sequence on top
        axes.set_yticks(lines, [_(name) for name in lengths])
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        axes.set_xlabel(_("slot"))
        axes.grid(visible=False)
        axes.tick_params(length=0)
        axes.spines[["left", "bottom"]].set_visible(False)
        handles = [
            Patch(facecolor=BLUE, label=_("held")),
            Patch(facecolor="white", edgecolor=INK, linewidth=0.6, label=_("means nothing")),
            Line2D([], [], color=ORANGE, linewidth=3, marker="v", markersize=7, label=_("cursor")),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=10, borderaxespad=0.0)
    where = "; ".join(f"{name}: {n}" for name, n in lengths.items())
    return done(
        figure,
        f"{title}. Of {max_slots} slots for each sequence, from slot 0 up to its cursor, these are held: {where}. "
        f"{held.size - int(held.sum()):,} of {held.size:,} slots mean nothing.",
    )


def page_map(tables: Mapping[str, Sequence[int]], lengths: Mapping[str, int], *, page: int, n_pages: int) -> Figure:
    """Where the slots of some sequences lie in a paged cache: above, each sequence's pages in their order; below, the
    pages as they lie in memory.

    `tables`: name of a sequence (a letter or two) -> its pages, in order; at most three sequences. `lengths`: the same
    names -> slots held. `page`: slots of a page. `n_pages`: pages in memory.
    Raises ValueError if a page is not in memory or has two owners, or the slots held do not fit the pages.
    """
    taken = [p for pages in tables.values() for p in pages]
    if not 1 <= len(tables) <= 3 or tables.keys() != lengths.keys() or page < 1:
        raise ValueError(f"page_map: expected 1 to 3 sequences with a length each; found {list(tables)}")
    if len(taken) != len(set(taken)) or not all(0 <= p < n_pages for p in taken):
        raise ValueError(f"page_map: expected pages from 0 to {n_pages - 1}, each with one owner; found {taken}")
    if any(not (len(tables[name]) - 1) * page < n <= len(tables[name]) * page for name, n in lengths.items()):
        raise ValueError(f"page_map: lengths {dict(lengths)} do not fill pages of {page}: {dict(tables)}")
    looks = dict(zip(tables, (EQUAL, ORANGE, INK), strict=False))  # three lightnesses
    owner = {p: (name, i) for name, pages in tables.items() for i, p in enumerate(pages)}

    def held(name: str, i: int) -> int:
        return min(page, lengths[name] - i * page)

    longest, line = max(map(len, tables.values())), min(n_pages, 6)
    lines = -(-n_pages // line)
    with style():
        figure, (above, below) = plt.subplots(
            2, 1, figsize=(5.0, 1.7 + 0.62 * (len(tables) + lines)), height_ratios=[len(tables), lines]
        )
        above.set_title(_("Each sequence: its pages, in order"))
        for y, (name, pages) in enumerate(tables.items()):
            for i, p in enumerate(pages):
                _page(above, i, y, page, held(name, i), looks[name], str(p))
        above.set_yticks(range(len(tables)), [_(name) for name in tables])
        _frame(above, max(longest, line), len(tables))
        below.set_title(_("Memory: the pages as they lie"))
        for p in range(n_pages):
            y, x = divmod(p, line)
            if p in owner:
                name, i = owner[p]
                _page(below, x, y, page, held(name, i), looks[name], f"{p}: {_(name)}")
            else:
                _page(below, x, y, page, 0, "white", str(p))
        below.set_yticks([])
        _frame(below, max(longest, line), lines)
        handles = [
            *(Patch(facecolor=c, edgecolor=INK, linewidth=0.8, label=_(name)) for name, c in looks.items()),
            Patch(facecolor="white", edgecolor=INK, linewidth=0.8, label=_("empty slot")),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=10, borderaxespad=0.0)
    where = "; ".join(
        f"{name}, {lengths[name]} slots, in pages {', '.join(map(str, pages))}" for name, pages in tables.items()
    )
    free = n_pages - len(taken)
    empty = len(taken) * page - sum(lengths.values())
    return done(
        figure,
        f"{n_pages} pages of {page} slots: {where}. {free} pages are free, and {empty} slots of the others are empty.",
    )


def _page(axes: Axes, x: int, y: int, slots: int, held: int, colour: str, label: str) -> None:
    # One page: a cell for each slot, those held in colour, and the page's number above.
    width = 0.88 / slots
    for s in range(slots):
        axes.add_patch(
            Rectangle(
                (x + s * width, y - 0.22),
                width,
                0.44,
                facecolor=colour if s < held else "white",
                edgecolor=GRID,
                linewidth=0.8,
            )
        )
    axes.add_patch(Rectangle((x, y - 0.22), 0.88, 0.44, fill=False, edgecolor=INK, linewidth=1.1))
    axes.text(x + 0.44, y - 0.27, label, fontsize=9, ha="center", va="bottom")


def _frame(axes: Axes, pages: int, lines: int) -> None:
    axes.set_xlim(-0.05, pages - 0.05)
    axes.set_ylim(lines - 0.7, -0.65)
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
