"""Which rows differ, and in what company."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from .look import BLUE, EQUAL, INK, ORANGE, RAMP, done, style
from .words import _


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
        axes.set_title(_(title))
        axes.set_facecolor(EQUAL)  # what is equal is masked below, and shows the ground
        image = axes.imshow(
            np.ma.masked_equal(distance, 0),
            cmap=RAMP,
            norm=LogNorm(vmin=1, vmax=max(largest, 10)),
            aspect="auto",
            interpolation="nearest",
        )
        axes.set_xlabel(_("slot"))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        axes.set_yticks(
            range(lines), [_("layer {layer} {pair}").format(layer=i // 2, pair="KV"[i % 2]) for i in range(lines)]
        )
        between_layers = np.arange(1.5, lines - 1, 2)
        axes.hlines(between_layers, -0.5, slots - 0.5, color="white", linewidth=1.5)
        axes.grid(False)
        axes.tick_params(length=0)
        axes.spines[["top", "right"]].set_visible(True)
        if differing:
            bar = figure.colorbar(image, ax=axes, label=_("ULPs, the largest in the row"))
            bar.ax.yaxis.set_major_formatter(EngFormatter(sep=""))  # 100, 1k, 1M
        equal = Patch(facecolor=EQUAL, edgecolor=INK, linewidth=0.6, label=_("0 ULPs: the same bytes"))
        figure.legend(handles=[equal], loc="outside lower left")
    apart = f"; the largest distance is {largest:,.0f} ULPs" if differing else ""
    return done(
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
        axes.set_title(_("One row's output, among other rows"))
        for (name, line), look in zip(differing.items(), looks, strict=False):
            axes.plot(sizes, line, marker="o", markersize=3.5, label=_(name), **look)
        axes.set_xlabel(_("rows in the call"))
        axes.set_ylabel(_("words that differ, of {n_words}").format(n_words=n_words))
        axes.set_ylim(-0.05 * n_words, 1.1 * n_words)
        axes.legend()
    worst = "; ".join(f"{name}: at most {max(line)}" for name, line in differing.items())
    return done(
        figure,
        f"How many of the {n_words} words of one row differ from the row computed alone, for calls of {sizes[0]} to "
        f"{sizes[-1]} rows. {worst}.",
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
