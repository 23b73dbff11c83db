from __future__ import annotations

import pytest
import torch

from courselib.invariant import assert_batch_invariant, set_batch_invariant_mode

X = torch.randn(4, 3, 7, generator=torch.Generator().manual_seed(0))


def test_an_elementwise_function_passes_with_any_signature():
    assert_batch_invariant(lambda x: x * 2, X)
    assert_batch_invariant(lambda x, y: (x + y, x - y), (X, X))
    assert_batch_invariant(lambda x: {"logits": x, "name": "a model's"}, X, batch_dim=1)
    assert_batch_invariant(lambda ids: ids % 3, torch.arange(8).reshape(4, 2))


WRONG = {
    "the number of rows": lambda x: x + 1e-6 * x.shape[0],
    "the position": lambda x: x + 1e-6 * torch.arange(x.shape[0])[:, None, None],
    "the neighbours": lambda x: x + 0 * x.sum(),  # NaN and inf come through, and nothing else
    "the largest": lambda x: x + x.abs().max() * 1e-6,
}


@pytest.mark.parametrize("name", WRONG)
def test_what_depends_on_the_batch_is_found(name):
    with pytest.raises(
        AssertionError, match=r"row 0 alone and at position \d of \d, neighbours: \w+ differ in \d+ of 21 words"
    ):
        assert_batch_invariant(WRONG[name], X)


def test_the_neighbours_can_be_chosen():
    poisoned = WRONG["the neighbours"]
    assert_batch_invariant(poisoned, X, neighbours=("rows", "zeros"))
    with pytest.raises(AssertionError, match="neighbours: nan"):
        assert_batch_invariant(poisoned, X, neighbours=("nan",))
    with pytest.raises(ValueError, match='unknown neighbours "mean": expected "rows", "scaled"'):
        assert_batch_invariant(poisoned, X, neighbours=("mean",))


def test_a_row_of_another_output_is_named():
    with pytest.raises(AssertionError, match="output 1: row 0 alone"):
        assert_batch_invariant(lambda x: (x, x / x.shape[0]), X)


def test_padding():
    def right(x):
        return (torch.nn.functional.pad(x, (0, 2)),), lambda y: y[..., :-2]

    assert_batch_invariant(lambda x: x * 2, X, padding=[right])
    # A softmax over padding that is not masked is another softmax.
    with set_batch_invariant_mode(), pytest.raises(AssertionError, match="padding 0 differ"):
        assert_batch_invariant(lambda x: x.softmax(-1), X, padding=[right])


def test_inputs_without_rows_are_refused():
    for inputs in (X[:0], (), (X, X[:2])):
        with pytest.raises(ValueError, match="at least one row"):
            assert_batch_invariant(lambda *x: x, inputs)


def test_an_answer_without_tensors_is_refused():
    with pytest.raises(TypeError, match="answered list"):
        assert_batch_invariant(lambda x: x.tolist(), X)


def test_the_same_seed_makes_the_same_populations():
    seen = []
    for _ in range(2):
        sizes = []
        assert_batch_invariant(lambda x: (sizes.append(x.sum().item()), x)[1], X, seed=3)  # noqa: B023
        seen.append(sizes)
    assert len(seen[0]) == len(seen[1])
    assert str(seen[0]) == str(seen[1])


MISTAKES = {
    "a loss": (lambda x: x.sum(), X, {}, ValueError, r"of 1 in dimension 0 it made \(\)"),
    "a row too few": (lambda x: x[:1], X, {}, ValueError, r"of 2 in dimension 0 it made \(1, 3, 7\)"),
    "another dimension": (lambda x: x, X, {"batch_dim": 3}, ValueError, "share a dimension 3"),
    "numbers": (lambda x: x, (1, 2), {}, TypeError, "tuple of tensors; there is one int"),
    "nobody": (lambda x: x, X, {"populations": (2, 0)}, ValueError, r"at least 1 row, got \(2, 0\)"),
    "nothing": (lambda x: None, X, {}, TypeError, "it answered NoneType"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_gets_one_clear_line(name):
    fn, inputs, options, error, says = MISTAKES[name]
    with pytest.raises(error, match=says) as caught:
        assert_batch_invariant(fn, inputs, **options)
    assert "\n" not in str(caught.value)


def test_outputs_of_another_kind_in_company_are_a_failure():
    with pytest.raises(AssertionError, match=r"row 0 alone is torch.float32 \(1, 3, 7\), at position .* torch.float64"):
        assert_batch_invariant(lambda x: x if len(x) == 1 else x.double(), X)
    with pytest.raises(AssertionError, match=r"row 0 alone gives 1 outputs, at position . of 2, neighbours: rows 2"):
        assert_batch_invariant(lambda x: [x] * min(len(x), 2), X)


def test_a_failure_says_when_the_mode_is_off():
    with pytest.raises(AssertionError, match=r"mode is off\)$"):
        assert_batch_invariant(WRONG["the largest"], X)
    with set_batch_invariant_mode(), pytest.raises(AssertionError, match=r"ULP$"):
        assert_batch_invariant(WRONG["the largest"], X)
