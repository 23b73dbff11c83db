"""python -m benchmarks.model: what batch invariance costs a decoder: the mode on beside the mode off, on one CUDA GPU.

A Qwen3 from Hugging Face transformers, of the 8B's dimensions, with random weights in bfloat16: one decoder block (with
the embedding before it and the norm after it), and a model of eight. Prefill is one prompt of 4,096 tokens; a decode
step is one token for each of B sequences over a static cache of 1,024 slots that is full, so that no mask is needed, or
left-padded, so that one is. Each is timed as a CUDA graph, where only the kernels count, and eagerly, by the clock on
the wall. Blocks: audit (which operations ran on what; one left uncovered is a failure), block, model, and proof (one
prompt in 200 random batches, `completions`).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from . import completions, gpu
from .record import Record, command

SIZES = {  # Qwen3-8B's, but for the number of layers
    "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 12288, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 40960,
}  # fmt: skip
LAYERS, PROMPT, SLOTS = 8, 4096, 1024
ON, OFF = "mode on", "mode off"
RATIO = f"{ON} / {OFF}"  # of their times: the overhead

Step = Callable[[], Tensor]


def mode(peer: str) -> AbstractContextManager[object]:
    from courselib.invariant import set_batch_invariant_mode

    return set_batch_invariant_mode(peer == ON)


def build(layers: int) -> Any:
    """A Qwen3ForCausalLM with random weights, bfloat16, PyTorch's scaled_dot_product_attention."""
    transformers: Any = importlib.import_module("transformers")
    config = transformers.Qwen3Config(
        **SIZES, num_hidden_layers=layers, tie_word_embeddings=False,
        bos_token_id=None, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    with torch.device(gpu.DEVICE):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
    return model.eval().requires_grad_(False)


def prefill(model: Any, tokens: int) -> Step:
    """One prompt through the model: the logits (1, 1, V) after its last token, or without a head its rows (1, T, D)."""
    ids = torch.randint(1, model.config.vocab_size, (1, tokens), device=model.device)
    keep = {} if headless(model) else {"logits_to_keep": 1}
    whole = {"full_attention": None}  # as is_causal, said so that no mask is made
    return lambda: model(input_ids=ids, attention_mask=whole, use_cache=False, **keep)[0]


def decode(model: Any, batch: int, slots: int, padded: bool = False) -> Step:
    """One token of each sequence, into the last slot of a static cache that holds random rows in the others.

    padded: sequence b does not see its first b % (slots / 2) slots, by a mask, as left padding leaves them.
    """
    transformers: Any = importlib.import_module("transformers")
    cache = transformers.StaticCache(config=model.config, max_cache_len=slots)
    ids = torch.randint(1, model.config.vocab_size, (batch, 1), device=model.device)
    position = torch.full((1, 1), slots - 1, device=model.device)
    first = torch.arange(batch, device=model.device) % (slots // 2) if padded else None
    seen = None if first is None else torch.arange(slots, device=model.device) >= first[:, None, None, None]

    def step() -> Tensor:
        for layer in cache.layers:  # the cache counts its slots on the device: back to the last one, in a graph too
            if torch.is_tensor(layer.cumulative_length):
                layer.cumulative_length.fill_(slots - 1)
        return model(
            input_ids=ids, attention_mask={"full_attention": seen}, position_ids=position, past_key_values=cache,
            use_cache=True,
        )[0]  # fmt: skip

    with torch.no_grad():
        for layer in cache.layers:
            layer.cumulative_length.zero_()
        model(input_ids=ids, attention_mask={"full_attention": seen}, position_ids=position, past_key_values=cache)
        for layer in cache.layers:
            layer.keys.normal_()
            layer.values.normal_()
    return step


def headless(model: Any) -> bool:
    return not hasattr(model, "lm_head")


@dataclass(frozen=True)
class Work:
    """What a step must do at least. bytes: weights (and cached rows) read once; flops: two a weight and token, and
    attention's."""

    bytes: int
    flops: int


def work(model: Any, batch: int, tokens: int, slots: int, logits: int) -> Work:
    """`tokens` of each of `batch` sequences, each seeing `slots` slots on average; `logits` rows through the head."""
    c = model.config
    body = sum(p.numel() for name, p in model.named_parameters() if "layers." in name)
    head = 0 if headless(model) else model.lm_head.weight.numel()
    rows = 2 * batch * slots * c.num_key_value_heads * c.head_dim * c.num_hidden_layers if tokens == 1 else 0
    attention = 4 * batch * tokens * slots * c.num_attention_heads * c.head_dim * c.num_hidden_layers
    return Work(2 * (body + head + rows), 2 * (body * batch * tokens + head * logits) + attention)


def costs(record: Record, model: Any, name: str) -> None:
    """Prefill and decode, as graphs and eagerly, the mode on and off."""
    head = int(not headless(model))
    batches = [1, 64] if record.quick else [1, 4, 16, 64]
    cells: list[tuple[str, int, bool]] = [("prefill", 1, False), *(("decode", b, False) for b in batches)]
    cells.append(("decode", 16, True))
    for what, batch, padded in record.track(cells, name):
        with record.attempt(f"{name}, {what} B={batch}"):
            if what == "prefill":
                step = prefill(model, PROMPT)
                least = work(model, 1, PROMPT, PROMPT // 2, head)
                settings: dict[str, int | str] = {"step": what, "B": 1, "T": PROMPT, "mask": "causal"}
            else:
                step = decode(model, batch, SLOTS, padded)
                least = work(model, batch, 1, SLOTS, head * batch)
                settings = {"step": what, "B": batch, "S": SLOTS, "mask": "left padding" if padded else "none"}
            floor = record.ceilings.floor("ms", least.bytes, least.flops)
            peers: gpu.Peers = {peer: lambda i, s=step: s() for peer in (ON, OFF)}
            graph = gpu.graph_times(peers, gpu.calls(floor, "ms"), around=mode)
            record.add(gpu.row(f"{name}, CUDA graph", "ms", graph, settings, [RATIO], floor))
            wall = gpu.wall_times(peers, 2 if what == "prefill" else 5, around=mode)
            record.add(gpu.row(f"{name}, eager", "ms", wall, settings, [RATIO], floor))
    for how in ("CUDA graph", "eager"):
        found = {row.ratios[RATIO].median - 1: row.settings for row in record.named(f"{name}, {how}")}
        if found:
            where = found[max(found)]
            at = f"at {where['step']} B={where['B']}, mask {where['mask']}"
            record.add(f"{name}, {how}: overhead {min(found):+.1%} to {max(found):+.1%}, the most {at}")


def block(record: Record) -> None:
    costs(record, build(1).model, "decoder block")


def model(record: Record) -> None:
    layers = 2 if record.quick else LAYERS
    costs(record, build(layers), f"Qwen3, {layers} layers")


def audit(record: Record) -> None:
    """Every kind of step under the audit, each as a note. Raises RuntimeError for an operation left uncovered."""
    there = build(1)
    steps = {
        "prefill": prefill(there, 512),
        "decode": decode(there, 4, SLOTS),
        "decode, padded": decode(there, 4, SLOTS, True),
    }
    for what, step in steps.items():
        with record.attempt(f"audit of {what}"):
            record.add(f"audit of {what}: {audited(step)}")


def audited(step: Step) -> str:
    """What ran on what, as a sentence. Raises RuntimeError, by name, for operations that no fixed order covers."""
    from courselib.invariant import audit_batch_invariance, set_batch_invariant_mode

    with torch.no_grad(), set_batch_invariant_mode(True), audit_batch_invariance() as report:
        step()
    if report.uncovered:
        raise RuntimeError("left uncovered: " + ", ".join(f"{op} ({n})" for op, n in report.uncovered.items()))
    ran = [f"{op} on {how} ({n})" for op, by in sorted(report.covered.items()) for how, n in sorted(by.items())]
    return f"nothing uncovered; {', '.join(ran)}; {len(report.exact)} operations that are exact in any order"


def proof(record: Record) -> None:
    """One prompt alone, then inside random batches: how many completions?"""
    completions.prove(record, build(2 if record.quick else LAYERS), {peer: partial(mode, peer) for peer in (ON, OFF)})


main = command("model", __doc__ or "", {"audit": audit, "block": block, "model": model, "proof": proof})

if __name__ == "__main__":
    main()
