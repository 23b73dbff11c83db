"""Every plot of the course, in one look.

The look has to work in four places: a phone (narrow figures, large type), a dark page (an opaque white
ground: dark lines on a transparent one would vanish there, and both the book and Colab have dark pages), a
black-and-white print (lightness, dashes and markers tell things apart, never colour alone) and a
colour-blind eye (blue against orange, from the palette of Okabe and Ito, "Color Universal Design", 2008).

Each function draws one figure, returns it closed (so a notebook shows it once, as a cell's last value), and
writes down what it shows: `alt(figure)` is the text for those who do not see it. Every word that is drawn can be
translated: see `courselib.figures.words`.
"""

from .blocks import sum_trees, tiles
from .cache import page_map, rows_computed, slot_map
from .costs import Fit, cost_curves, roofline
from .look import BLUE, EQUAL, GRID, INK, ORANGE, RAMP, alt, style
from .model import attention_map, by_head, by_layer, next_words
from .rows import row_against_batch, row_differences
from .speed import speed_ratios
from .sums import answers, rounding, sum_errors
from .training import loss_curve

__all__ = [
    "BLUE",
    "EQUAL",
    "GRID",
    "INK",
    "ORANGE",
    "RAMP",
    "Fit",
    "alt",
    "answers",
    "attention_map",
    "by_head",
    "by_layer",
    "cost_curves",
    "loss_curve",
    "next_words",
    "page_map",
    "roofline",
    "rounding",
    "row_against_batch",
    "row_differences",
    "rows_computed",
    "slot_map",
    "speed_ratios",
    "style",
    "sum_errors",
    "sum_trees",
    "tiles",
]
