"""Cost curves and roofs: what is drawn is the data, the words beside it are right, bad input is told apart."""

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from courselib import figures
from courselib.figures import Fit

NS = [1, 2, 4, 8]
LINES = {"without": (NS, [1.0, 4.0, 16.0, 64.0]), "with": (NS, [3.0, 3.0, 6.0, 12.0])}
SQUARE, LATE = Fit(1, 8, 2.0, 1.0), Fit(2, 8, 1.0, 1.5)


def curves(**changes: object) -> Figure:
    given = {"title": "Cost", "x": "words", "y": "FLOPs", "fits": {"without": [SQUARE], "with": [LATE]}}
    return figures.cost_curves(LINES, **{**given, "marks": {"slots": 4}, **changes})  # type: ignore[arg-type]


def texts(figure: Figure) -> dict[str, tuple[float, float]]:
    return {text.get_text(): text.xy for text in figure.axes[0].texts}


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_cost_curves_draws_each_cost_on_two_logarithmic_scales():
    axes = curves(fits={}, marks={}).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [tuple(map(list, line.get_data())) for line in axes.lines] == [(list(a), list(b)) for a, b in LINES.values()]
    first, second = axes.lines
    assert (first.get_linestyle(), first.get_marker()) != (second.get_linestyle(), second.get_marker())
    assert (axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()) == ("Cost", "words", "FLOPs")


def test_a_fit_is_drawn_over_its_own_range_only_with_its_exponent():
    figure = curves()
    first, square, second, late, slots = figure.axes[0].lines
    assert np.array_equal(square.get_xydata(), [[1, 1], [8, 64]])
    assert np.array_equal(late.get_xydata(), [[2, 3], [8, 12]])
    assert square.get_color() == first.get_color()
    assert late.get_color() == second.get_color()
    assert square.get_linewidth() > first.get_linewidth()
    assert list(slots.get_xdata()) == [4, 4]
    assert texts(figure)["2.00"] == pytest.approx((math.sqrt(8), 8))  # the middle of 1 to 8, on this scale
    assert texts(figure)["1.00"] == pytest.approx((4, 6))
    assert "slots" in texts(figure)
    assert legend(figure) == ["without", "with"]
    assert figures.alt(figure) == (
        "Cost. FLOPs against words, 1 to 8, both on logarithmic scales. without: 1 to 64, exponent 2.00 from 1 to 8; "
        "with: 3 to 12, exponent 1.00 from 2 to 8; marked: slots, 4."
    )


def test_one_curve_needs_no_legend_and_many_points_no_markers():
    many = np.arange(1, 100).tolist()
    figure = figures.cost_curves({"a": (many, many)}, title="", x="n", y="s")
    assert figure.axes[0].get_legend() is None
    assert figure.axes[0].lines[0].get_marker() == ""


@pytest.mark.parametrize("lines", [{}, dict.fromkeys("abcd", LINES["with"])])
def test_cost_curves_names_how_many_lines_it_draws(lines: dict):
    with pytest.raises(ValueError, match="expected 1 to 3 lines; found"):
        figures.cost_curves(lines, title="", x="", y="")


@pytest.mark.parametrize("line", [([], []), ([1, 2], [1.0]), ([0], [1.0]), ([1], [-1.0]), ([1], [math.inf])])
def test_cost_curves_names_the_line_that_does_not_fit(line: tuple[list[float], list[float]]):
    with pytest.raises(ValueError, match="cost_curves: bad: expected sizes and costs > 0"):
        figures.cost_curves({"good": LINES["with"], "bad": line}, title="", x="", y="")


def test_a_fit_belongs_to_a_line_and_a_mark_to_a_size():
    with pytest.raises(ValueError, match=r"a fit to else: there is no such line; expected some of \['without', 'with'"):
        curves(fits={"else": [SQUARE]})
    with pytest.raises(ValueError, match="cost_curves: slots: a size must be > 0, got 0"):
        curves(marks={"slots": 0})
    with pytest.raises(ValueError, match="cost_curves: with: a size must be > 0, got -1"):
        curves(fits={"with": [Fit(-1, 8, 1.0, 1.0)]})


MACHINES = {"small": (100e9, 200e9), "big": (3e12, 600e12)}
POINTS = {"prefill": [("", 8.0, 150e9)], "decode": [("B = 1", 0.5, 1e9), ("B = 4", 2.0, 4e9)]}


def test_roofline_draws_a_slope_and_a_flat_for_each_machine():
    figure = figures.roofline(MACHINES, POINTS, title="Roof")
    (axes,) = figure.axes
    for line, (bandwidth, rate) in zip(axes.lines, MACHINES.values(), strict=False):
        left, ridge, right = line.get_xydata()
        assert left[1] == pytest.approx(bandwidth * left[0])
        assert ridge == pytest.approx((rate / bandwidth, rate))
        assert right[1] == rate
        assert left[0] < 0.5
        assert right[0] > 8
    small, big, prefill, decode = axes.lines
    assert small.get_linestyle() != big.get_linestyle()  # told apart without colour too
    assert prefill.get_marker() != decode.get_marker()
    assert np.array_equal(prefill.get_xydata(), [[8, 150e9]])
    assert np.array_equal(decode.get_xydata(), [[0.5, 1e9], [2, 4e9]])
    assert set(texts(figure)) == {"small", "big", "B = 1", "B = 4"}  # an empty label is not drawn
    assert legend(figure) == ["prefill", "decode"]
    assert figures.alt(figure) == (
        "Roof. Roofs of small: 100 GB/s up to 2 FLOPs per byte, then 200 GFLOP/s; "
        "big: 3,000 GB/s up to 200 FLOPs per byte, then 600,000 GFLOP/s. "
        "prefill: 8 FLOPs per byte at 150 GFLOP/s. "
        "decode: 0.5 FLOPs per byte at 1 GFLOP/s (B = 1). decode: 2 FLOPs per byte at 4 GFLOP/s (B = 4)."
    )


def test_a_roof_may_stand_alone():
    figure = figures.roofline({"small": MACHINES["small"]}, {}, title="")
    assert len(figure.axes[0].lines) == 1
    assert figure.axes[0].get_legend() is None


@pytest.mark.parametrize(
    ("machines", "points", "message"),
    [
        ({}, POINTS, "expected 1 or 2 machines"),
        (dict.fromkeys("abc", (1.0, 1.0)), POINTS, "expected 1 or 2 machines"),
        (MACHINES, {name: [] for name in "abcd"}, "at most 3 groups of points; found 2 and 4"),
        ({"small": (0.0, 1.0)}, {}, "roofline: small: expected numbers > 0"),
        (MACHINES, {"decode": [("", 1.0, math.nan)]}, "roofline: decode: expected numbers > 0"),
    ],
)
def test_roofline_names_what_does_not_fit(machines: dict, points: dict, message: str):
    with pytest.raises(ValueError, match=message):
        figures.roofline(machines, points, title="")
