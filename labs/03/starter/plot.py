"""Lab 03: the cost curves. TODO 8.

After each change: python analyse.py, and look at curves.png. figure.json is the same figure as the checker sees it.
"""

import matplotlib.pyplot as plt
from fit import median
from matplotlib.figure import Figure


def draw(results: dict) -> Figure:
    """Median time of a decode step, against length and against batch, with a cache and without.

    results["points"]: a list of {"sweep": "length" or "batch", "cache": True or False, "B", "n", "samples_ns"}, in any
    order. Along the length sweep n grows, along the batch sweep B does. results["warmup"]: how many samples of each
    point come first and are not to be used. Rely on nothing else in it: other results are drawn too.
    """
    # TODO 8: in each panel two lines, with a cache and without. The brief says what makes a figure honest.
    figure, panels = plt.subplots(1, 2, figsize=(8.0, 3.6), layout="constrained")
    for axes in panels:
        axes.text(0.5, 0.5, "nothing is drawn yet", ha="center")
    return figure
