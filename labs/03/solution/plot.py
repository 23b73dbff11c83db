"""Lab 03: the cost curves."""

import matplotlib.pyplot as plt
from fit import median
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

LOOKS = {  # dashes and markers too: not everybody sees colours, and not every page is printed in them
    True: {"label": "with a cache", "color": "#0072B2", "marker": "o", "linestyle": "-"},
    False: {"label": "without", "color": "#D55E00", "marker": "s", "linestyle": "--"},
}
PANELS = {"length": ("n", "length (tokens)"), "batch": ("B", "batch (sequences)")}


def draw(results: dict) -> Figure:
    """Median time of a decode step, against length and against batch, with a cache and without."""
    figure, panels = plt.subplots(1, 2, figsize=(8.0, 3.6), sharey=True, layout="constrained")
    for axes, (sweep, (letter, name)) in zip(panels, PANELS.items(), strict=True):
        for cache, look in LOOKS.items():
            points = [p for p in results["points"] if (p["sweep"], p["cache"]) == (sweep, cache)]
            points.sort(key=lambda p: p[letter])
            x = [p[letter] for p in points]
            axes.plot(x, [median(p["samples_ns"], results["warmup"]) / 1e6 for p in points], **look)
            axes.fill_between(  # from the fastest sample to the slowest
                x,
                [min(p["samples_ns"][results["warmup"] :]) / 1e6 for p in points],
                [max(p["samples_ns"][results["warmup"] :]) / 1e6 for p in points],
                color=look["color"],
                alpha=0.2,
                linewidth=0,
            )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(name)
        axes.set_ylabel("time of one step (ms)")
        axes.tick_params(labelleft=True)
        axes.grid(color="#D9D9D9")
        axes.legend()
    return figure
