"""The model benchmark on a small model and the CPU: its steps can be repeated, its work is counted, its proof sees."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks import completions, gpu, model
from benchmarks.record import Record
from benchmarks.schema import Tally
from courselib import bits

TINY = {
    "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 8, "max_position_embeddings": 64,
}  # fmt: skip
CEILINGS = gpu.Ceilings(copy=3e12, read=2e12, rates={"bf16": 600e12})


@pytest.fixture(scope="module")
def tiny() -> Any:
    """Qwen3 with two layers of two dozen numbers, on the CPU."""
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu, "DEVICE", "cpu")
        for name, size in TINY.items():
            patch.setitem(model.SIZES, name, size)
        return model.build(2)


@torch.no_grad()
def test_prefill_gives_the_last_logits_and_without_a_head_every_row(tiny: Any) -> None:
    assert model.prefill(tiny, 9)().shape == (1, 1, 96)
    assert model.prefill(tiny.model, 9)().shape == (1, 9, 32)


@torch.no_grad()
@pytest.mark.parametrize("padded", [False, True])
def test_a_decode_step_can_be_repeated(tiny: Any, padded: bool) -> None:
    step = model.decode(tiny, 3, 16, padded)
    first = step().clone()
    assert first.shape == (3, 1, 96)
    assert bits.equal(step(), first)
    assert model.decode(tiny.model, 3, 16, padded)().shape == (3, 1, 32)


@torch.no_grad()
def test_padding_hides_the_first_slots_of_a_sequence_and_no_others(tiny: Any) -> None:
    caches: list[Any] = []
    transformers: Any = sys.modules["transformers"]

    class Kept(transformers.StaticCache):  # type: ignore[misc]
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            caches.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transformers, "StaticCache", Kept)
        step = model.decode(tiny, 3, 16, padded=True)
    before = step().clone()
    caches[0].layers[0].values[:, :, 1] += 1  # slot 1: sequences 0 and 1 see it, sequence 2 begins at slot 2
    after = step()
    assert [bits.equal(before[b], after[b]) for b in range(3)] == [False, False, True]


def test_work_counts_weights_rows_and_attention(tiny: Any) -> None:
    body = sum(p.numel() for p in tiny.model.layers.parameters())
    rows = 2 * 3 * 16 * 2 * 8 * 2  # K and V, B, S, H_kv, d_h, L
    attention = 4 * 3 * 16 * 4 * 8 * 2  # two products of a multiply and an add, B, S, H, d_h, L
    assert model.work(tiny, 3, 1, 16, logits=3) == model.Work(
        2 * (body + 96 * 32 + rows), 2 * (body * 3 + 96 * 32 * 3) + attention
    )
    assert model.work(tiny.model, 1, 8, 4, logits=0) == model.Work(2 * body, 2 * body * 8 + 4 * 8 * 4 * 4 * 8 * 2)


def test_the_audit_names_what_ran_and_fails_for_what_is_uncovered(tiny: Any) -> None:
    for step in (model.prefill(tiny, 9), model.decode(tiny, 3, 16), model.decode(tiny, 3, 16, padded=True)):
        line = model.audited(step)
        assert line.startswith("nothing uncovered; ")
        assert " mm on " in line
    x = torch.rand(3, 3)
    with pytest.raises(RuntimeError, match=r"left uncovered: .*cumsum.* \(1\)"):
        model.audited(lambda: x.cumsum(0))


def test_random_batches_all_hold_the_prompt(tiny: Any) -> None:
    batches = completions.random_batches(30, 96)
    alone = batches[0].ids[0].tolist()
    assert batches[0].ids.shape == (1, completions.PROMPT)
    for batch in batches:
        assert batch.ids[batch.row][batch.mask[batch.row] == 1].tolist() == alone
        assert (batch.ids[batch.mask == 0] == 0).all()
        assert (batch.mask.diff(dim=1) >= 0).all()  # padding is on the left
    assert len({len(batch.ids) for batch in batches}) > 5
    assert len({batch.row for batch in batches}) > 5


def test_a_completion_is_compared_up_to_its_first_other_token() -> None:
    logits = torch.randn(3, 5)
    tallied = completions.Tallied([1, 2, 3], logits)
    tallied.add([1, 2, 3], logits.clone())
    assert tallied.tallies == {
        "completions": Tally(differing=0, compared=1), "logits rows": Tally(differing=0, compared=3),
    }  # fmt: skip
    other = logits + torch.tensor([[0.0], [1.0], [1.0]])
    tallied.add([1, 9, 8], other)
    assert tallied.tallies == {
        "completions": Tally(differing=1, compared=2), "logits rows": Tally(differing=1, compared=5),
    }  # fmt: skip
    assert tallied.unique == {(1, 2, 3), (1, 9, 8)}


@torch.no_grad()
def test_a_completion_is_that_of_the_prompts_own_row(tiny: Any) -> None:
    alone, beside = completions.random_batches(2, 96)
    for batch in (alone, beside):
        tokens, logits = completions.complete(tiny, batch)
        assert logits.shape == (completions.NEW_TOKENS, 96)
        assert tokens == logits.argmax(-1).tolist()


class Stub:
    """A model whose logits follow from a row's own tokens, and when asked to, from how many rows went with it."""

    config, device, dependent = SimpleNamespace(vocab_size=96), "cpu", False

    def generate(self, ids: Tensor, attention_mask: Tensor, max_new_tokens: int, **_: object) -> SimpleNamespace:
        start = (ids * attention_mask).sum(1) + (len(ids) if self.dependent else 0)
        tokens = (start[:, None] + torch.arange(max_new_tokens)) % 96
        logits = torch.nn.functional.one_hot(tokens, 96).float()
        return SimpleNamespace(sequences=torch.cat([ids, tokens], 1), logits=tuple(logits.unbind(1)))


