"""Lab 02, flagship: "Yesterday I worked", slot by slot.

Your work: three TODOs. The file runs as it is; until they are done its report says, truthfully, that nothing is proved.
Done for you: the report, the manifest, the command line. --prompt asks for the slots of another prompt.
"""

import argparse
import json
import platform
import sys
from datetime import date
from pathlib import Path

import numpy as np
import torch

from courselib import bits
from courselib.environment import versions
from courselib.kernels import FIXED_ORDER, use_ops
from courselib.kv_cache import KVCache
from courselib.minigpt import load_minigpt, weights_sha256
from courselib.tokenizer import WordTokenizer
from courselib.trace import Trace

PROMPT = "Yesterday I"  # "Yesterday" stands in slot 0, "I" in slot 1; --prompt gives others
TOKENIZER = WordTokenizer.from_grammar()


@torch.no_grad()
def path_a(prompt: str, n_new: int = 1) -> tuple[list[int], np.ndarray, np.ndarray]:
    """With a cache: prefill the prompt's n tokens, then decode n_new more. Answers (all ids, K, V): the rows of the
    prompt's slots, 0 to n - 1, as (L, H_kv, n, d_h)."""
    model = load_minigpt()
    cache = KVCache.for_model(model)
    ids = TOKENIZER.encode(prompt)
    n = len(ids)
    # TODO 1: prefill: run the model on all ids with the cache (last_only=True: the logits of the last token). Then,
    # n_new times: append the most likely token to ids, and run the model on that token alone. Keep the first n slots of
    # every layer: cache.read(layer) answers (K, V), each (B, H_kv, S, d_h).
    ids += [0] * n_new
    c = model.config
    assert cache.lengths == [0]  # nothing has been prefilled yet
    unknown = np.full((c.n_layers, c.n_kv_heads, n, c.head_dim), np.nan, dtype=np.float32)
    return ids, unknown, unknown


@torch.no_grad()
def path_b(ids: list[int], n: int) -> tuple[np.ndarray, np.ndarray]:
    """From scratch: all tokens in one pass, no cache. Answers K, V (L, H_kv, n, d_h) of the first n slots."""
    trace = Trace(("k", "v"))
    # TODO 2: run the model once on all ids, with no cache and with this trace; trace.slots() answers K and V of all
    # slots, of which the first n are asked for.
    assert not trace.calls  # nothing has been run yet
    c = load_minigpt().config
    unknown = np.zeros((c.n_layers, c.n_kv_heads, n, c.head_dim), dtype=np.float32)
    return unknown, unknown


def run(ops: str, prompt: str, n_new: int = 1) -> dict[str, np.ndarray]:
    """Both paths on one implementation of the operations, under the names that slots.npz gives them."""
    with use_ops(ops):
        ids, k_cached, v_cached = path_a(prompt, n_new)
        k_full, v_full = path_b(ids, len(ids) - n_new)
    return {"tokens": np.array(ids), "k_cached": k_cached, "v_cached": v_cached, "k_full": k_full, "v_full": v_full}


