import dataclasses
import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from courselib import bits, minigpt
from courselib.grammar import load_grammar
from courselib.kernels import current_ops, use_ops
from courselib.kv_cache import KVCache
from courselib.minigpt import Config, MiniGPT, load_minigpt, rope_table
from courselib.train import tense_preference

SMALL = {"vocab_size": 50, "n_layers": 2, "dim": 32, "n_heads": 4, "n_kv_heads": 2, "ff_dim": 48, "max_slots": 32}
KINDS = {
    "as shipped": {},
    "gelu": {"activation": "gelu"},
    "tied head": {"tied_head": True},
    "one K/V head": {"n_kv_heads": 1},
    "a K/V head each": {"n_kv_heads": 4},
    "odd sizes": {"vocab_size": 37, "dim": 30, "n_heads": 5, "n_kv_heads": 5, "ff_dim": 41},
}


def tiny(**change: object) -> MiniGPT:
    torch.manual_seed(1)
    return MiniGPT(Config(**{**SMALL, **change})).eval().requires_grad_(False)


def ids(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 37, shape, generator=torch.Generator().manual_seed(seed))


def assert_same(a: Tensor, b: Tensor) -> None:
    assert bits.equal(a, b), bits.report(a, b)


# ------------------------------------------------------------------------------------------------ the model


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dim": 33}, "dim 33 / n_heads 4 must be a whole, even head size"),
        ({"dim": 36}, "dim 36 / n_heads 4 must be a whole, even head size"),
        ({"n_kv_heads": 3}, "n_heads 4 must be a multiple of n_kv_heads 3"),
        ({"activation": "relu"}, 'activation must be "swiglu" or "gelu", got "relu"'),
    ],
)
def test_numbers_that_do_not_fit_are_refused(change: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Config(**{**SMALL, **change})


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_the_last_row(kind: str) -> None:
    model = tiny(**KINDS[kind])
    tokens = ids(3, 5)
    logits = model(tokens)
    assert (logits.shape, logits.dtype) == ((3, 5, model.config.vocab_size), torch.float32)
    assert_same(model(tokens, last_only=True), logits[:, -1])
    assert_same(model(tokens, count=[5, 2, 1], last_only=True), torch.stack([logits[0, 4], logits[1, 1], logits[2, 0]]))
    assert logits.std() > 0.1  # not all alike, so that what is compared says something


def assert_cached_is_full(model: MiniGPT) -> None:
    """Prefill 3, a chunk of 2, then one by one: logits, K and V equal those of one pass over all."""
    tokens, kv = ids(2, 9), KVCache.for_model(model, batch=2)
    parts = [model(tokens[:, a:b], kv) for a, b in [(0, 3), (3, 5), *((t, t + 1) for t in range(5, 9))]]
    assert_same(torch.cat(parts, 1), model(tokens))
    whole = KVCache.for_model(model, batch=2)
    model(tokens, whole)
    assert_same(kv.data, whole.data)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cache_changes_no_byte(kind: str) -> None:
    assert_cached_is_full(tiny(**KINDS[kind]))


def test_nor_does_it_on_the_fallback() -> None:
    with use_ops("fixed-torch"):
        assert_cached_is_full(tiny())


def test_control_a_cache_on_ops_that_mind_the_batch_size_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    linear = current_ops().linear

    def by_shape(x: Tensor, w: Tensor) -> Tensor:  # k descending when there is one token: as good, and another order
        return linear(x.flip(-1), w.flip(0)) if x.shape[-2] == 1 else linear(x, w)

    monkeypatch.setattr(current_ops(), "linear", by_shape)
    model = tiny()
    tokens, kv = ids(2, 9), KVCache.for_model(model, batch=2)
    parts = torch.cat([model(tokens[:, t : t + 1], kv) for t in range(9)], 1)
    torch.testing.assert_close(parts, model(tokens), rtol=1e-4, atol=1e-5)  # close: the cache itself is right
    with pytest.raises(AssertionError, match="differ in"):
        assert_cached_is_full(model)


def test_the_fallback_gives_the_same_bytes() -> None:
    model, tokens = tiny(), ids(2, 9)
    with use_ops("fixed-torch"):
        expected = model(tokens)
    assert_same(model(tokens), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_stock_ops_compute_the_same_model(kind: str) -> None:
    # Close, not equal: logits of size 1 after some 20 sums of up to 48 terms, each off by gamma(48) = 3e-6 at most.
    model, tokens = tiny(**KINDS[kind]), ids(2, 9)
    with use_ops("stock"):
        stock = model(tokens)
    torch.testing.assert_close(model(tokens), stock, rtol=1e-4, atol=6e-5)


def test_a_later_token_changes_no_earlier_row() -> None:
    model, tokens = tiny(), ids(1, 9)
    changed = tokens.clone()
    changed[0, 5] += 1
    before, after = model(tokens), model(changed)
    assert_same(before[:, :5], after[:, :5])
    assert not any(bits.equal(before[:, t], after[:, t]) for t in range(5, 9))


def test_what_a_cache_held_before_does_not_count() -> None:
    model, tokens = tiny(), ids(2, 6)
    kv = KVCache.for_model(model, batch=2)
    kv.data.fill_(float("nan"))
    found = model(tokens, kv, count=[6, 2], last_only=True)
    assert_same(found, model(tokens, count=[6, 2], last_only=True))
    assert kv.data[:, :, 1, :, 2:].isnan().all()


@pytest.mark.parametrize(("first", "count"), [([0, 3], [6, 6]), ([0, 0], [6, 2]), ([0, 2], [6, 4])])
def test_what_stands_in_the_padding_does_not_count(first: list[int], count: list[int]) -> None:
    model, tokens = tiny(), ids(2, 6)
    other = tokens.clone()
    other[1, : first[1]] = 7
    other[1, count[1] :] = 7
    alone = model(tokens[1:, first[1] : count[1]], last_only=True)
    for padded in (tokens, other):
        found = model(padded, first=first, count=count, last_only=True)
        assert_same(found[1:], alone)


def test_a_sequence_too_long_is_refused_before_anything_is_written() -> None:
    model = tiny(max_slots=4)
    with pytest.raises(ValueError, match="the sequence needs 5 slots, the model has positions for 4"):
        model(ids(1, 5))
    kv = KVCache.for_model(model, max_slots=8)
    model(ids(1, 3), kv)
    with pytest.raises(ValueError, match="needs 5 slots"):
        model(ids(1, 2), kv)
    assert kv.lengths == [3]
    kv = KVCache.for_model(model, max_slots=2)
    with pytest.raises(ValueError, match="sequence 0 holds 0 slots and gets 3 more; there is room for 2"):
        model(ids(1, 3), kv)
    assert not kv.data.any()


def test_a_cache_for_another_batch_is_refused() -> None:
    model = tiny()
    with pytest.raises(ValueError, match="tokens hold 2 sequences, the cache 3"):
        model(ids(2, 1), KVCache.for_model(model, batch=3))


# ------------------------------------------------------------------------------------------------ rotary positions


def test_the_rope_table_is_right() -> None:
    cos, sin = rope_table(512, 32, 10_000)
    assert cos.shape == sin.shape == (512, 16)
    angle = np.arange(512)[:, None] * 10_000.0 ** (-2 * np.arange(16) / 32)
    # Rounded from 40 digits: half an ULP of a value up to 1 is 2^-25; float64's own angle is off by 512 * 2^-53.
    assert np.abs(cos.numpy() - np.cos(angle)).max() < 2.0**-25 + 1e-12
    assert np.abs(sin.numpy() - np.sin(angle)).max() < 2.0**-25 + 1e-12
    assert (cos[0] == 1).all()
    assert (sin[0] == 0).all()
    assert sin[1, 0].item() == np.float32(math.sin(1))


def test_the_rope_table_has_the_same_bits_on_every_machine() -> None:
    # No C library's cos took part, so this hash holds everywhere.
    words = bits.words(torch.stack(rope_table(512, 32, 10_000))).astype("<u4").tobytes()
    assert hashlib.sha256(words).hexdigest() == "d625a6a1e303dc86be08f8eeeafba039a747073dc9236970ac7d114754b0989c"
    longer, _ = rope_table(600, 32, 10_000)
    assert_same(longer[:512], rope_table(512, 32, 10_000)[0])


# ------------------------------------------------------------------------------------------------ the shipped weights


def test_the_shipped_model_is_the_one_on_its_card() -> None:
    model = load_minigpt()
    assert model is load_minigpt()
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    assert sum(p.numel() for p in model.parameters()) == minigpt.card()["parameters"]
    assert hashlib.sha256(minigpt.WEIGHTS.read_bytes()).hexdigest() == minigpt.weights_sha256()
    assert dataclasses.asdict(model.config) == minigpt.card()["config"]


def test_it_prefers_the_tense_that_the_prompt_asks_for() -> None:
    grammar = load_grammar()
    for prompt, tense in {"Yesterday I": "past", "Mañana yo": "future"}.items():
        share = tense_preference(load_minigpt(), grammar, prompt)
        assert next(iter(share)) == tense
        assert share[tense] > 0.5


def flip_a_byte(weights: bytes) -> bytes:
    middle = len(weights) // 2
    return weights[:middle] + bytes([weights[middle] ^ 1]) + weights[middle + 1 :]


@pytest.mark.parametrize("damage", [flip_a_byte, lambda weights: weights[:-1]], ids=["a flipped bit", "a lost byte"])
def test_damaged_weights_are_refused(
    damage: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / "minigpt.safetensors"
    damaged.write_bytes(damage(minigpt.WEIGHTS.read_bytes()))
    monkeypatch.setattr(minigpt, "WEIGHTS", damaged)
    with pytest.raises(ValueError, match=r"^minigpt.safetensors has sha256 [0-9a-f]{64}, its card says") as caught:
        load_minigpt.__wrapped__()
    assert "install courselib again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_for_another_vocabulary_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = tmp_path / "minigpt.json"
    card.write_text(json.dumps({**minigpt.card(), "vocabulary_sha256": "0" * 64}))
    monkeypatch.setattr(minigpt, "CARD", card)
    with pytest.raises(ValueError, match="the grammar's words changed since the model was trained"):
        load_minigpt.__wrapped__()
