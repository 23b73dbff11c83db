"""The figures: what is drawn is the data, the words beside it are right, bad input is told apart."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import LogNorm, to_rgb
from matplotlib.figure import Figure

from courselib import figures

ULPS = np.array([[0, 0, 3], [0, 1, 4096], [0, 2, 2], [0, 0, 70]])


def lightness(colour: object) -> float:
    """Relative luminance of an sRGB colour, 0 (black) to 1 (white); WCAG 2.2, "relative luminance"."""
    channels = np.array(to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(a: object, b: object) -> float:
    """Contrast ratio of two colours, 1 (none) to 21; WCAG 2.2, "contrast ratio"."""
    low, high = sorted((lightness(a), lightness(b)))
    return (high + 0.05) / (low + 0.05)


def legend_texts(figure: Figure) -> list[str]:
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
    return [text.get_text() for legend in legends for text in legend.get_texts()]


def test_row_differences_draws_every_distance_and_leaves_equal_rows_out_of_the_scale():
    figure = figures.row_differences(ULPS, title="Stock ops")
    axes, bar = figure.axes
    drawn = axes.images[0].get_array()
    assert np.array_equal(np.ma.getmaskarray(drawn), ULPS == 0)
    assert np.array_equal(drawn.filled(0), ULPS)
    assert isinstance(axes.images[0].norm, LogNorm)
    assert (axes.images[0].norm.vmin, axes.images[0].norm.vmax) == (1, 4096)
    assert axes.get_title(loc="left") == "Stock ops"
    assert [t.get_text() for t in axes.get_yticklabels()] == [
        "layer 0 K",
        "layer 0 V",
        "layer 1 K",
        "layer 1 V",
    ]
    assert axes.get_xlabel() == "slot"
    assert "ULPs" in bar.get_ylabel()
    assert to_rgb(axes.get_facecolor()) == to_rgb(figures.EQUAL)
    assert legend_texts(figure) == ["0 ULPs: the same bytes"]


def test_equal_rows_need_no_scale():
    figure = figures.row_differences(np.zeros((4, 5), int), title="Fixed order")
    assert len(figure.axes) == 1
    assert np.ma.getmaskarray(figure.axes[0].images[0].get_array()).all()
    assert "0 of 20 rows differ." in figures.alt(figure)


def test_one_ulp_is_told_from_equal_without_colour():
    assert contrast(figures.EQUAL, figures.RAMP(0.0)) > 1.5
    ramp = [lightness(figures.RAMP(x)) for x in np.linspace(0, 1, 33)]
    assert all(a > b for a, b in pairwise(ramp))


@pytest.mark.parametrize("shape", [(3, 4), (4,), (2, 2, 2), (0, 4), (4, 0)])
def test_row_differences_names_a_wrong_shape(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"needs shape \(2 L, S\)"):
        figures.row_differences(np.zeros(shape), title="")


@pytest.mark.parametrize("bad", [-1, np.nan, np.inf])
def test_row_differences_refuses_what_is_no_distance(bad: float):
    with pytest.raises(ValueError, match="negative or not finite"):
        figures.row_differences([[0, 1], [bad, 0]], title="")


def test_loss_curve_draws_both_losses_and_marks_the_lowest_held_out():
    steps, train, held_out = [0, 100, 200], [4.0, 1.0, 0.5], [4.1, 1.2, 1.5]
    figure = figures.loss_curve(steps, train, held_out)
    first, second, lowest = figure.axes[0].lines
    assert np.array_equal(first.get_xydata(), np.column_stack([steps, train]))
    assert np.array_equal(second.get_xydata(), np.column_stack([steps, held_out]))
    assert first.get_linestyle() != second.get_linestyle()  # told apart without colour too
    assert np.array_equal(lowest.get_xydata(), [[100, 1.2]])
    assert "lowest held-out loss: 1.20, at step 100" in legend_texts(figure)
    assert "nats" in figure.axes[0].get_ylabel()


@pytest.mark.parametrize("data", [([], [], []), ([1, 2], [1.0], [1.0, 2.0])])
def test_loss_curve_names_unequal_lengths(data: tuple[list[float], list[float], list[float]]):
    with pytest.raises(ValueError, match="need one length"):
        figures.loss_curve(*data)


def test_row_against_batch_draws_each_line_and_its_worst():
    differing = {"stock": [0, 5, 8], "fixed order": [0, 0, 0]}
    figure = figures.row_against_batch([1, 2, 3], differing, n_words=8)
    first, second = figure.axes[0].lines
    assert np.array_equal(first.get_xydata(), [[1, 0], [2, 5], [3, 8]])
    assert np.array_equal(second.get_xydata(), [[1, 0], [2, 0], [3, 0]])
    assert first.get_linestyle() != second.get_linestyle()  # told apart without colour too
    assert legend_texts(figure) == ["stock", "fixed order"]
    assert "of 8" in figure.axes[0].get_ylabel()
    assert figures.alt(figure).endswith("calls of 1 to 3 rows. stock: at most 8; fixed order: at most 0.")


@pytest.mark.parametrize("differing", [{}, {"a": [1]}, {"a": [1, 2], "b": [1, 2], "c": [1, 2]}])
def test_row_against_batch_names_what_does_not_fit(differing: dict[str, list[int]]):
    with pytest.raises(ValueError, match="expected 1 or 2 lines of 2"):
        figures.row_against_batch([1, 2], differing, n_words=8)


PANELS = {
    "softmax": {"D = 8": ([1, 16], [2.0, 0.9]), "D = 9": ([1, 16], [3.0, 1.5])},
    "norm": {"D = 8": ([1, 4, 16], [1.0, 1.25, 0.8])},
    "sum": {"D = 8": ([2], [1.5])},
}


def test_speed_ratios_draws_every_ratio_and_a_line_at_one():
    figure = figures.speed_ratios(PANELS, title="Beside it", x="rows")
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == list(PANELS)
    for axes, named in zip(shown, PANELS.values(), strict=True):
        parity, *lines = axes.lines
        assert list(parity.get_ydata()) == [1, 1]
        assert [tuple(map(list, line.get_data())) for line in lines] == list(named.values())
        assert len({line.get_linestyle() for line in lines}) == len(lines)  # told apart without colour too
        low, high = axes.get_ylim()
        assert low < 0.8
        assert high > 3
    assert legend_texts(figure) == ["D = 8", "D = 9"]  # a single line needs no name
    assert figures.alt(figure) == (
        "Beside it, for softmax; norm; sum: 2 of 8 points lie below 1; the lowest is 0.80, the highest 3.00."
    )


@pytest.mark.parametrize(
    "panels", [{}, {"a": {}}, {"a": {"x": ([1], [])}}, {"a": {"x": ([0], [1.0])}}, {"a": {"x": ([1], [-1.0])}}]
)
def test_speed_ratios_names_what_does_not_fit(panels: dict[str, dict[str, tuple[list[int], list[float]]]]):
    with pytest.raises(ValueError, match="speed_ratios: "):
        figures.speed_ratios(panels, title="", x="")


def test_answers_draws_a_line_for_each_and_marks_the_exact_one():
    figure = figures.answers([5.0, 6.0, 7.0], [2, 3, 9], exact=6, title="All orders")
    others, exact = figure.axes[0].lines
    assert np.array_equal(others.get_xydata(), [[5, 2], [7, 9]])
    assert np.array_equal(exact.get_xydata(), [[6, 3]])
    assert others.get_marker() != exact.get_marker()  # told apart without colour too
    assert legend_texts(figure) == ["other answers", "the exact sum, 6"]
    assert figures.alt(figure) == (
        "All orders. 3 answers in 14 orders, from 5 to 7; the exact sum, 6, comes out 3 times; "
        "the commonest answer, 7, 9 times."
    )


def test_answers_may_all_be_wrong():
    figure = figures.answers([5.0, 7.0], [2, 9], exact=6, title="")
    assert legend_texts(figure) == ["other answers"]
    assert "the exact sum, 6, comes out 0 times" in figures.alt(figure)


@pytest.mark.parametrize(("values", "counts"), [([], []), ([1.0], [1, 2]), ([1.0, 1.0], [1, 2]), ([1.0], [0])])
def test_answers_names_what_does_not_fit(values: list[float], counts: list[int]):
    with pytest.raises(ValueError, match="answers: expected different values"):
        figures.answers(values, counts, exact=0, title="")


def test_rounding_draws_an_arrow_from_each_exact_result():
    figure = figures.rounding([1, 2, 3], [0, 2, 4], floats=[0, 2, 4], title="Lands", x="distance")
    (axes,) = figure.axes
    assert [(text.xyann[0], text.xy[0]) for text in axes.texts] == [(1, 0), (2, 2), (3, 4)]
    kept, moved = (line for line in axes.lines if line.get_label().startswith("exact"))
    assert list(kept.get_xdata()) == [2]
    assert list(moved.get_xdata()) == [1, 3]
    assert kept.get_marker() != moved.get_marker()  # told apart without colour too
    assert figures.alt(figure) == ("Lands. Floats at +0, +2, +4, counted as distance. Rounded: +1 to +0; +3 to +4.")


@pytest.mark.parametrize(("exact", "rounded", "floats"), [([], [], [0, 1]), ([1], [1, 2], [1, 2]), ([1], [3], [1, 2])])
def test_rounding_names_what_does_not_fit(exact: list[float], rounded: list[float], floats: list[float]):
    with pytest.raises(ValueError, match="rounding: expected"):
        figures.rounding(exact, rounded, floats, title="", x="")


def test_sum_errors_draws_each_order_and_half_an_ulp():
    errors = {"in turn": [1.0, 8.0], "Kahan": [0.5, 0.0]}
    figure = figures.sum_errors([4, 16], errors)
    first, second = figure.axes[0].lines
    assert np.array_equal(first.get_xydata(), [[4, 1], [16, 8]])
    assert np.array_equal(second.get_xydata(), [[4, 0.5], [16, 0.1]])  # no logarithm of 0
    assert (first.get_linestyle(), first.get_marker()) != (second.get_linestyle(), second.get_marker())
    assert legend_texts(figure) == ["in turn", "Kahan"]
    assert figures.alt(figure).endswith("For the longest: in turn: 8; Kahan: 0.")


@pytest.mark.parametrize("errors", [{}, {"a": [1.0]}, {name: [1.0, 2.0] for name in "abcde"}])
def test_sum_errors_names_what_does_not_fit(errors: dict[str, list[float]]):
    with pytest.raises(ValueError, match="expected 1 to 4 lines of 2"):
        figures.sum_errors([1, 2], errors)


def test_alt_says_what_the_figure_shows():
    text = figures.alt(figures.row_differences(ULPS, title="Stock ops"))
    assert text == (
        "Stock ops. A map of 2 layers, K and V, by 3 slots: 6 of 12 rows differ; the largest distance is 4,096 ULPs."
    )
    assert "1.20, at step 100" in figures.alt(figures.loss_curve([0, 100], [4.0, 1.0], [4.1, 1.2]))
    with pytest.raises(ValueError, match="no alt text"):
        figures.alt(Figure())


def test_style_is_undone_and_no_figure_stays_open():
    before = dict(plt.rcParams)
    with figures.style():
        assert plt.rcParams["figure.facecolor"] == "white"
    figures.row_differences(ULPS, title="")
    assert dict(plt.rcParams) == before
    assert plt.get_fignums() == []


def test_the_ground_is_opaque_white():
    for figure in (figures.row_differences(ULPS, title=""), figures.loss_curve([0], [1.0], [1.0])):
        assert figure.get_facecolor() == (1, 1, 1, 1)
