"""Models nobody here wrote: `transformers`' Qwen3 and Llama with random weights, unchanged, under the mode.

A prompt's logits and its greedy continuation are the same bytes alone, in batches of 2 to 8, and padded left and right.
Positions are counted from a prompt's own first token, as `generate` counts them from the attention mask.
"""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from courselib import bits
from courselib.invariant import assert_batch_invariant, audit_batch_invariance, set_batch_invariant_mode

SHAPE = {
    "vocab_size": 97, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 128,
}  # fmt: skip
MODELS = {"qwen3": (Qwen3Config, Qwen3ForCausalLM), "llama": (LlamaConfig, LlamaForCausalLM)}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PROMPT = [5, 17, 3, 88, 41, 9, 60]


@pytest.fixture(scope="module", params=[(m, d) for m in MODELS for d in DTYPES], ids="-".join)
def model(request):
    config, architecture = MODELS[request.param[0]]
    torch.manual_seed(0)
    model = architecture(config(**SHAPE, pad_token_id=0, bos_token_id=1, eos_token_id=None))
    return model.to(DTYPES[request.param[1]]).eval().requires_grad_(False)


def padded(prompts, side):
    """(input_ids, attention_mask, position_ids), each (B, T)."""
    T = max(map(len, prompts))
    fill = [(T - len(p)) * [0] for p in prompts]
    ids = [f + p if side == "left" else p + f for p, f in zip(prompts, fill, strict=True)]
    seen = [
        [0] * len(f) + [1] * len(p) if side == "left" else [1] * len(p) + [0] * len(f)
        for p, f in zip(prompts, fill, strict=True)
    ]
    mask = torch.tensor(seen)
    return torch.tensor(ids), mask, (mask.cumsum(-1) - 1).clamp(min=0)


def logits(model, ids, mask, positions):
    return model(input_ids=ids, attention_mask=mask, position_ids=positions).logits


def neighbours(n, seed, lengths=(1, 24)):
    g = torch.Generator().manual_seed(seed)
    sizes = torch.randint(*lengths, (n,), generator=g).tolist()
    return [torch.randint(1, 97, (size,), generator=g).tolist() for size in sizes]


def of_the_prompt(model, batch, position, side):
    rows = logits(model, *padded(batch, side))[position]
    return rows[-len(PROMPT) :] if side == "left" else rows[: len(PROMPT)]


def batches():
    for seed, B in enumerate((2, 3, 5, 8)):
        others = neighbours(B - 1, seed)
        position = seed % B
        yield [*others[:position], PROMPT, *others[position:]], position


@pytest.mark.parametrize("side", ["left", "right"])
def test_logits_alone_and_in_padded_batches(model, side):
    with set_batch_invariant_mode():
        alone = logits(model, *padded([PROMPT], side))[0]
        for batch, position in batches():
            found = of_the_prompt(model, batch, position, side)
            assert bits.equal(alone, found), bits.report(alone, found, ("alone", f"among {len(batch)}"))


# In bfloat16 some processors happen to agree; float32 shows it on all that were tried.
@pytest.mark.parametrize("model", [(m, "float32") for m in MODELS], ids="-".join, indirect=True)
def test_the_control_with_the_mode_off(model):
    alone = logits(model, *padded([PROMPT], "left"))[0]
    assert not all(bits.equal(alone, of_the_prompt(model, b, p, "left")) for b, p in batches())


def test_through_the_public_helper(model):
    rows = torch.tensor([PROMPT, PROMPT[::-1], neighbours(1, 9, (7, 8))[0]])
    with set_batch_invariant_mode():
        assert_batch_invariant(lambda ids: model(ids).logits, rows, populations=(2, 8))


def test_greedy_generations_are_one(model):
    def complete(batch, position):
        ids, mask, _ = padded(batch, "left")
        return tuple(
            model.generate(ids, attention_mask=mask, max_new_tokens=8, do_sample=False)[position, -8:].tolist()
        )

    with set_batch_invariant_mode():
        found = {complete([PROMPT], 0), *(complete(*b) for b in batches())}
    assert len(found) == 1


def test_prefill_and_decode_agree(model):
    # A token's logits do not depend on how many tokens stand in the call either: the cache changes no byte.
    with set_batch_invariant_mode():
        full = logits(model, *padded([PROMPT], "left"))[0]
        cache = model(torch.tensor([PROMPT[:4]]), use_cache=True).past_key_values
        for t in range(4, len(PROMPT)):
            step = model(torch.tensor([[PROMPT[t]]]), past_key_values=cache, use_cache=True).logits[0, 0]
            assert bits.equal(step, full[t])


def test_nothing_is_left_uncovered(model):
    ids, mask, positions = padded([PROMPT, PROMPT[:3]], "left")
    with set_batch_invariant_mode(), audit_batch_invariance() as report:
        logits(model, ids, mask, positions).log_softmax(-1)
        model.generate(ids, attention_mask=mask, max_new_tokens=2, do_sample=False)
    assert report.ok, str(report)


def test_gradients_of_a_row_are_invariant(model):
    embedded = torch.randn(4, 6, 64, generator=torch.Generator().manual_seed(0)).to(model.dtype)

    def gradient(x):
        x = x.clone().requires_grad_()
        with torch.enable_grad():
            loss = model(inputs_embeds=x).logits.float().log_softmax(-1)[..., 3].sum()
            return torch.autograd.grad(loss, x)[0]

    with set_batch_invariant_mode():
        assert_batch_invariant(gradient, embedded, populations=(2, 5), neighbours=("rows", "scaled"))
