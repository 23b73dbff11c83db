"""The same model in Hugging Face transformers: a LlamaForCausalLM of MiniGPT's shape that holds MiniGPT's weights.

The two are one function: RMSNorm, rotary pairs (i, i + d_h/2), grouped heads, SwiGLU. A weight is stored (in, out)
here and (out, in) there. `llama` checks that their logits agree before anything is timed.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from courselib.minigpt import MiniGPT

TOLERANCE = 1e-4  # of a logit, absolute and relative: float32 sums of up to 256 terms in two orders, four layers deep


def llama(model: MiniGPT) -> Any:
    """MiniGPT's weights in a LlamaForCausalLM, float32, in eval mode.

    Raises ImportError without transformers, AssertionError when its logits are not MiniGPT's within TOLERANCE.
    """
    transformers: Any = importlib.import_module("transformers")
    c = model.config
    config = transformers.LlamaConfig(
        vocab_size=c.vocab_size, hidden_size=c.dim, intermediate_size=c.ff_dim, num_hidden_layers=c.n_layers,
        num_attention_heads=c.n_heads, num_key_value_heads=c.n_kv_heads, max_position_embeddings=c.max_slots,
        rms_norm_eps=c.norm_eps, rope_theta=float(c.rope_base), tie_word_embeddings=c.tied_head,
        bos_token_id=None, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    there = transformers.LlamaForCausalLM(config).eval().requires_grad_(False)
    there.load_state_dict(_state(model))
    tokens = torch.arange(48).view(2, 24)
    with torch.no_grad():
        torch.testing.assert_close(there(tokens).logits, model(tokens), atol=TOLERANCE, rtol=TOLERANCE)
    return there


def _state(model: MiniGPT) -> dict[str, Tensor]:
    c = model.config
    blocks: Any = model.blocks  # for mypy they are no more than modules
    state: dict[str, Tensor] = {"model.embed_tokens.weight": model.embed, "model.norm.weight": model.norm}
    state["lm_head.weight"] = model.embed if model.head is None else model.head.t()
    for i, block in enumerate(blocks):
        q, k, v = block.w_qkv.split([c.dim, c.n_kv_heads * c.head_dim, c.n_kv_heads * c.head_dim], dim=1)
        gate, up = block.w_up.chunk(2, dim=1)
        layer = {"self_attn.q_proj": q, "self_attn.k_proj": k, "self_attn.v_proj": v, "self_attn.o_proj": block.w_o}
        layer |= {"mlp.gate_proj": gate, "mlp.up_proj": up, "mlp.down_proj": block.w_down}
        layer = {name: w.t() for name, w in layer.items()}
        layer |= {"input_layernorm": block.attn_norm, "post_attention_layernorm": block.mlp_norm}
        state |= {f"model.layers.{i}.{name}.weight": w for name, w in layer.items()}
    return {name: w.detach().contiguous() for name, w in state.items()}


def by_generate(there: Any, prompts: Tensor, n: int, static: bool) -> Tensor:
    """n greedy tokens by transformers' own generate. prompts (B, T) -> (B, T + n)."""
    return there.generate(
        prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=n, min_new_tokens=n, do_sample=False,
        use_cache=True, cache_implementation="static" if static else None,
    )  # fmt: skip


@torch.no_grad()
def by_hand(there: Any, prompts: Tensor, n: int, static: bool) -> Tensor:
    """n greedy tokens by the barest loop over the model and its cache. prompts (B, T) -> (B, n)."""
    transformers: Any = importlib.import_module("transformers")
    slots = prompts.shape[1] + n
    cache = (
        transformers.StaticCache(config=there.config, max_cache_len=slots)
        if static
        else transformers.DynamicCache(config=there.config)
    )
    tokens, answers = prompts, []
    for _ in range(n):
        logits = there(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        tokens = logits[:, -1].argmax(-1, keepdim=True)
        answers.append(tokens)
    return torch.cat(answers, dim=1)
