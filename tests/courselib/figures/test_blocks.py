"""What programs take on, and trees of sums: what is drawn is the data, bad input is told apart."""

import pytest
from matplotlib.patches import Rectangle

from courselib import figures

IN_TURN = (((0, 1), 2), 3)
IN_PAIRS = ((0, 1), (2, 3))


def lanes(figure, inside: bool) -> set[tuple[float, float]]:
    cells = [p for p in figure.axes[0].patches if isinstance(p, Rectangle) and p.get_fill()]
    return {(int(p.get_x()), int(p.get_y())) for p in cells if bool(p.get_hatch()) != inside}


def test_tiles_of_a_row_number_its_lanes_and_hatch_those_past_the_end():
    figure = figures.tiles((5,), (4,), title="Five")
    assert lanes(figure, inside=True) == {(c, 0) for c in range(5)}
    assert lanes(figure, inside=False) == {(c, 0) for c in (5, 6, 7)}  # hatched: told apart without colour too
    written = [text.get_text() for text in figure.axes[0].texts]
    assert written == [*map(str, range(8)), "program 0", "program 1"]
    assert figures.alt(figure) == (
        "Five. 5 elements in blocks of 4: 2 programs with 8 lanes, of which 3 are past the end."
    )


def test_tiles_of_a_matrix_name_each_program():
    figure = figures.tiles((3, 5), (2, 4), title="")
    assert lanes(figure, inside=True) == {(c, r) for r in range(3) for c in range(5)}
    assert lanes(figure, inside=False) == {(c, r) for r in range(4) for c in range(8) if r == 3 or c > 4}
    frames = [p for p in figure.axes[0].patches if not p.get_fill()]
    assert [(p.get_xy(), p.get_width(), p.get_height()) for p in frames] == [
        ((x, y), 4, 2) for y in (0, 2) for x in (0, 4)
    ]
    assert [text.get_text() for text in figure.axes[0].texts] == ["(0, 0)", "(0, 1)", "(1, 0)", "(1, 1)"]
    assert "4 programs with 32 lanes, of which 17 are past the end" in figures.alt(figure)


def test_tiles_that_fit_mask_nothing():
    assert not lanes(figures.tiles((8,), (4,), title=""), inside=False)


@pytest.mark.parametrize(
    ("shape", "block"), [((), ()), ((4,), (2, 2)), ((0,), (4,)), ((4,), (0,)), ((2, 2, 2), (1, 1, 1)), ((17,), (16,))]
)
def test_tiles_names_what_does_not_fit(shape: tuple[int, ...], block: tuple[int, ...]):
    with pytest.raises(ValueError, match="tiles: expected"):
        figures.tiles(shape, block, title="")


def test_sum_trees_draws_an_addition_for_each_but_one_and_the_root_apart():
    figure = figures.sum_trees({"in turn": IN_TURN, "in pairs": IN_PAIRS}, title="Two")
    for axes, name, height in zip(figure.axes, ("in turn", "in pairs"), (3, 2), strict=True):
        dots = [line for line in axes.lines if line.get_marker() == "o"]
        assert len(dots) == 3
        (root,) = (line for line in axes.lines if line.get_marker() == "D")
        assert list(root.get_ydata()) == [height]
        assert axes.get_title(loc="left") == name
        assert axes.get_xlabel() == f"longest way: {height} additions"
    assert figures.alt(figure) == (
        "Two. in turn: (((0 + 1) + 2) + 3), at most 3 additions deep; "
        "in pairs: ((0 + 1) + (2 + 3)), at most 2 additions deep."
    )


def test_sum_trees_sets_places_in_the_order_in_which_they_meet():
    (axes,) = figures.sum_trees({"": ((0, 2), (1, 3))}, title="").axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "2", "1", "3"]
    lines = [line.get_xydata().tolist() for line in axes.lines if len(line.get_xdata()) == 3]
    assert lines == [
        [[0, 0], [0, 1], [0.5, 1]],
        [[1, 0], [1, 1], [0.5, 1]],
        [[2, 0], [2, 1], [2.5, 1]],
        [[3, 0], [3, 1], [2.5, 1]],
        [[0.5, 1], [0.5, 2], [1.5, 2]],
        [[2.5, 1], [2.5, 2], [1.5, 2]],
    ]


def test_three_trees_leave_a_place_empty():
    figure = figures.sum_trees(dict.fromkeys("abc", IN_PAIRS), title="")
    assert [axes.get_visible() for axes in figure.axes] == [True, True, True, False]


@pytest.mark.parametrize(
    "trees", [{}, dict.fromkeys("abcde", IN_TURN), {"a": 0}, {"a": (0, 0)}, {"a": (0, 2)}, {"a": ((0, 1), 1)}]
)
def test_sum_trees_names_what_does_not_fit(trees: dict):
    with pytest.raises(ValueError, match="sum_trees: "):
        figures.sum_trees(trees, title="")
