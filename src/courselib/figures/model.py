"""What a model says next, what its heads look at, and where in it something comes about."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike, NDArray

from .look import BLUE, INK, ORANGE, done, style
from .words import _

# White is nothing, and the most is a blue dark enough for white figures to be read on it.
_SHARES = LinearSegmentedColormap.from_list("shares", ["#FFFFFF", "#9CC9E3", BLUE, "#00385C"])


def next_words(panels: Mapping[str, Mapping[str, float]], *, title: str, lumped: Sequence[str] = ()) -> Figure:
    """The probabilities of next words after some beginnings: a panel each, on one scale.

    `panels`: at most 4 beginnings -> (word -> probability, 0 to 1), drawn in the order given. `lumped`: those of the
    words that stand for many together; their bars are hollow. Beginnings and words are the model's, and stay in its
    language; `title` and `lumped` are translated. Raises ValueError if they do not fit.
    """
    shares = [p for words in panels.values() for p in words.values()]
    if not 1 <= len(panels) <= 4 or not all(panels.values()) or not all(0 <= p <= 1 for p in shares):
        raise ValueError("next_words: expected 1 to 4 beginnings, each with words of a probability from 0 to 1")
    with style():
        figure, grid = plt.subplots(
            len(panels),
            1,
            sharex=True,
            squeeze=False,
            figsize=(5.0, 0.9 + sum(0.22 * len(words) + 0.3 for words in panels.values())),
            height_ratios=[len(words) for words in panels.values()],
        )
        figure.suptitle(_(title), x=0.02, ha="left", fontsize=12)
        for axes, (beginning, words) in zip(grid[:, 0], panels.items(), strict=True):
            axes.set_title(beginning, fontsize=10, pad=4)
            for i, (word, p) in enumerate(words.items()):
                axes.barh(i, p, 0.7, facecolor="white" if word in lumped else BLUE, edgecolor=BLUE, linewidth=1.2)
                axes.text(p + 0.012, i, f"{p:.1%}", va="center", fontsize=9)
            axes.set_yticks(range(len(words)), [_(word) if word in lumped else word for word in words], fontsize=9)
            axes.set_ylim(len(words) - 0.4, -0.6)  # the first word on top
            axes.set_xlim(0, 1.12)  # room for the figures
            axes.tick_params(length=0, labelsize=9)
            axes.grid(axis="y", visible=False)
        grid[-1, 0].set_xticks([0, 0.25, 0.5, 0.75, 1])
        grid[-1, 0].xaxis.set_major_formatter(PercentFormatter(1))
    said = "; ".join(
        f"after {beginning}: {', '.join(f'{word} {p:.1%}' for word, p in words.items())}"
        for beginning, words in panels.items()
    )
    return done(figure, f"{title}. {said}.")


def attention_map(words: Sequence[str], weights: ArrayLike, *, title: str) -> Figure:
    """What each word of a sentence attends to in one head: a line a word, a column for each word that it can see.

    `words`: T >= 1 words; `weights`: shape (T, T), from 0 to 1, 0 above the diagonal: line t is word t's attention, and
    adds up to 1. The last line is framed: it is the place where the next word forms. Weights of 0.1 and more are
    written out. Raises ValueError if the numbers do not fit.
    """
    share = np.asarray(weights, dtype=np.float64)
    T = len(words)
    if not T or share.shape != (T, T):
        raise ValueError(f"attention_map: {T} words need weights of shape ({T}, {T}); found {share.shape}")
    if np.triu(share, 1).any() or not np.allclose(share.sum(1), 1, atol=1e-3) or (share < 0).any():
        raise ValueError("attention_map: each line must be >= 0, add up to 1, and be 0 to the right of its own word")
    with style():
        side = 1.5 + 0.34 * T
        figure, axes = plt.subplots(figsize=(min(side + 0.6, 5.6), min(side, 5.0)))
        axes.set_title(_(title))
        _cells(axes, share, 1.0, lambda x: f"{x:.2f}".removeprefix("0") if x >= 0.1 else "")
        axes.set_xticks(range(T), words, rotation=45, ha="right", rotation_mode="anchor", fontsize=9)
        axes.set_yticks(range(T), words, fontsize=9)
        axes.set_xlabel(_("looks at"))
        axes.set_ylabel(_("the word"))
        axes.add_patch(Rectangle((-0.5, T - 1.5), T, 1, fill=False, edgecolor=ORANGE, linewidth=2, clip_on=False))
    most = int(share[-1].argmax())
    return done(
        figure,
        f"{title}. Attention among the words {' '.join(words)}: a triangle, since none looks ahead. The last one, "
        f"{words[-1]}, looks most at {words[most]}: {share[-1, most]:.2f} of its attention.",
    )


def by_head(panels: Mapping[str, ArrayLike], *, title: str, most: float, together: str = "") -> Figure:
    """One number for each head of a model, in each of one or two cases: a line a layer, a column a head.

    `panels`: case -> shape (L, H), from 0 to `most`, which is drawn darkest. With `together`, the heading of one more
    column, the shape is (L, H + 1): the last is of all heads of a layer, and set apart. Raises ValueError if they do
    not fit.
    """
    cells = {case: np.asarray(values, dtype=np.float64) for case, values in panels.items()}
    shapes = {values.shape for values in cells.values()}
    if not 1 <= len(cells) <= 2 or len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise ValueError(f"by_head: expected 1 or 2 cases of one shape (L, H); found {sorted(shapes)}")
    if not all(((x >= 0) & (x <= most)).all() for x in cells.values()):
        raise ValueError(f"by_head: expected numbers from 0 to {most:g}")
    L, columns = next(iter(shapes))
    headings = [str(i) for i in range(columns - bool(together))] + [_(together)] * bool(together)
    with style():
        figure, grid = plt.subplots(1, len(cells), sharey=True, squeeze=False, figsize=(5.0, 1.35 + 0.38 * L))
        figure.suptitle(_(title), x=0.02, ha="left", fontsize=12)
        for axes, (case, values) in zip(grid[0], cells.items(), strict=True):
            axes.set_title(_(case), fontsize=10, pad=6)
            _cells(axes, values, most, lambda x: f"{x:.0f}")
            axes.set_xticks(range(columns), headings, fontsize=9)
            axes.set_xlabel(_("head"), fontsize=10)
            if together:
                axes.axvline(columns - 1.5, color=INK, linewidth=2)
        grid[0, 0].set_yticks(range(L), [_("layer {layer}").format(layer=i) for i in range(L)], fontsize=9)
    said = "; ".join(f"{case}: {_extremes(values, headings)}" for case, values in cells.items())
    return done(figure, f"{title}, for each head of {L} layers. {said}.")


def by_layer(lines: Mapping[str, Sequence[float]], *, title: str, y: str) -> Figure:
    """How a share, from 0 to 1, develops from the words that go into a model to its last layer, in at most three cases.

    `lines`: case -> 1 + L numbers: before the first layer, and after each. `y`: what the share is of.
    Raises ValueError if they do not fit.
    """
    lengths = {len(line) for line in lines.values()}
    if not 1 <= len(lines) <= 3 or len(lengths) != 1 or min(lengths) < 2:
        raise ValueError(f"by_layer: expected 1 to 3 lines of one length, at least 2; found lengths {sorted(lengths)}")
    if not all(0 <= p <= 1 for line in lines.values() for p in line):
        raise ValueError("by_layer: expected shares from 0 to 1")
    looks: tuple[dict[str, Any], ...] = (
        {"color": BLUE, "marker": "o"},
        {"color": ORANGE, "marker": "s", "linestyle": "--"},
        {"color": INK, "marker": "^", "linestyle": ":"},
    )
    n = lengths.pop()
    with style():
        figure, axes = plt.subplots()
        axes.set_title(_(title))
        for (case, line), look in zip(lines.items(), looks, strict=False):
            axes.plot(range(n), line, markersize=6, label=_(case), **look)
        places = [_("before"), *(_("layer {layer}").format(layer=i) for i in range(n - 1))]
        axes.set_xticks(range(n), places, fontsize=10)
        axes.set_ylim(-0.03, 1.06)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set_ylabel(_(y))
        axes.legend(loc="lower right")
    said = "; ".join(f"{case}: {', '.join(f'{p:.0%}' for p in line)}" for case, line in lines.items())
    return done(figure, f"{title}: {y}, before the first layer and after each. {said}.")


def _cells(axes: Axes, values: NDArray[np.float64], most: float, write: Callable[[float], str]) -> None:
    """A map of values from 0 to `most`, with the number in each cell."""
    axes.imshow(values, cmap=_SHARES, vmin=0, vmax=most, aspect="auto", interpolation="nearest")
    for (i, j), x in np.ndenumerate(values):
        axes.text(j, i, write(x), ha="center", va="center", fontsize=8.5, color="white" if x > most / 2 else INK)
    axes.set_xticks(np.arange(values.shape[1] + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(values.shape[0] + 1) - 0.5, minor=True)
    axes.grid(visible=False)
    axes.grid(which="minor", color="#D9D9D9", linewidth=0.6)
    axes.tick_params(which="both", length=0)
    axes.spines[["top", "right"]].set_visible(True)


def _extremes(values: NDArray[np.float64], headings: Sequence[str]) -> str:
    def where(at: Any) -> str:
        layer, column = np.unravel_index(at, values.shape)
        return f"{values[layer, column]:.0f} (layer {layer}, {headings[column]})"

    return f"from {where(values.argmin())} to {where(values.argmax())}"
