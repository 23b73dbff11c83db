"""A cache, a batch, padding, chunks and threads change nothing: not the tokens, not a byte of K, V and logits.

Tokens alone are nearly blind, so every comparison here is of what a Trace saw. The control runs the same assertions on
ops whose order depends on the batch's shape, and they must fail.
"""

import hashlib
import math
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from courselib import bits
from courselib.generate import _choose, generate
from courselib.kernels import current_ops, use_ops
from courselib.kernels.cpu import fixed_c
from courselib.kv_cache import KVCache
from courselib.minigpt import Config, MiniGPT
from courselib.seeding import seed_everything
from courselib.tokenizer import ByteTokenizer, WordTokenizer
from courselib.trace import Trace

V = 50
SHAPE = {"n_layers": 2, "dim": 32, "n_heads": 4, "n_kv_heads": 2, "ff_dim": 48, "max_slots": 40}
PROMPTS = [[1, 2, 3, 4, 5], [6], [7, 8, 9]]


def tiny(vocab_size: int = V) -> MiniGPT:
    """Weights in steps that every machine takes exactly, so that these tests see the same tokens everywhere."""
    model = MiniGPT(Config(vocab_size=vocab_size, **SHAPE)).eval().requires_grad_(False)
    rng = np.random.default_rng(1)
    for p in model.parameters():
        if p.dim() == 2:
            p.copy_(torch.from_numpy(rng.random(p.shape, dtype=np.float32)) * 4 - 2).div_(math.sqrt(p.shape[0]))
    return model


MODEL = tiny()


@dataclass
class Run:
    """What one generation answered and what its trace saw."""

    answers: list[list[int]]
    trace: Trace


def run(prompts: list[list[int]], n: int = 5, **options: Any) -> Run:
    trace = Trace()
    answers = generate(prompts, n, **{"seed": 3, "model": MODEL, "trace": trace} | options)
    return Run(answers, trace)


def assert_same_row(a: Run, row_a: int, b: Run, row_b: int) -> None:
    assert a.answers[row_a] == b.answers[row_b]
    (k_a, v_a), (k_b, v_b) = a.trace.slots(row_a), b.trace.slots(row_b)
    for what, x, y in [
        ("logits", a.trace.logits(row_a), b.trace.logits(row_b)),
        ("K", k_a, k_b),
        ("V", v_a, v_b),
    ]:
        assert bits.equal(x, y), f"{what}: {bits.report(x, y) if x.shape == y.shape else (x.shape, y.shape)}"


def assert_same_run(a: Run, b: Run) -> None:
    assert len(a.answers) == len(b.answers)
    for row in range(len(a.answers)):
        assert_same_row(a, row, b, row)


@contextmanager
def order_by_shape() -> Iterator[None]:
    """Ops whose linear sums k descending for one row of input and ascending for more, as a library might."""
    ops = current_ops()
    linear = ops.linear

    def by_shape(x: Tensor, w: Tensor) -> Tensor:
        return linear(x.flip(-1), w.flip(0)) if x.numel() == x.shape[-1] else linear(x, w)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ops, "linear", by_shape)
        yield


# ------------------------------------------------------------------------------------------------ cached and not


def test_the_cache_changes_nothing() -> None:
    for prompt in PROMPTS:
        cached, full = run([prompt], 12, cache=True), run([prompt], 12, cache=False)
        assert_same_run(cached, full)
        assert len(cached.answers[0]) == 12
        assert cached.trace.logits().shape == (12, V)
        assert [x.shape for x in cached.trace.slots()] == [(2, 2, len(prompt) + 11, 8)] * 2


def test_control_ops_that_mind_the_shape_fail_where_tokens_do_not_show_it() -> None:
    with order_by_shape():
        cached, full = run([PROMPTS[0]], 12, cache=True), run([PROMPTS[0]], 12, cache=False)
        assert cached.answers == full.answers  # these tokens are as good as blind,
        with pytest.raises(AssertionError, match="differ in"):  # and the bytes see
            assert_same_run(cached, full)


