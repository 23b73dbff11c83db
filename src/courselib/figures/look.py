"""The look that every figure has: colours, sizes, type; and the alt text that goes with each."""

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import matplotlib.pyplot as plt
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

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


def done(figure: Figure, text: str) -> Figure:
    _ALT[figure] = text
    plt.close(figure)  # else a notebook shows it a second time
    return figure
