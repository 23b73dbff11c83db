"""Lab 03, done for you: what is in a Matplotlib figure, as plain data. This is all that the checker sees of a plot."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import same_color, to_hex, to_rgba
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

NOTHING = ("None", "none", "", " ", None)  # the names of no line, and of no marker


def figure_as_data(figure: Figure) -> dict:
    """Its axes, each with labels, scales, limits, and every line or cloud of points that is drawn in it."""
    figure.draw_without_rendering()  # limits that follow from the data are settled now
    legends = list(figure.legends)
    return {"axes": [_axes(axes, legends) for axes in figure.axes if axes.get_visible()]}


def _axes(axes: Axes, shared: list[Legend]) -> dict:
    own = axes.get_legend()
    legends = [*shared, own] if own else shared
    written = [text.get_text() for legend in legends for text in legend.get_texts()]
    clouds = [c for c in axes.collections if isinstance(c, PathCollection)]
    return {
        "title": axes.get_title() or axes.get_title("left") or axes.get_title("right"),
        "x": _scale(axes.get_xscale(), axes.get_xlim(), axes.get_xlabel()),
        "y": _scale(axes.get_yscale(), axes.get_ylim(), axes.get_ylabel()),
        "names": [*written, *(text.get_text() for text in axes.texts)],
        "lines": [*_lines(axes, legends), *(_cloud(axes, cloud) for cloud in clouds)],
    }


def _scale(scale: str, limits: tuple[float, float], label: str) -> dict:
    return {"scale": scale, "limits": _numbers(limits), "label": label}


def _lines(axes: Axes, legends: list[Legend]) -> list[dict]:
    bars = [c for c in axes.containers if isinstance(c, ErrorbarContainer)]
    names = {id(bar[0]): str(bar.get_label()) for bar in bars}  # the name of a line with error bars is its container's
    caps = {id(cap) for bar in bars for cap in bar[1]}
    lines = [line for line in axes.lines if id(line) not in caps]
    return [_line(axes, line, names.get(id(line)) or _name(line, legends)) for line in lines]


def _name(line: Line2D, legends: list[Legend]) -> str:
    """Its own label; or, after legend(["one", "two"]), which gives a line none, what stands beside its look there."""
    name = str(line.get_label())
    if name.startswith("_"):
        for legend in legends:
            for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=False):
                if isinstance(handle, Line2D) and _look(handle) == _look(line):
                    return text.get_text()
    return name


def _look(line: Line2D) -> tuple[str, str, str]:
    return to_hex(line.get_color()), str(line.get_linestyle()), str(line.get_marker())


def _line(axes: Axes, line: Line2D, name: str) -> dict:
    stroke = str(line.get_linestyle()) if line.get_linestyle() not in NOTHING and line.get_linewidth() else ""
    marker = str(line.get_marker()) if line.get_marker() not in NOTHING and line.get_markersize() else ""
    return {
        "name": name,
        "x": _numbers(line.get_xdata(orig=False)),
        "y": _numbers(line.get_ydata(orig=False)),
        "stroke": stroke,
        "marker": f"{marker} {line.get_fillstyle()}" if marker else "",
        "every": line.get_markevery() is None,
        "seen": _seen(axes, line, line.get_color() if stroke else line.get_markeredgecolor()),
    }


def _cloud(axes: Axes, points: PathCollection) -> dict:
    """plt.scatter: points and no line."""
    x, y = np.asarray(points.get_offsets(), dtype=float).reshape(-1, 2).T
    paths, colours = points.get_paths(), np.atleast_2d(points.get_facecolor())
    hollow = len(colours) == 0
    return {
        "name": str(points.get_label()),
        "x": _numbers(x),
        "y": _numbers(y),
        "stroke": "",
        "marker": f"a shape of {len(np.asarray(paths[0].vertices))} corners" if paths else "",
        "every": True,
        "seen": _seen(axes, points, np.atleast_2d(points.get_edgecolor())[0] if hollow else colours[0]),
    }


def _seen(axes: Axes, artist: Any, colour: Any) -> bool:
    """Does it leave a trace on the paper?"""
    alpha = to_rgba(colour)[3] if artist.get_alpha() is None else artist.get_alpha()
    return bool(artist.get_visible() and alpha >= 0.2 and not same_color(to_hex(colour), to_hex(axes.get_facecolor())))


def _numbers(values: Any) -> list[float | None]:
    """null for what is no number, or not a finite one."""
    found = []
    for value in values:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        found.append(number if math.isfinite(number) else None)
    return found