def test_nor_does_it_on_the_fallback() -> None:
    with use_ops("fixed-torch"):
        fallback = run(PROMPTS, 3, cache=True)
        assert_same_run(fallback, run(PROMPTS, 3, cache=False))
    assert_same_run(fallback, run(PROMPTS, 3))


def test_these_bytes_are_the_same_on_every_machine() -> None:
    seen = run(PROMPTS, 12)
    logits = np.concatenate([seen.trace.logits(row) for row in range(3)]).astype("<f4").tobytes()
    assert hashlib.sha256(logits).hexdigest() == "c9a4df8d67dcbd9911d6983e64691e7c8dea70c9f601b6dd041b7374ecee38fb"


@settings(max_examples=30, deadline=None)
@given(
    prompts=st.lists(st.lists(st.integers(0, V - 1), min_size=1, max_size=9), min_size=1, max_size=4),
    n=st.integers(1, 5),
    padding=st.sampled_from(["left", "right"]),
    chunk=st.none() | st.integers(1, 10),
    temperature=st.sampled_from([0.0, 0.7, 1.0, 3.0]),
    top_k=st.none() | st.integers(1, V + 1),
    seed=st.integers(0, 2**32),
)
def test_nothing_around_a_row_changes_it(
    prompts: list[list[int]], n: int, padding: str, chunk: int | None, temperature: float, top_k: int | None, seed: int
) -> None:
    sampling = {"temperature": temperature, "top_k": top_k}
    cached = run(prompts, n, padding=padding, prefill_chunk=chunk, seed=seed, **sampling)
    full = run(prompts, n, padding=padding, cache=False, seed=seed, **sampling)
    assert_same_run(cached, full)
    row = seed % len(prompts)
    alone = run([prompts[row]], n, seed=seed + row, **sampling)
    assert_same_row(cached, row, alone, 0)


# ------------------------------------------------------------------------------------------------ batches


def assert_rows_stand_alone(**options: Any) -> None:
    batch = run(PROMPTS, **options)
    for row, prompt in enumerate(PROMPTS):
        assert_same_row(batch, row, run([prompt], seed=3 + row), 0)


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("chunk", [None, 1, 2, 100])
def test_a_row_is_the_same_alone_and_in_a_batch(padding: str, cache: bool, chunk: int | None) -> None:
    assert_rows_stand_alone(padding=padding, cache=cache, prefill_chunk=chunk)


def test_control_ops_that_mind_the_shape_fail_in_a_batch() -> None:
    with order_by_shape(), pytest.raises(AssertionError, match="differ in"):
        assert_rows_stand_alone()


def test_neighbours_do_not_matter() -> None:
    first = run([PROMPTS[0], PROMPTS[1]])
    assert_same_row(first, 0, run([PROMPTS[0], [49] * 9, [0], [1, 2]]), 0)
    assert_same_row(first, 0, run([[49] * 9, PROMPTS[0]], seed=[8, 3]), 1)


def test_a_batch_takes_one_seed_or_one_for_each_row() -> None:
    prompts = [PROMPTS[0]] * 3
    assert run(prompts, seed=7).answers == run(prompts, seed=[7, 8, 9]).answers
    same = run(prompts, seed=[7, 7, 9]).answers
    assert same[0] == same[1] != same[2]
    assert run(prompts, seed=np.int64(7)).answers == run(prompts, seed=7).answers


@pytest.mark.skipif(current_ops() is not fixed_c, reason="no C compiler: only fixed-c shares work among threads")
def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run(PROMPTS)
    monkeypatch.setattr(fixed_c, "MIN_WORK", 1)  # share every call, however small
    before = torch.get_num_threads()
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            assert_same_run(run(PROMPTS), expected)
            assert_same_run(run(PROMPTS, cache=False, padding="left"), expected)
    finally:
        torch.set_num_threads(before)


