"""Lab 02, blocks A, C and D: a KV cache must change nothing.

Runs every prompt twice with one seed, with a cache and without, and compares tokens, K rows, V rows and logits byte for
byte: once on fixed-order operations, once on PyTorch's own ("stock"). Writes results.json and manifest.json.
"""

import argparse
import hashlib
import json
import platform
import sys
from datetime import date
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from courselib import bits
from courselib.environment import versions
from courselib.generate import generate
from courselib.grammar.prompts import sample_prompts
from courselib.kernels import FIXED_ORDER, use_ops
from courselib.kv_cache import KVCache
from courselib.minigpt import load_minigpt, weights_sha256
from courselib.seeding import seed_everything
from courselib.tokenizer import WordTokenizer
from courselib.trace import Trace

PROMPT_SEED = 1  # which prompts; the generation seeds below are others on purpose
MAX_NEW_TOKENS = 64
TOKENIZER = WordTokenizer.from_grammar()
KEPT = ("k", "v", "logits")  # what a trace needs to keep for this test


# ---- Block A: the property, on one prompt after another ---------------------------------------------------------


def lab_prompts() -> list[dict]:
    """The lab's 50 prompts, each with its own generation seed."""
    prompts = sample_prompts(PROMPT_SEED, n_adverbial=20, n_partial=20, n_mixed=10)
    return [{"id": f"p{i:02}", "prompt": p.text, "kind": p.kind, "seed": 1000 + i} for i, p in enumerate(prompts)]


def run_case(case: dict, max_new_tokens: int) -> dict:
    """Both paths on one prompt, compared."""
    ids = TOKENIZER.encode(case["prompt"])
    cached, uncached = Trace(KEPT), Trace(KEPT)

    seed_everything(case["seed"])
    tokens_cached = generate(ids, max_new_tokens, cache=True, trace=cached)

    seed_everything(case["seed"])  # the first run moved the generator on: without this line, another sample
    tokens_uncached = generate(ids, max_new_tokens, cache=False, trace=uncached)

    return compare(case, len(ids), tokens_cached, tokens_uncached, cached, uncached)


def compare(
    case: dict, n_ids: int, tokens_cached: list, tokens_uncached: list, cached: Trace, uncached: Trace, row: int = 0
) -> dict:
    """One entry of results.json: tokens, and the rows of K, V and logits of one sequence."""
    (k_cached, v_cached), (k_uncached, v_uncached) = cached.slots(row), uncached.slots(row)
    return {
        **case,
        "prompt_tokens": n_ids,
        "tokens": {
            "cached": tokens_cached,
            "uncached": tokens_uncached,
            "first_divergence": first_divergence(tokens_cached, tokens_uncached),
        },
        "k": compare_rows(k_cached, k_uncached),
        "v": compare_rows(v_cached, v_uncached),
        "logits": compare_rows(cached.logits(row), uncached.logits(row)),
    }


def first_divergence(a: list, b: list) -> int | None:
    """The first step at which two token lists differ, None if they are the same."""
    if a == b:
        return None
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def compare_rows(a: np.ndarray, b: np.ndarray) -> dict:
    """How many rows (the last axis) of two arrays differ in any bit, and what both arrays hash to."""
    differing = (bits.words(a) != bits.words(b)).any(axis=-1)
    return {"cached": sha256(a), "uncached": sha256(b), "rows": differing.size, "differing": int(differing.sum())}


def sha256(x: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(x, dtype="<f4").tobytes()).hexdigest()


def summarise(cases: list[dict]) -> dict:
    """Passes and failures of a run, counted from its cases: tokens and bytes apart."""
    steps = [c["tokens"]["first_divergence"] for c in cases if c["tokens"]["first_divergence"] is not None]
    bytes_passed = sum(all(c[part]["differing"] == 0 for part in KEPT) for c in cases)
    return {
        "n": len(cases),
        "tokens_passed": len(cases) - len(steps),
        "tokens_failed": len(steps),
        "bytes_passed": bytes_passed,
        "bytes_failed": len(cases) - bytes_passed,
        "first_divergence_step_min": min(steps, default=None),
        "first_divergence_step_max": max(steps, default=None),
    }


def run(ops: str, prompts: list[dict]) -> dict:
    """Every prompt on one implementation of the operations."""
    with use_ops(ops):
        cases = [run_case(case, MAX_NEW_TOKENS) for case in tqdm(prompts, desc=f"{ops} ops", unit="prompt")]
    return {"order": FIXED_ORDER if ops == "fixed" else "stock", "cases": cases, "summary": summarise(cases)}


# ---- Block C: longer, wider, and resumed ------------------------------------------------------------------------


def run_extended(prompts: list[dict]) -> dict:
    """256 new tokens; four sequences at once; five tokens onto a warm cache. On fixed-order operations."""
    with use_ops("fixed"):
        return {
            "long": run_case({**prompts[0], "id": "long", "seed": 2000}, 256),
            "batch": run_batch([prompts[i] for i in (0, 20, 30, 40)]),
            "warm": run_warm({**prompts[40], "id": "warm", "seed": 2005}, before=prompts[20]["prompt"]),
        }


