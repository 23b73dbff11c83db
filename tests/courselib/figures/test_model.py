"""Next words, attention, heads: what is drawn is the data, each figure says what it shows, bad input is told apart."""

import numpy as np
import pytest

from courselib.figures import alt, attention_map, by_head, by_layer, next_words

PANELS = {"Yesterday I": {"worked": 0.14, "played": 0.07, "others": 0.79}, "Tomorrow I": {"will": 1.0}}
WEIGHTS = np.array([[1, 0, 0], [0.75, 0.25, 0], [0.05, 0.9, 0.05]])
WORDS = ["Yesterday", "I", "worked"]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_next_words_draws_every_probability_and_writes_it_out():
    figure = next_words(PANELS, title="Next", lumped=["others"])
    for axes, (beginning, words) in zip(figure.axes, PANELS.items(), strict=True):
        assert axes.get_title(loc="left") == beginning
        assert [bar.get_width() for bar in axes.patches] == list(words.values())
        assert [label.get_text() for label in axes.get_yticklabels()] == list(words)
    assert texts(figure.axes[0]) == ["14.0%", "7.0%", "79.0%"]
    *single, many = [bar.get_facecolor() for bar in figure.axes[0].patches]
    assert many == (1, 1, 1, 1)
    assert many not in single
    assert "after Yesterday I: worked 14.0%, played 7.0%, others 79.0%; after Tomorrow I: will 100.0%" in alt(figure)


@pytest.mark.parametrize("panels", [{}, {"a": {}}, {"a": {"b": 1.1}}, {"a": {"b": -0.1}}, {"a": {"b": float("nan")}}])
def test_next_words_refuses_what_are_no_probabilities(panels):
    with pytest.raises(ValueError, match="next_words: expected 1 to 4 beginnings"):
        next_words(panels, title="Next")


def test_the_attention_map_shows_the_weights_and_frames_the_last_word():
    figure = attention_map(WORDS, WEIGHTS, title="Layer 0")
    (axes,) = figure.axes
    (image,) = axes.images
    assert np.array_equal(image.get_array(), WEIGHTS)
    assert texts(axes) == ["1.00", "", "", ".75", ".25", "", "", ".90", ""]
    (frame,) = axes.patches
    assert (frame.get_xy(), frame.get_width()) == ((-0.5, 1.5), 3)
    assert "The last one, worked, looks most at I: 0.90" in alt(figure)


@pytest.mark.parametrize(
    "weights",
    [WEIGHTS[:2], WEIGHTS.T, WEIGHTS / 2, np.array([[1, 0, 0], [2, -1, 0], [0, 0, 1]])],
    ids=["shape", "looks ahead", "sums", "negative"],
)
def test_the_attention_map_refuses_what_is_no_causal_attention(weights):
    with pytest.raises(ValueError, match="attention_map"):
        attention_map(WORDS, weights, title="Layer 0")


def test_by_head_draws_a_cell_for_each_number_and_names_the_extremes():
    english, spanish = np.array([[1, 2, 3], [4, 5, 50]]), np.array([[9, 8, 7], [6, 5, 4]])
    figure = by_head({"English": english, "Spanish": spanish}, title="Left", most=50, together="all")
    for axes, values in zip(figure.axes, (english, spanish), strict=True):
        assert np.array_equal(axes.images[0].get_array(), values)
        assert axes.images[0].get_clim() == (0, 50)
        assert texts(axes) == [str(x) for x in values.flat]
        assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "all"]
    assert "English: from 1 (layer 0, 0) to 50 (layer 1, all); Spanish: from 4 (layer 1, all) to 9" in alt(figure)


@pytest.mark.parametrize(
    "panels",
    [
        {},
        {"a": [1, 2]},
        {"a": [[1, 2]], "b": [[1]]},
        {"a": [[1, 11]]},
        {"a": [[-1, 2]]},
        {"a": [[float("nan"), 2]]},
    ],
)
def test_by_head_refuses_what_does_not_fit(panels):
    with pytest.raises(ValueError, match="by_head: expected"):
        by_head(panels, title="Left", most=10)


def test_by_layer_draws_one_point_a_layer():
    lines = {"English": [0.0, 0.7, 1.0], "Spanish": [0.1, 0.3, 0.9]}
    figure = by_layer(lines, title="When", y="share")
    (axes,) = figure.axes
    assert [list(line.get_ydata()) for line in axes.lines] == list(lines.values())
    assert [label.get_text() for label in axes.get_xticklabels()] == ["before", "layer 0", "layer 1"]
    assert "English: 0%, 70%, 100%; Spanish: 10%, 30%, 90%" in alt(figure)


@pytest.mark.parametrize("lines", [{}, {"a": [0.5]}, {"a": [0, 1], "b": [0, 1, 1]}, {"a": [0, 1.5]}])
def test_by_layer_refuses_what_does_not_fit(lines):
    with pytest.raises(ValueError, match="by_layer: expected"):
        by_layer(lines, title="When", y="share")