# ------------------------------------------------------------------------------------------------ a cache of yours


def test_a_warm_cache_goes_on_where_it_was() -> None:
    whole = run([PROMPTS[0] + [11, 12]], 6)
    kv = KVCache.for_model(MODEL)
    run([PROMPTS[0]], 1, cache=kv)
    assert kv.lengths == [5]  # the token answered is not in it yet
    warm = run([[11, 12]], 6, cache=kv)
    assert_same_row(warm, 0, whole, 0)
    assert kv.lengths == [5 + 2 + 5]
    k, v = whole.trace.slots()
    assert bits.equal(kv.data[:, 0, 0, :, :12], torch.from_numpy(k))
    assert bits.equal(kv.data[:, 1, 0, :, :12], torch.from_numpy(v))


def test_generation_resumes_from_its_last_token() -> None:
    whole = run(PROMPTS, 9, temperature=0)
    kv = KVCache.for_model(MODEL, batch=3)
    begun = run(PROMPTS, 4, temperature=0, cache=kv)
    resumed = run([answer[-1:] for answer in begun.answers], 5, temperature=0, cache=kv)
    for row in range(3):
        assert begun.answers[row] + resumed.answers[row] == whole.answers[row]
        for x, y in zip(resumed.trace.slots(row), whole.trace.slots(row), strict=True):
            assert bits.equal(x, y)
        assert bits.equal(resumed.trace.logits(row), whole.trace.logits(row)[4:])


def test_a_cache_remembers_its_left_padding() -> None:
    kv = KVCache.for_model(MODEL, batch=3)
    run(PROMPTS, 1, cache=kv, padding="left")
    assert (kv.first, kv.lengths) == ([0, 4, 2], [5, 5, 5])
    warm = run([[11], [12, 13], [14]], cache=kv)
    whole = run([[*PROMPTS[0], 11], [*PROMPTS[1], 12, 13], [*PROMPTS[2], 14]])
    assert_same_run(warm, whole)
    kv.reset()
    assert_same_run(run(PROMPTS, cache=kv), run(PROMPTS))


def test_a_cache_that_was_used_is_as_good_as_new_after_reset_or_truncate() -> None:
    kv = KVCache.for_model(MODEL)
    run([[40, 41, 42, 43]], 20, cache=kv)
    kv.reset()
    assert_same_run(run([PROMPTS[0]], cache=kv), run([PROMPTS[0]]))
    kv.truncate(3)
    assert_same_row(run([PROMPTS[0][3:]], cache=kv), 0, run([PROMPTS[0]]), 0)


class Lists:
    """Somebody else's cache: a list of rows for each layer and sequence. Its own length is 0 at first."""

    def __init__(self, batch: int) -> None:
        self.first, self.read_by = [0] * batch, 0
        self.rows: list[list[list[Tensor]]] = [[[] for _ in range(batch)] for _ in range(SHAPE["n_layers"])]

    def __len__(self) -> int:
        return len(self.rows[0][0])

    @property
    def lengths(self) -> list[int]:
        return [len(rows) for rows in self.rows[0]]

    def append(self, layer: int, k: Tensor, v: Tensor, count: list[int]) -> None:
        for rows, pair, n in zip(self.rows[layer], torch.stack([k, v], 1), count, strict=True):
            rows += pair[:, :, :n].clone().unbind(2)  # (2, H_kv, d_h) each

    def read(self, layer: int) -> tuple[Tensor, Tensor]:
        self.read_by += 1
        S, nothing = max(map(len, self.rows[layer])), torch.full((2, 2, 8), torch.nan)
        filled = [torch.stack([*rows, *[nothing] * (S - len(rows))], 2) for rows in self.rows[layer]]
        k, v = torch.stack(filled, 1)
        return k, v