def differing_rows(dump: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """For K and V: a mask (L, H_kv, n) of the rows that differ in any bit."""
    # TODO 3: compare the words (bits.words) of the cached and the full arrays. Until then every row is said to differ:
    return {name: np.ones(dump[f"{name}_cached"].shape[:-1], dtype=bool) for name in ("k", "v")}


def n_differing(dump: dict[str, np.ndarray]) -> int:
    return sum(int(mask.sum()) for mask in differing_rows(dump).values())


def report(prompt: str, fixed: dict[str, np.ndarray], stock: list[dict[str, np.ndarray]]) -> str:
    """report.md: the table, the assertion, and one row that can be compared by eye."""
    masks, n_bad = differing_rows(fixed), n_differing(fixed)
    n_rows = sum(m.size for m in masks.values())
    stock_table = "\n".join(
        f"| {TOKENIZER.decode(dump['tokens'])} | {len(dump['tokens'])} | {n_differing(dump)} of {n_rows} |"
        for dump in stock
    )
    *words, decoded = map(TOKENIZER.decode, fixed["tokens"].reshape(-1, 1))
    word = {False: "equal", True: "DIFFERS"}
    table = "\n".join(
        f"| {layer} | {head} | {slot} | {word[masks['k'][layer, head, slot]]} | {word[masks['v'][layer, head, slot]]} |"
        for layer, head, slot in np.ndindex(masks["k"].shape)
    )
    verdict = "Every byte is equal." if n_bad == 0 else f"{n_bad} rows differ: the cache is not proved."
    return f"""# "{prompt} {decoded}": the slots, byte for byte

The model was given "{prompt}" and said "{decoded}". Path A kept K and V of these {len(words)} words in a cache while it
decoded; path B computed all {len(words) + 1} words again from scratch, with no cache. Below, every K row and V row of
slots 0 to {len(words) - 1} from path A is compared with the same row from path B, for every layer and every head, on
{FIXED_ORDER} operations.

**{verdict}** {n_rows - n_bad} of {n_rows} rows have the same bytes on both paths.

| layer | head | slot | K | V |
|---|---|---|---|---|
{table}

## One row to compare by eye

The K row of "{words[1]}" (slot 1), {fixed["k_cached"].shape[-1]} float32 words in hex, first from the cache, then
recomputed:

K layer 0 head 0 slot 1:

```
cached      {hex_row(fixed["k_cached"])}
recomputed  {hex_row(fixed["k_full"])}
```

## The same on stock operations

On PyTorch's own operations, on this machine, the same slots of the same cache, against a pass over more and more
words. Nothing that comes later can change what "{prompt}" means; how many rows the library was handed can change how it
adds:

| recomputed from scratch | words | rows of these slots that differ |
|---|---|---|
{stock_table}
"""


def hex_row(rows: np.ndarray) -> str:
    """Layer 0, head 0, slot 1 as hex words, eight a line."""
    w = bits.hex_words(rows[0, 0, 1])
    return "\n            ".join(" ".join(w[i : i + 8]) for i in range(0, len(w), 8))


def manifest(prompt: str, fixed: dict[str, np.ndarray]) -> dict:
    """What was run, on what, with which result."""
    return {
        "schema": "lab02.dump/1",
        "experiment": "22-yesterday-worked",
        "date": date.today().isoformat(),
        "versions": versions(),
        "platform": platform.platform(),
        "config": {
            "model": "minigpt",
            "weights_sha256": weights_sha256(),
            "order": FIXED_ORDER,
            "prompt": prompt,
            "decoded": TOKENIZER.decode([fixed["tokens"][-1]]),
            "slots": list(range(fixed["k_cached"].shape[-2])),
        },
        "results_summary": {
            "rows": sum(mask.size for mask in differing_rows(fixed).values()),
            "differing": n_differing(fixed),
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder for the three files")
    parser.add_argument("--prompt", default=PROMPT, help=f"two or more words of the grammar (default: {PROMPT})")
    args = parser.parse_args()
    if len(TOKENIZER.encode(args.prompt)) < 2:
        parser.error("--prompt takes two or more words")
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    fixed, stock = run("fixed", args.prompt), [run("stock", args.prompt, n_new) for n_new in (1, 2, 4, 8)]
    np.savez(args.out / "slots.npz", **fixed)
    (args.out / "report.md").write_text(report(args.prompt, fixed, stock), encoding="utf-8")
    (args.out / "manifest.json").write_text(json.dumps(manifest(args.prompt, fixed), indent=2) + "\n", encoding="utf-8")
    for name in ("k", "v"):
        names = (f"cached {name.upper()}", f"recomputed {name.upper()}")
        print(bits.report(fixed[f"{name}_cached"], fixed[f"{name}_full"], names, ("layer", "head", "slot", "dim")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