def run_batch(prompts: list[dict]) -> list[dict]:
    """Four prompts of unequal length in one call: each must say what it says with no cache."""
    cases = [{**p, "id": f"batch{row}", "seed": 2001 + row} for row, p in enumerate(prompts)]
    ids = [TOKENIZER.encode(case["prompt"]) for case in cases]
    seeds = [case["seed"] for case in cases]
    cached, uncached = Trace(KEPT), Trace(KEPT)
    a = generate(ids, MAX_NEW_TOKENS, cache=True, seed=seeds, trace=cached)
    b = generate(ids, MAX_NEW_TOKENS, cache=False, seed=seeds, trace=uncached)
    return [compare(c, len(ids[r]), a[r], b[r], cached, uncached, row=r) for r, c in enumerate(cases)]


def run_warm(case: dict, before: str) -> dict:
    """A cache that was used and reset, filled and cut back; then the prompt's last 5 tokens go in, with q_len = 5."""
    ids, model = TOKENIZER.encode(case["prompt"]), load_minigpt()
    cached, uncached = Trace(KEPT), Trace(KEPT)
    cache = KVCache.for_model(model)
    with torch.no_grad():
        model(torch.tensor([TOKENIZER.encode(before)]), cache)
        cache.reset()  # nothing of it may be left
        model(torch.tensor([ids]), cache)
        cache.truncate(len(ids) - 5)  # and nothing of those 5
    a = generate(ids[-5:], MAX_NEW_TOKENS, cache=cache, seed=case["seed"], trace=cached)
    b = generate(ids, MAX_NEW_TOKENS, cache=False, seed=case["seed"], trace=uncached)
    return compare(case, len(ids), a, b, cached, uncached)


# ---- Block D: the manifest, and the command line -----------------------------------------------------------------


def manifest(results: dict) -> dict:
    """What was run, on what, with which result."""
    fixed = results["runs"]["fixed"]
    lengths = [case["prompt_tokens"] for case in fixed["cases"]]
    summary = fixed["summary"]
    return {
        "schema": "lab02.manifest/1",
        "experiment": "22-cache-correctness",
        "date": date.today().isoformat(),
        "seed_prompt_sampler": PROMPT_SEED,
        "seed_generation_per_prompt": "1000 + prompt index",
        "versions": versions(),
        "platform": platform.platform(),
        "config": {
            "model": "minigpt",
            "weights_sha256": weights_sha256(),
            "order": fixed["order"],
            "n_prompts": len(lengths),
            "prompt_len_range": {"min": min(lengths), "max": max(lengths), "unit": "tokens"},
            "max_new_tokens": MAX_NEW_TOKENS,
            "batch_size": 1,
            "temperature": 1.0,
            "top_k": None,
        },
        "results_summary": {
            "passed": summary["tokens_passed"],
            "failed": summary["tokens_failed"],
            "bytes_passed": summary["bytes_passed"],
            "bytes_failed": summary["bytes_failed"],
            "first_divergence_step_min": summary["first_divergence_step_min"],
            "first_divergence_step_max": summary["first_divergence_step_max"],
        },
    }


def show(results: dict) -> None:
    """Both verdicts side by side: what the tokens say, and what the bytes say."""
    print(f"{'':14}{'tokens equal':>16}{'bytes equal':>16}   K rows that differ")
    for ops, result in results["runs"].items():
        s, cases = result["summary"], result["cases"]
        rows, differing = (sum(c["k"][key] for c in cases) for key in ("rows", "differing"))
        tokens, all_bytes = f"{s['tokens_passed']}/{s['n']}", f"{s['bytes_passed']}/{s['n']}"
        print(f"{ops + ' ops':14}{tokens:>16}{all_bytes:>16}   {differing:,} of {rows:,}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder for the two JSON files")
    parser.add_argument("--prompts", type=Path, help="other prompts: a JSON list of {id, prompt, kind, seed}")
    parser.add_argument("--ops", default="fixed,stock", help="which operations to run on (default: fixed,stock)")
    parser.add_argument("--no-extended", action="store_true", help="leave out block C")
    args = parser.parse_args()

    torch.set_num_threads(1)  # a model this small loses more to waking a second thread than it gains
    prompts = lab_prompts() if args.prompts is None else json.loads(args.prompts.read_text(encoding="utf-8"))
    results = {
        "schema": "lab02.results/1",
        "prompt_seed": PROMPT_SEED if args.prompts is None else None,
        "max_new_tokens": MAX_NEW_TOKENS,
        "runs": {ops: run(ops, prompts) for ops in args.ops.split(",")},
        "extended": None if args.no_extended else run_extended(lab_prompts()),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if "fixed" in results["runs"]:
        (args.out / "manifest.json").write_text(json.dumps(manifest(results), indent=2) + "\n", encoding="utf-8")
    show(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