def test_any_cache_with_the_same_four_names_will_do() -> None:
    lists = Lists(3)
    assert_same_run(run(PROMPTS, cache=lists), run(PROMPTS))
    assert lists.read_by == 5 * SHAPE["n_layers"]


def test_control_a_cache_that_was_truncated_too_late_is_another_sequence() -> None:
    kv = KVCache.for_model(MODEL)
    run([[40, 41, 42, 43]], 1, cache=kv)
    kv.truncate(3)
    with pytest.raises(AssertionError):
        assert_same_row(run([PROMPTS[0][3:]], cache=kv), 0, run([PROMPTS[0]]), 0)


# ------------------------------------------------------------------------------------------------ sampling


def test_temperature_zero_ignores_the_seed() -> None:
    # Between these runs the seed changes and nothing else does.
    prompt = PROMPTS[0]
    r1 = generate(prompt, 8, temperature=0, seed=1, model=MODEL)
    r2 = generate(prompt, 8, temperature=0, seed=42, model=MODEL)
    r3 = generate(prompt, 8, temperature=0, seed=123, model=MODEL)
    assert r1 == r2 == r3
    assert r1 == run([prompt], 8, temperature=0).trace.logits().argmax(-1).tolist()
    # Control: with a temperature the same three seeds do change what is said.
    s1, s2, s3 = (generate(prompt, 8, temperature=1, seed=seed, model=MODEL) for seed in (1, 42, 123))
    assert s1 != s2
    assert s2 != s3


def test_the_lowest_of_equal_logits_is_taken() -> None:
    logits = torch.tensor([1.0, 3.0, 2.0, 3.0])
    assert _choose(logits, 0, None, random.Random(0)) == 1
    assert {_choose(logits, 1, 1, random.Random(seed)) for seed in range(50)} == {1}
    assert {_choose(logits, 1, 3, random.Random(seed)) for seed in range(50)} == {1, 2, 3}


def test_a_seed_says_it_all() -> None:
    state = random.getstate()
    a = run([PROMPTS[0]], 12, seed=5)
    assert random.getstate() == state  # nothing was drawn from the global generator
    assert_same_run(a, run([PROMPTS[0]], 12, seed=5))
    assert a.answers != run([PROMPTS[0]], 12, seed=6).answers


def test_without_a_seed_everything_is_seeded_before_each_path() -> None:
    seed_everything(42)
    cached = run(PROMPTS, 12, seed=None, cache=True)
    seed_everything(42)
    full = run(PROMPTS, 12, seed=None, cache=False)
    assert_same_run(cached, full)
    forgotten = run(PROMPTS, 12, seed=None, cache=False)  # control: the generator has moved on
    assert forgotten.answers != full.answers


def test_what_is_drawn_follows_softmax() -> None:
    logits, draws = torch.tensor([0.0, 1.0, -1.0, 2.0, float("-inf")]), 4000
    for temperature in (0.5, 1.0, 2.0):
        counts = Counter(_choose(logits, temperature, None, random.Random(seed)) for seed in range(draws))
        for token, p in enumerate(torch.softmax(logits / temperature, -1).tolist()):
            # Four standard deviations; the draws are the same on every machine, so this holds always or never.
            assert abs(counts[token] - draws * p) <= 4 * (draws * p * (1 - p)) ** 0.5


def test_a_token_without_probability_is_never_drawn() -> None:
    class Ends(random.Random):
        def __init__(self, drawn: float) -> None:
            self.drawn = drawn

        def random(self) -> float:
            return self.drawn

    logits = torch.tensor([float("-inf"), 0.0, 0.0, float("-inf")])
    assert _choose(logits, 1, None, Ends(0.0)) == 1
    assert _choose(logits, 1, None, Ends(0.5)) == 2
    assert _choose(logits, 1, None, Ends(1 - 2**-53)) == 2


