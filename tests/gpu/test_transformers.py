"""Models nobody here wrote, on a GPU: `transformers`' Qwen3 and Llama with random weights, bfloat16, unchanged.

With its default attention (SDPA) a prompt's bytes are the same alone, in batches of 2 to 64, and padded left and right.
With eager attention, whose softmax and products run over padding too, they are the same in batches of one length.
"""

from __future__ import annotations

import pytest
import torch
import transformers

from courselib import bits
from courselib.invariant import audit_batch_invariance, set_batch_invariant_mode

pytestmark = pytest.mark.gpu


V = 4096
# name: (hidden size, heads, key/value heads, head size)
SHAPES = {"qwen3": (1024, 8, 4, 128), "llama": (2048, 32, 8, 64)}
PROMPT = torch.randint(1, V, (37,), generator=torch.Generator().manual_seed(7)).tolist()
BATCHES = (2, 3, 5, 8, 16, 33, 64)


@pytest.fixture(scope="module", params=[(m, a) for m in SHAPES for a in ("sdpa", "eager")], ids="-".join)
def model(request):
    name, attention = request.param
    D, H, H_kv, d_h = SHAPES[name]
    kind = {"qwen3": "Qwen3", "llama": "Llama"}[name]
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=V, hidden_size=D, intermediate_size=3 * D, num_hidden_layers=4, num_attention_heads=H,
        num_key_value_heads=H_kv, head_dim=d_h, max_position_embeddings=512, pad_token_id=0, bos_token_id=1,
        eos_token_id=None, attn_implementation=attention,
    )  # fmt: skip
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}ForCausalLM")(config).to("cuda", torch.bfloat16)
    assert model.config._attn_implementation == attention
    return model.eval().requires_grad_(False)


only_sdpa = pytest.mark.parametrize("model", [(m, "sdpa") for m in SHAPES], ids="-".join, indirect=True)


def crowd(B, seed, longest=None):
    """(prompts, the place of PROMPT among them): B - 1 others, all of its length, or of 1 to `longest`."""
    g = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, longest + 1, (B - 1,), generator=g).tolist() if longest else [len(PROMPT)] * (B - 1)
    others = [torch.randint(1, V, (n,), generator=g).tolist() for n in sizes]
    place = int(torch.randint(B, (), generator=g))
    return [*others[:place], PROMPT, *others[place:]], place


def padded(prompts, side):
    """(input_ids, attention_mask), each (B, T)."""
    T = max(map(len, prompts))
    ids, mask = torch.zeros(len(prompts), T, dtype=torch.int64), torch.zeros(len(prompts), T, dtype=torch.int64)
    for row, prompt in enumerate(prompts):
        where = slice(T - len(prompt), T) if side == "left" else slice(0, len(prompt))
        ids[row, where], mask[row, where] = torch.tensor(prompt), 1
    return ids.cuda(), mask.cuda()


def logits(model, prompts, place, side="left"):
    """(len(PROMPT), V) of the prompt at `place`."""
    ids, mask = padded(prompts, side)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)  # as generate counts them
    rows = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits[place]
    return rows[-len(PROMPT) :] if side == "left" else rows[: len(PROMPT)]


def complete(model, prompts, place, n=24):
    ids, mask = padded(prompts, "left")
    return tuple(model.generate(ids, attention_mask=mask, max_new_tokens=n, do_sample=False)[place, -n:].tolist())


def test_logits_in_batches_of_one_length(model):
    with set_batch_invariant_mode():
        alone = logits(model, [PROMPT], 0)
        for B in BATCHES:
            found = logits(model, *crowd(B, seed=B))
            assert bits.equal(alone, found), bits.report(alone, found, ("alone", f"among {B}"))


@only_sdpa
@pytest.mark.parametrize("side", ["left", "right"])
def test_logits_in_padded_batches(model, side):
    with set_batch_invariant_mode():
        alone = logits(model, [PROMPT], 0, side)
        for B in BATCHES:
            found = logits(model, *crowd(B, seed=B, longest=90), side)
            assert bits.equal(alone, found), bits.report(alone, found, ("alone", f"among {B}, padded {side}"))


def test_the_control_with_the_mode_off(model):
    alone = logits(model, [PROMPT], 0)
    assert not all(bits.equal(alone, logits(model, *crowd(B, seed=B))) for B in BATCHES)


@only_sdpa
def test_unique_is_one_of_200_generations(model):
    # As the checker counts: completions of one prompt beside varied neighbours, padded, in batches of many sizes.
    completions = []
    with set_batch_invariant_mode():
        completions.append(complete(model, [PROMPT], 0))
        for seed in range(199):
            completions.append(complete(model, *crowd(1 + seed % 64, seed, longest=90)))
    assert len(completions) == 200
    assert len(set(completions)) == 1


def test_generations_in_batches_of_one_length(model):
    with set_batch_invariant_mode():
        assert len({complete(model, *crowd(B, seed=B)) for B in (1, *BATCHES)}) == 1


@only_sdpa
def test_prefill_and_decode_agree(model):
    ids, _ = padded([PROMPT], "left")
    with set_batch_invariant_mode():
        full = model(ids).logits[0]
        cache = model(ids[:, :20], use_cache=True).past_key_values
        for t in range(20, len(PROMPT)):
            step = model(ids[:, t : t + 1], past_key_values=cache, use_cache=True).logits[0, 0]
            assert bits.equal(step, full[t]), bits.report(step, full[t], ("decode", f"prefill, slot {t}"))


def test_nothing_is_left_uncovered(model):
    prompts, place = crowd(4, seed=1, longest=60)
    with set_batch_invariant_mode(), audit_batch_invariance() as report:
        logits(model, prompts, place).float().log_softmax(-1)
        complete(model, prompts, place, n=3)
    assert report.ok, str(report)
    assert not any("pytorch" in how for by in report.covered.values() for how in by)