def test_the_proof_sees_a_model_that_depends_on_its_batch(tmp_path: Path) -> None:
    stub = Stub()

    @contextmanager
    def dependent() -> Iterator[None]:
        stub.dependent = True
        yield
        stub.dependent = False

    record = Record("model", tmp_path / "model.json", True, "none")
    completions.prove(record, stub, {"on": nullcontext, "off": dependent})
    on, off = record.counts
    assert (on.peer, off.peer) == ("on", "off")
    assert on.settings == {"batches": 4, "new tokens": completions.NEW_TOKENS, "unique": 1}
    assert on.tallies == {
        "completions": Tally(differing=0, compared=3),
        "logits rows": Tally(differing=0, compared=3 * completions.NEW_TOKENS),
    }
    assert off.tallies["completions"] == off.tallies["logits rows"] == Tally(differing=3, compared=3)
    assert record.notes[0] == "on: 1 different completions of one prompt in 4 batches"


def test_a_proof_that_ran_out_of_time_at_once_counts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record("model", tmp_path / "model.json", True, "none")
    monkeypatch.setattr(record, "track", lambda cells, what: cells[:1])
    completions.prove(record, Stub(), {"on": nullcontext})
    assert record.counts == []


def test_under_the_mode_one_completion_comes_out(tiny: Any, tmp_path: Path) -> None:
    """The real thing, small and on the CPU. (With the mode off it depends on the machine whether any bit moves.)"""
    record = Record("model", tmp_path / "model.json", True, "none")
    completions.prove(record, tiny, {peer: partial(model.mode, peer) for peer in (model.ON, model.OFF)})
    on, off = record.counts
    assert (on.peer, on.settings["unique"], off.peer) == (model.ON, 1, model.OFF)
    assert all(tally.differing == 0 for tally in on.tallies.values())


@pytest.mark.usefixtures("pretended")
def test_every_step_is_timed_both_ways_with_the_mode_on_and_off(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: list[str] = []

    def mode(peer: str) -> AbstractContextManager[object]:
        entered.append(peer)
        return nullcontext()

    monkeypatch.setattr(model, "mode", mode)
    monkeypatch.setattr(model, "PROMPT", 8)
    monkeypatch.setattr(model, "SLOTS", 16)
    record = Record("model", tmp_path / "model.json", True, "none")
    record.ceilings = CEILINGS
    model.costs(record, tiny, "Qwen3")
    assert record.missing == []
    assert [row.name for row in record.rows] == ["Qwen3, CUDA graph", "Qwen3, eager"] * 4
    assert {tuple(row.values) for row in record.rows} == {(model.ON, model.OFF)}
    assert [row.settings["mask"] for row in record.named("Qwen3, eager")] == ["causal", "none", "none", "left padding"]
    assert entered.count(model.ON) == entered.count(model.OFF) > 8
    assert record.notes[0] == "Qwen3, CUDA graph: overhead -20.0% to -20.0%, the most at decode B=16, mask left padding"