def test_top_k_draws_among_the_k_largest() -> None:
    free = run([PROMPTS[0]], 12, temperature=3.0)
    few = run([PROMPTS[0]], 12, temperature=3.0, top_k=3)
    for token, logits in zip(few.answers[0], few.trace.logits(), strict=True):
        assert token in np.argsort(-logits)[:3]
    assert any(token not in np.argsort(-x)[:3] for token, x in zip(free.answers[0], free.trace.logits(), strict=True))
    assert run([PROMPTS[0]], 12, top_k=1).answers == run([PROMPTS[0]], 12, temperature=0).answers
    for enough in (V, V + 1):
        assert_same_run(run([PROMPTS[0]], 12, temperature=3.0, top_k=enough), free)


# ------------------------------------------------------------------------------------------------ stopping


@pytest.mark.parametrize("options", [{}, {"cache": False}, {"padding": "left"}, {"prefill_chunk": 2}])
def test_a_stop_token_ends_its_own_row(options: dict[str, Any]) -> None:
    free = run(PROMPTS, 8)
    stop = {free.answers[0][1]}
    assert not stop & {free.answers[0][0], *free.answers[1], *free.answers[2]}  # row 0 alone stops
    stopped = run(PROMPTS, 8, stop=stop, **options)
    assert stopped.answers == [free.answers[0][:2], free.answers[1], free.answers[2]]
    assert_same_row(stopped, 0, run([PROMPTS[0]], 2), 0)  # what it holds is what it held when it stopped
    for row in (1, 2):
        assert_same_row(stopped, row, free, row)


def test_all_stop_early_and_no_more_is_computed() -> None:
    free = run([PROMPTS[0]], 8)
    stopped = run([PROMPTS[0]], 8, stop=free.answers[0])
    assert stopped.answers == [free.answers[0][:1]]
    assert len(stopped.trace.calls) == 1


def test_a_row_that_stopped_can_be_resumed() -> None:
    free = run(PROMPTS, 8, temperature=0)
    kv = KVCache.for_model(MODEL, batch=3)
    stopped = run(PROMPTS, 8, temperature=0, cache=kv, stop={free.answers[0][2]})
    assert kv.lengths == [len(p) + len(a) - 1 for p, a in zip(PROMPTS, stopped.answers, strict=True)]
    resumed = run([a[-1:] for a in stopped.answers], 4, temperature=0, cache=kv)
    whole = run(PROMPTS, 12, temperature=0)
    for row, (a, b) in enumerate(zip(stopped.answers, resumed.answers, strict=True)):
        assert a + b == whole.answers[row][: len(a) + 4]


def test_no_new_tokens() -> None:
    assert generate([1, 2], 0, model=MODEL) == []
    assert generate([[1], [2]], 0, model=MODEL) == [[], []]


# ------------------------------------------------------------------------------------------------ prompts


def test_one_prompt_gives_one_answer_and_a_list_gives_a_list() -> None:
    one = generate([1, 2, 3], 4, seed=1, model=MODEL)
    assert len(one) == 4
    assert all(type(token) is int for token in one)
    assert generate([[1, 2, 3]], 4, seed=1, model=MODEL) == [one]
    assert generate((1, 2, 3), 4, seed=1, model=MODEL) == one
    assert generate(np.array([1, 2, 3]), 4, seed=1, model=MODEL) == one
    assert generate(torch.tensor([[1, 2, 3]]), 4, seed=1, model=MODEL) == [one]


def test_text_is_tokenized() -> None:
    model, tokenizer = tiny(256 + 3), ByteTokenizer()
    by_text = generate("¡sí!", 4, seed=1, model=model, tokenizer=tokenizer)
    assert by_text == generate(tokenizer.encode("¡sí!"), 4, seed=1, model=model)
    assert generate(["¡sí!", [65]], 4, seed=1, model=model, tokenizer=tokenizer)[0] == by_text
    words = WordTokenizer.from_grammar()
    model = tiny(words.vocab_size)
    expected = generate(words.encode("Yesterday I"), 4, seed=1, model=model)
    assert generate("Yesterday I", 4, seed=1, model=model) == expected


