"""The figures of the KV cache: what is drawn is the data, the words beside it are right, bad input is told apart."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from courselib import figures


def legend_texts(figure: Figure) -> list[str]:
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
    return [text.get_text() for legend in legends for text in legend.get_texts()]


# ------------------------------------------------------------------------------------------------ rows_computed


def test_rows_computed_stacks_what_is_done_again_on_what_is_new():
    figure = figures.rows_computed(new=[32, 16, 16], again=[0, 32, 48])
    (axes,) = figure.axes
    below, above = axes.containers
    assert [bar.get_height() for bar in below] == [32, 16, 16]
    assert [(bar.get_y(), bar.get_height()) for bar in above] == [(32, 0), (16, 32), (16, 48)]
    assert all(bar.get_hatch() for bar in above)  # told apart without colour too
    assert not any(bar.get_hatch() for bar in below)
    assert set(legend_texts(figure)) == {"new: 64 in all", "computed before: 80 in all"}
    assert figures.alt(figure) == (
        "Rows of K and V computed at each of 3 steps. Computed before: from 0 at the first step to 48 at the last, "
        "80 in all, 56% of the work. New: 64 in all."
    )


@pytest.mark.parametrize(("new", "again"), [([], []), ([1], [1, 2]), ([1], [-1]), ([0], [0])])
def test_rows_computed_names_what_does_not_fit(new: list[int], again: list[int]):
    with pytest.raises(ValueError, match="rows_computed: expected"):
        figures.rows_computed(new, again)


# ------------------------------------------------------------------------------------------------ slot_map


def test_slot_map_fills_each_sequence_up_to_its_cursor():
    figure = figures.slot_map({"one": 2, "none": 0, "all": 4}, 4, title="Three")
    (axes,) = figure.axes
    held = axes.collections[0].get_array()
    assert np.array_equal(held, [[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    (cursors,) = axes.lines
    assert [(x + 0.5, round(y)) for x, y in cursors.get_xydata()] == [(2, 0), (0, 1), (4, 2)]
    bottom, top = axes.get_ylim()
    assert bottom > top  # the first sequence is the top one
    assert [label.get_text() for label in axes.get_yticklabels()] == ["one", "none", "all"]
    assert legend_texts(figure) == ["held", "means nothing", "cursor"]
    assert figures.alt(figure) == (
        "Three. Of 4 slots for each sequence, from slot 0 up to its cursor, these are held: one: 2; none: 0; all: 4. "
        "6 of 12 slots mean nothing."
    )


@pytest.mark.parametrize("lengths", [{}, {"a": -1}, {"a": 1, "b": 5}])
def test_slot_map_names_what_does_not_fit(lengths: dict[str, int]):
    with pytest.raises(ValueError, match="sequences that hold 0 to 4 slots"):
        figures.slot_map(lengths, 4, title="")


# ------------------------------------------------------------------------------------------------ page_map

TABLES = {"A": [0, 3], "B": [1]}
LENGTHS = {"A": 3, "B": 2}


def cells(figure: Figure, axes: int) -> list[Rectangle]:
    return [patch for patch in figure.axes[axes].patches if patch.get_fill()]


def colours(boxes: list[Rectangle]) -> list[tuple[float, ...]]:
    return [to_rgb(box.get_facecolor()) for box in boxes]


def test_page_map_draws_every_slot_twice_by_sequence_and_by_page():
    figure = figures.page_map(TABLES, LENGTHS, page=2, n_pages=5)
    a, b, white = to_rgb(figures.EQUAL), to_rgb(figures.ORANGE), (1, 1, 1)
    assert colours(cells(figure, 0)) == [a, a, a, white, b, b]
    assert colours(cells(figure, 1)) == [a, a, b, b, white, white, a, white, white, white]
    above, below = ([text.get_text() for text in axes.texts] for axes in figure.axes)
    assert above == ["0", "3", "1"]
    assert below == ["0: A", "1: B", "2", "3: A", "4"]  # told apart without colour too
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["A", "B"]
    assert legend_texts(figure) == ["A", "B", "empty slot"]
    assert figures.alt(figure) == (
        "5 pages of 2 slots: A, 3 slots, in pages 0, 3; B, 2 slots, in pages 1. "
        "2 pages are free, and 1 slots of the others are empty."
    )


def test_page_map_may_need_more_than_a_line_for_the_memory():
    figure = figures.page_map({"A": [8]}, {"A": 1}, page=1, n_pages=9)
    boxes = cells(figure, 1)
    assert len({round(box.get_y(), 3) for box in boxes}) == 2
    assert colours(boxes).count((1, 1, 1)) == 8


@pytest.mark.parametrize(
    ("tables", "lengths", "page", "says"),
    [
        ({}, {}, 2, "1 to 3 sequences"),
        ({name: [i] for i, name in enumerate("ABCD")}, dict.fromkeys("ABCD", 1), 2, "1 to 3 sequences"),
        (TABLES, {"A": 3}, 2, "1 to 3 sequences"),
        (TABLES, LENGTHS, 0, "1 to 3 sequences"),
        ({"A": [0, 5], "B": [1]}, LENGTHS, 2, "pages from 0 to 4"),
        ({"A": [0, 1], "B": [1]}, LENGTHS, 2, "each with one owner"),
        (TABLES, {"A": 5, "B": 2}, 2, "do not fill pages"),
        (TABLES, {"A": 2, "B": 2}, 2, "do not fill pages"),  # its second page would be empty
    ],
)
def test_page_map_names_what_does_not_fit(tables: dict[str, list[int]], lengths: dict[str, int], page: int, says: str):
    with pytest.raises(ValueError, match=says):
        figures.page_map(tables, lengths, page=page, n_pages=5)
