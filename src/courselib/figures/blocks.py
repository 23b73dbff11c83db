"""What the programs of a kernel take on, and in which order a sum is added."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, TypeAlias

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from .look import BLUE, EQUAL, GRID, INK, ORANGE, done, style
from .words import _

Tree: TypeAlias = "int | tuple[Tree, Tree]"  # a leaf's number, or the two parts whose sums are added


def tiles(shape: Sequence[int], block: Sequence[int], *, title: str) -> Figure:
    """How programs share out a row (N,) or a matrix (M, N), a block each, and which lanes reach past its end.

    `block`: as many sizes as `shape`, all >= 1. A row's lanes carry their numbers, a matrix's programs theirs. At most
    16 lanes a side, or they could not be told apart. Raises ValueError if they do not fit.
    """
    if not 1 <= len(shape) == len(block) <= 2 or min(*shape, *block) < 1:
        raise ValueError(f"tiles: expected a shape (N,) or (M, N), and a block size for each; found {shape}, {block}")
    rows, columns = shape if len(shape) == 2 else (1, *shape)
    tall, wide = block if len(block) == 2 else (1, *block)
    down, across = -(-rows // tall), -(-columns // wide)
    if max(down * tall, across * wide) > 16:
        raise ValueError(f"tiles: expected at most 16 lanes a side; found {down * tall} and {across * wide}")
    row = len(shape) == 1
    with style():
        figure, axes = plt.subplots(figsize=(5.0, 1.65) if row else (5.0, 1.4 + 3.0 * down * tall / (across * wide)))
        axes.set_title(_(title))
        for r, c in product(range(down * tall), range(across * wide)):
            inside = r < rows and c < columns
            look: dict[str, Any] = {"facecolor": EQUAL} if inside else {"facecolor": "white", "hatch": "////"}
            axes.add_patch(Rectangle((c, r), 1, 1, edgecolor="white" if inside else "#999999", linewidth=1, **look))
            if row:
                box = None if inside else {"facecolor": "white", "edgecolor": "none", "pad": 1.2}
                axes.text(c + 0.5, 0.5, str(c), ha="center", va="center", fontsize=10, bbox=box)
        for p, q in product(range(down), range(across)):
            axes.add_patch(Rectangle((q * wide, p * tall), wide, tall, fill=False, edgecolor=INK, linewidth=2.2))
            at = (q * wide + wide / 2, -0.25 if row else p * tall + tall / 2)
            name = _("program {pid}").format(pid=q) if row else f"({p}, {q})"
            box = None if row else {"facecolor": "white", "edgecolor": INK, "linewidth": 0.6, "boxstyle": "round"}
            axes.text(*at, name, ha="center", va="bottom" if row else "center", fontsize=10.5, bbox=box)
        axes.set_xlim(-0.1, across * wide + 0.1)
        axes.set_ylim(down * tall + 0.1, -1.0 if row else -0.1)
        axes.set_aspect("equal")
        axes.grid(visible=False)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(length=0)
        if row:
            axes.set_xticks([])
            axes.set_yticks([])
        else:
            axes.set_xticks([c + 0.5 for c in range(across * wide)], [str(c) for c in range(across * wide)])
            axes.set_yticks([r + 0.5 for r in range(down * tall)], [str(r) for r in range(down * tall)])
            axes.set_xlabel(_("column"))
            axes.set_ylabel(_("row"))
        handles = [
            Patch(facecolor=EQUAL, edgecolor=GRID, label=_("element")),
            Patch(facecolor="white", edgecolor="#999999", hatch="////", label=_("past the end: masked")),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=10)
    lanes = down * tall * across * wide
    return done(
        figure,
        f"{title}. {' by '.join(map(str, shape))} elements in blocks of {' by '.join(map(str, block))}: "
        f"{down * across} programs with {lanes} lanes, of which {lanes - rows * columns} are past the end.",
    )


def sum_trees(trees: Mapping[str, Tree], *, title: str) -> Figure:
    """In which order numbers are added: one to four sums, each as a tree over the places of its numbers.

    `trees`: name -> nested pairs, such as ((0, 1), (2, 3)) for (x0 + x1) + (x2 + x3); the leaves of each are the
    places 0 to n - 1, n >= 2. They stand in the order in which they meet, so that no two lines cross.
    Raises ValueError if there is nothing to draw, or a place is missing or comes twice.
    """
    if not 1 <= len(trees) <= 4:
        raise ValueError(f"sum_trees: expected 1 to 4 trees; found {len(trees)}")
    for name, tree in trees.items():
        places = list(_leaves(tree))
        if len(places) < 2 or sorted(places) != list(range(len(places))):
            raise ValueError(f"sum_trees: {name}: expected each place from 0 to n - 1 once; found {places}")
    rows, columns = (1, 1) if len(trees) == 1 else (-(-len(trees) // 2), 2)
    with style():
        figure, grid = plt.subplots(rows, columns, squeeze=False, figsize=(5.0, 2.9 if rows == columns else 2.4 * rows))
        figure.suptitle(_(title), x=0.02, ha="left", fontsize=12)
        for axes, (name, tree) in zip(grid.flat, trees.items(), strict=False):
            order = {place: x for x, place in enumerate(_leaves(tree))}
            x, height = _draw(axes, tree, order)
            axes.plot(x, height, "D", color=ORANGE, markersize=7, zorder=4)
            axes.set_title(_(name), fontsize=10.5, pad=5)
            axes.set_xlabel(_("longest way: {n} additions").format(n=height), fontsize=9.5)
            axes.set_xticks(list(order.values()), [str(place) for place in order], fontsize=9.5)
            axes.set_yticks([])
            axes.set_ylim(-0.12 * height, 1.12 * height)
            axes.grid(visible=False)
            axes.spines[["left", "bottom"]].set_visible(False)
            axes.tick_params(length=0)
        for axes in list(grid.flat)[len(trees) :]:
            axes.set_visible(False)
    ways = "; ".join(
        f"{name}: {_written(tree)}, at most {_height(tree)} additions deep" for name, tree in trees.items()
    )
    return done(figure, f"{title}. {ways}.")


def _draw(axes: Axes, tree: Tree, order: Mapping[int, int]) -> tuple[float, int]:
    """Draw a tree's lines and dots; answers where its root stands."""
    if isinstance(tree, int):
        axes.plot(order[tree], 0, "s", color=BLUE, markersize=4, zorder=3)
        return order[tree], 0
    height = _height(tree)
    ends = [_draw(axes, part, order) for part in tree]
    x = sum(end for end, _below in ends) / 2
    for end, below in ends:
        axes.plot([end, end, x], [below, height, height], color=INK, linewidth=1.3, zorder=2)
    axes.plot(x, height, "o", color=INK, markersize=4, zorder=3)
    return x, height


def _leaves(tree: Tree) -> Iterator[int]:
    if isinstance(tree, int):
        yield tree
    else:
        for part in tree:
            yield from _leaves(part)


def _height(tree: Tree) -> int:
    return 0 if isinstance(tree, int) else 1 + max(map(_height, tree))


def _written(tree: Tree) -> str:
    return str(tree) if isinstance(tree, int) else f"({' + '.join(map(_written, tree))})"