def test_the_prompt_and_its_answers_may_fill_the_model_and_no_more() -> None:
    for options in ({}, {"cache": False}):
        assert len(run([[1] * 30], 11, **options).answers[0]) == 11  # the last token needs no slot
        with pytest.raises(ValueError, match="the sequence needs 41 slots, the model has positions for 40"):
            run([[1] * 30], 12, **options)
        with pytest.raises(ValueError, match="the sequence needs 41 slots"):
            run([[1] * 41], 1, **options)
    kv = KVCache.for_model(MODEL, max_slots=6)
    with pytest.raises(ValueError, match="sequence 0 holds 6 slots and gets 1 more; there is room for 6"):
        run([[1] * 4], 9, cache=kv)


@pytest.mark.parametrize(
    ("prompt", "options", "error", "says"),
    [
        ([], {}, ValueError, "no prompt was given"),
        ([[]], {}, ValueError, "prompt 0 is empty"),
        ([[1], []], {}, ValueError, "prompt 1 is empty"),
        ("", {}, ValueError, "prompt 0 is empty"),
        ([1, 50], {}, ValueError, "prompt 0 holds id 50: the vocabulary has ids 0 to 49"),
        ([[1], [3, -1]], {}, ValueError, "prompt 1 holds id -1"),
        ([[1, 2.5]], {}, TypeError, r"prompt 0 is \[1, 2.5\]: expected text or a list of token ids"),
        ([[1], 2], {}, TypeError, "prompt 1 is 2: expected text"),
        ([1], {"max_new_tokens": -1}, ValueError, "must not be negative"),
        ([1], {"temperature": -0.5}, ValueError, "must not be negative"),
        ([1], {"temperature": float("nan")}, ValueError, "must not be negative"),
        ([1], {"top_k": 0}, ValueError, "at least 1"),
        ([1], {"prefill_chunk": -2}, ValueError, "at least 1"),
        ([1], {"padding": "middle"}, ValueError, 'padding must be "right" or "left", got "middle"'),
        ([[1], [2]], {"seed": [1]}, ValueError, "1 seeds were given for 2 prompts"),
        ([[1], [2]], {"cache": KVCache.for_model(MODEL)}, ValueError, "holds 1 sequences, 2 prompts were given"),
    ],
)  # fmt: skip
def test_a_mistake_gets_one_clear_line(prompt: Any, options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        generate(prompt, **{"max_new_tokens": 3, "model": MODEL} | options)
    assert "\n" not in str(caught.value)


def test_a_warm_cache_takes_no_left_padding() -> None:
    kv = KVCache.for_model(MODEL)
    run([[1, 2]], 1, cache=kv)
    with pytest.raises(ValueError, match="a cache that already holds slots continues without left padding"):
        run([[3]], 1, cache=kv, padding="left")


# ------------------------------------------------------------------------------------------------ the edges of drawing


def test_a_temperature_too_small_to_divide_by_takes_the_largest() -> None:
    model = tiny()
    greedy = generate([1, 2], 4, temperature=0, model=model)
    for temperature in (1e-46, 1e-40, 1e-30):
        assert generate([1, 2], 4, temperature=temperature, seed=3, model=model) == greedy
    assert generate([1, 2], 4, temperature=1.0, seed=3, model=model) != greedy


def test_seeds_must_not_be_negative_and_may_be_numpys() -> None:
    model = tiny()
    with pytest.raises(ValueError, match=r"^seed -1 is negative: expected 0 or more$"):
        generate([1, 2], 1, seed=-1, model=model)
    assert generate([[1, 2]], 4, seed=[np.int64(3)], model=model) == [generate([1, 2], 4, seed=3, model=model)]
