"""Lab 02, blocks A, C and D: a KV cache must change nothing.

Your work: six TODOs, in the order below. The file runs as it is, and the checker will tell you what is still open.
What is done for you is the paperwork: the command line, the manifest, the layout of results.json (its schema is in
labs/02/schemas).
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
    # TODO 1: take 20 adverbial, 20 partial and 10 mixed prompts from sample_prompts(PROMPT_SEED, ...), number their
    # ids p00 to p49, and give prompt i the generation seed 1000 + i. Until then, one prompt:
    return [{"id": "p00", "prompt": "Yesterday I", "kind": "adverbial", "seed": 1000}]


def run_case(case: dict, max_new_tokens: int) -> dict:
    """Both paths on one prompt, compared."""
    ids = TOKENIZER.encode(case["prompt"])
    cached, uncached = Trace(KEPT), Trace(KEPT)

    seed_everything(case["seed"])
    tokens_cached = generate(ids, max_new_tokens, cache=True, trace=cached)

    # TODO 2: the second path: the same prompt and number of tokens, cache=False, trace=uncached. What must you do again
    # before it, and what happens to the sample if you do not?
    tokens_uncached: list[int] = []

    return compare(case, len(ids), tokens_cached, tokens_uncached, cached, uncached)


def compare(
    case: dict, n_ids: int, tokens_cached: list, tokens_uncached: list, cached: Trace, uncached: Trace, row: int = 0
) -> dict:
    """One entry of results.json: tokens, and the rows of K, V and logits of one sequence."""
    if not uncached.calls:  # TODO 2 is still open: there is nothing to compare with
        k_cached = v_cached = k_uncached = v_uncached = logits_cached = logits_uncached = np.zeros((0, 1), np.float32)
    else:
        (k_cached, v_cached), (k_uncached, v_uncached) = cached.slots(row), uncached.slots(row)
        logits_cached, logits_uncached = cached.logits(row), uncached.logits(row)
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
        "logits": compare_rows(logits_cached, logits_uncached),
    }


def first_divergence(a: list, b: list) -> int | None:
    """The first step at which two token lists differ, None if they are the same."""
    # TODO 3: mind lists of unequal length. Until then every pair of lists is said to differ at once:
    return 0


def compare_rows(a: np.ndarray, b: np.ndarray) -> dict:
    """How many rows (the last axis) of two arrays differ in any bit, and what both arrays hash to."""
    # TODO 4: a row differs when any of its words does: bits.words() gives the words. Why not a != b? (NaN, -0.0.)
    differing = np.ones(a.shape[:-1], dtype=bool)  # until then, every row is said to differ
    return {"cached": sha256(a), "uncached": sha256(b), "rows": differing.size, "differing": int(differing.sum())}


def sha256(x: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(x, dtype="<f4").tobytes()).hexdigest()


def summarise(cases: list[dict]) -> dict:
    """Passes and failures of a run, counted from its cases: tokens and bytes apart."""
    # TODO 5: count. A case passes on tokens when its first_divergence is None, and on bytes when none of its k, v and
    # logits rows differ. The two steps are the smallest and largest first_divergence, None if no case diverged.
    return {
        "n": len(cases),
        "tokens_passed": 0,
        "tokens_failed": len(cases),
        "bytes_passed": 0,
        "bytes_failed": len(cases),
        "first_divergence_step_min": 0,
        "first_divergence_step_max": 0,
    }


def run(ops: str, prompts: list[dict]) -> dict:
    """Every prompt on one implementation of the operations."""
    with use_ops(ops):
        cases = [run_case(case, MAX_NEW_TOKENS) for case in tqdm(prompts, desc=f"{ops} ops", unit="prompt")]
    return {"order": FIXED_ORDER if ops == "fixed" else "stock", "cases": cases, "summary": summarise(cases)}


# ---- Block C: longer, wider, and resumed ------------------------------------------------------------------------


def run_extended(prompts: list[dict]) -> dict | None:
    """256 new tokens; four sequences at once; five tokens onto a warm cache. On fixed-order operations."""
    # TODO 6: {"long": one case, "batch": four cases, "warm": one case}, when the 50 prompts pass. The brief says with
    # which prompts and seeds. For a batch, give generate lists of prompts and seeds and compare row by row (compare
    # takes row=). For the warm start, use a KVCache.for_model(...) as the brief says: another prompt, reset, the whole
    # prompt, truncate; then generate from its last 5 ids with cache=that_cache.
    return None


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
