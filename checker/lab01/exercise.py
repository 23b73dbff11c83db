"""Lab 01, done for you: puts your cache through its exercises and writes down what it gave, in bytes.

    python exercise.py                    the lab's own cases: writes results.json and manifest.json
    python exercise.py --show a4          one case, operation by operation, and writes nothing
    python exercise.py --show ha4 --seed 7    the same for a case that the checker drew from the hidden seed 7

It makes your cache, does to it what the scripts of cases.py say, and then has the model generate with it. It does not
know what is right: the checker does. It brings its own copies of this file and of cases.py, so there is nothing to win
by changing them: the work is in kv_cache.py.
"""

import argparse
import hashlib
import importlib
import json
import platform
import sys
import traceback
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from cases import (  # type: ignore[import-not-found]
    CASE_SEED,
    FILLS,
    GONE,
    hidden_cases,
    lab_cases,
    lab_generations,
    words,
)

from courselib import bits
from courselib.environment import versions
from courselib.generate import generate
from courselib.kernels import FIXED_ORDER, use_ops
from courselib.minigpt import MiniGPT, load_minigpt, weights_sha256
from courselib.tokenizer import WordTokenizer
from courselib.trace import Trace

HIDDEN = "courselib.kv_cache"
NO_TENSORS = "it is to be a pair of tensors (K, V)"
POKED = 2.0  # what a row is overwritten with

# ---- one operation ------------------------------------------------------------------------------------------------


def act(op: dict, n: int, case: dict, cache: Any) -> tuple[list[list[int]], list[np.ndarray]]:
    """Do operation number n to the cache. Answers the whole numbers and the words it gave, copied at once."""
    numbers: list[list[int]] = []
    seen: list[torch.Tensor] = []
    match op["do"]:
        case "append":
            k, v = (tensor(case["seed"], n, i, op) for i in range(2))
            cache.append(op["layer"], k, v, *([] if op["count"] is None else [op["count"]]))
            for x in (k, v):  # a cache that kept these tensors, and not their rows, will show it
                if x.device.type == "cpu" and str(x.dtype) != "torch.float64":
                    x.view(whole(x.dtype)).fill_(GONE[str(x.dtype).removeprefix("torch.")])
        case "read":
            seen = list(pair(cache.read(op["layer"])))
        case "lengths":
            numbers = [[int(length) for length in cache.lengths]]
        case "data":
            seen = [cache.data]
        case "pages":
            numbers = [[int(page) for page in some] for some in (*cache.tables, cache.free)]
            seen = [cache.pool]
        case "fill":
            fill(cache, case["cache"], op["value"])
        case "first" if op["first"] is None:
            numbers = [[int(slot) for slot in cache.first]]
        case "first":
            cache.first = list(op["first"])
        case "truncate":
            cache.truncate(op["n"])
        case "reset":
            cache.reset()
        case "release":
            cache.release(op["sequence"])
    return numbers, [bits.words(x).copy() for x in seen]


def play(case: dict, module: ModuleType) -> list[dict]:
    """What each operation of a case gave; one that ended with an exception gave that."""
    answers = []
    cache = None
    for n, op in enumerate(case["ops"]):
        answer: dict = {"raised": None, "said": None, "numbers": [], "arrays": []}
        try:
            if op["do"] == "make":
                cache = make(case, module)
            else:
                answer["numbers"], answer["arrays"] = act(op, n, case, cache)
        except Exception as error:
            answer["raised"], answer["said"] = name_of(error), said(error)
        answers.append(answer)
    return answers


def make(case: dict, module: ModuleType) -> Any:
    dtype = getattr(torch, case["dtype"])
    L, B, H_kv, slots, d_h = (case[name] for name in ("layers", "batch", "kv_heads", "slots", "head_dim"))
    if case["cache"] == "paged":
        return module.PagedKVCache(L, B, H_kv, d_h, slots, case["pages"], dtype=dtype)
    return module.KVCache(L, B, H_kv, slots, d_h, dtype=dtype)


def tensor(seed: int, n: int, which: int, op: dict) -> torch.Tensor:
    """k (which 0) or v (1) of append number n."""
    shape, dtype = op["kv"[which]], op[f"{'kv'[which]}_dtype"]
    if op["device"] != "cpu":
        return torch.empty(shape, dtype=getattr(torch, dtype), device=op["device"])
    raw = words(seed, n, which, shape, dtype)
    return torch.from_numpy(raw.view(f"int{8 * raw.itemsize}")).view(getattr(torch, dtype))


def fill(cache: Any, kind: str, value: str) -> None:
    """Put one word into every slot there is."""
    data = cache.pool if kind == "paged" else cache.data
    data.view(whole(data.dtype)).fill_(FILLS[value][str(data.dtype).removeprefix("torch.")])


def whole(dtype: torch.dtype) -> torch.dtype:
    return torch.int16 if dtype.itemsize == 2 else torch.int32


def pair(found: Any) -> tuple[torch.Tensor, torch.Tensor]:
    if not isinstance(found, tuple | list) or len(found) != 2 or not all(torch.is_tensor(x) for x in found):
        raise TypeError(f"read gave {type(found).__name__}; {NO_TENSORS}")
    return found[0], found[1]


def name_of(error: Exception) -> str:
    """ValueError and TypeError for what is derived from them too."""
    return next((kind.__name__ for kind in (ValueError, TypeError) if isinstance(error, kind)), type(error).__name__)


def said(error: Exception) -> str:
    """One line: the exception, and the line of kv_cache.py that it came from."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).name == "kv_cache.py"]
    text = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {text}"[:300] + (f" (kv_cache.py, line {lines[-1]})" if lines else "")


# ---- with the model -----------------------------------------------------------------------------------------------


class Watched:
    """Your cache, as the model is given it: what read() gives is looked at before anything is computed from it."""

    def __init__(self, cache: Any, layers: int, batch: int) -> None:
        self.cache, self.held = cache, [[0] * batch for _ in range(layers)]

    @property
    def lengths(self) -> list[int]:
        lengths = [int(n) for n in self.cache.lengths]
        if lengths != self.held[0]:
            raise ValueError(f"lengths gave {lengths}, after these appends it is {self.held[0]}")
        return lengths

    @property
    def first(self) -> list[int]:
        return list(self.cache.first)

    @first.setter
    def first(self, first: list[int]) -> None:
        self.cache.first = list(first)

    def append(self, layer: int, k: torch.Tensor, v: torch.Tensor, count: list[int]) -> None:
        self.cache.append(layer, k, v, list(count))
        self.held[layer] = [h + n for h, n in zip(self.held[layer], count, strict=True)]
        B, H_kv, _, d_h = k.shape
        self.shape = (B, H_kv, max(self.held[layer]), d_h)

    def read(self, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        k, v = pair(self.cache.read(layer))
        for name, x in (("K", k), ("V", v)):
            if (tuple(x.shape), x.dtype) != (self.shape, torch.float32):
                given = f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}"
                raise ValueError(f"read({layer}) gave {name} as {given}, after these appends it is {self.shape}")
        return k.clone(), v.clone()

    def keep(self, n: int) -> None:
        self.held = [[n] * len(held) for held in self.held]


def run(ask: dict, module: ModuleType, model: MiniGPT) -> tuple[list[list[int]], Trace]:
    """One call of generate with your cache: the new tokens of each prompt, and what attention read on the way."""
    c, ids = model.config, encode(ask["prompts"])
    B, longest = len(ids), max(map(len, ids)) + ask["new"]
    if ask["cache"] == "paged":  # just as many pages as these sequences need
        size = ask["page_size"]
        pages = sum(-(-(len(row) + ask["new"] - 1) // size) for row in ids)
        cache = module.PagedKVCache(c.n_layers, B, c.n_kv_heads, c.head_dim, size, pages)
    else:
        before = max(map(len, encode(ask["before"] or [])), default=0) + 2
        cache = module.KVCache(c.n_layers, B, c.n_kv_heads, max(longest, before), c.head_dim)
    if ask["fill"]:
        fill(cache, ask["cache"], ask["fill"])
    watched = Watched(cache, c.n_layers, B)
    yours: Any = watched  # has what the model asks of a cache
    if ask["before"]:
        generate(encode(ask["before"]), 2, cache=yours, seed=0)
        cache.reset()
        watched.keep(0)
    with torch.no_grad():
        if ask["cut"]:
            model(torch.tensor(ids), yours)
            watched.keep(len(ids[0]) - ask["cut"])
            cache.truncate(len(ids[0]) - ask["cut"])
            ids = [ids[0][-ask["cut"] :]]
        if poke := ask["poke"]:
            model(torch.tensor([ids[0][:-1]]), yours)
            cache.data[poke["layer"], poke["pair"], poke["sequence"], poke["head"], poke["slot"]] = POKED
            ids = [ids[0][-1:]]
    trace = Trace(("k", "v", "logits"))
    options = {"prefill_chunk": ask["chunk"], "padding": ask["padding"]}
    return generate(ids, ask["new"], cache=yours, seed=ask["seeds"], trace=trace, **options), trace


def encode(prompts: list[str]) -> list[list[int]]:
    tokenizer = WordTokenizer.from_grammar()
    return [tokenizer.encode(prompt) for prompt in prompts]


def generated(ask: dict, module: ModuleType, model: MiniGPT) -> tuple[dict, dict[str, np.ndarray]]:
    """The entry of results.json, and the arrays by "ROW.k", "ROW.v" and "ROW.logits"."""
    entry: dict = {"id": ask["id"], "stopped": None, "tokens": [], "k": [], "v": [], "logits": []}
    entry |= {"compared": 0, "differing": 0}
    try:
        tokens, trace = run(ask, module, model)
    except Exception as error:
        return entry | {"stopped": said(error)}, {}
    arrays = {}
    entry["tokens"] = tokens
    for row, (prompt, seed) in enumerate(zip(encode(ask["prompts"]), ask["seeds"], strict=True)):
        alone = Trace(("k", "v", "logits"))
        generate(prompt, ask["new"], cache=False, seed=seed, trace=alone)
        (k, v), (k_alone, v_alone) = trace.slots(row), alone.slots()
        for name, x, y in (("k", k, k_alone), ("v", v, v_alone), ("logits", trace.logits(row), alone.logits())):
            found = arrays[f"{row}.{name}"] = bits.words(x).copy()
            entry[name].append(sha256(found))
            entry["compared"] += found[..., 0].size
            entry["differing"] += int((found != bits.words(y)).any(axis=-1).sum())
    return entry, arrays


# ---- results.json, manifest.json ----------------------------------------------------------------------------------


def sha256(x: np.ndarray) -> str:
    """Over the little-endian words, in C order."""
    return hashlib.sha256(np.ascontiguousarray(x, x.dtype.newbyteorder("<")).tobytes()).hexdigest()


def told(answer: dict) -> dict:
    """An answer for a JSON file: its arrays are named by dtype and shape."""
    return answer | {"arrays": [{"dtype": str(x.dtype), "shape": list(x.shape)} for x in answer["arrays"]]}


def entry_of(case: dict, answers: list[dict]) -> dict:
    """The entry of results.json: how much was refused, how many K and V rows read() gave, and a digest of it all."""
    digest = hashlib.sha256()
    for answer in answers:
        facts = told(answer)
        digest.update(json.dumps([facts["raised"], facts["numbers"], facts["arrays"]]).encode())
        digest.update("".join(map(sha256, answer["arrays"])).encode())
    read = [x for op, a in zip(case["ops"], answers, strict=True) if op["do"] == "read" for x in a["arrays"]]
    return {
        "id": case["id"],
        "block": case["block"],
        "operations": len(answers),
        "refused": sum(answer["raised"] is not None for answer in answers),
        "rows": sum(x[..., 0].size for x in read if x.ndim and x.shape[-1]),
        "sha256": digest.hexdigest(),
    }


def summarise(cases: list[dict], generations: list[dict], poked: set[str]) -> dict:
    """poked: the generations in which a row was overwritten, which are not to equal a run without a cache."""
    sound = [g for g in generations if g["id"] not in poked]
    return {
        "cases": len(cases),
        "operations": sum(case["operations"] for case in cases),
        "refused": sum(case["refused"] for case in cases),
        "rows_read": sum(case["rows"] for case in cases),
        "generations": len(sound),
        "generations_equal": sum(g["stopped"] is None and g["differing"] == 0 for g in sound),
        "rows_compared": sum(g["compared"] for g in sound),
        "rows_differing": sum(g["differing"] for g in sound),
        "pokes": len(poked),
        "pokes_seen": sum(g["differing"] > 0 for g in generations if g["id"] in poked),
    }


def manifest(results: dict) -> dict:
    """What was run, on what, with which result."""
    return {
        "schema": "lab01.manifest/1",
        "experiment": "01-write-the-cache",
        "date": date.today().isoformat(),
        "versions": versions(),
        "platform": platform.platform(),
        "config": {
            "case_seed": CASE_SEED,
            "n_cases": len(results["cases"]),
            "n_generations": len(results["generations"]),
            "model": "minigpt",
            "weights_sha256": weights_sha256(),
            "order": FIXED_ORDER,
        },
        "results_summary": results["summary"],
    }


# ---- for your eyes ------------------------------------------------------------------------------------------------


def show(case: dict, answers: list[dict]) -> None:
    """Each operation, and the first word of each row it gave or was given."""
    print(f"{case['id']}: {case['cache']}, {case['dtype']}, all numbers as hex words, of each row the first")
    for n, (op, answer) in enumerate(zip(case["ops"], answers, strict=True)):
        print(f"{n:4}  {call(op)}" + (f"  ->  {answer['said']}" if answer["said"] else ""))
        given: list[np.ndarray] = answer["arrays"]
        if op["do"] == "append" and op["device"] == "cpu":
            given = [words(case["seed"], n, i, op["kv"[i]], op[f"{'kv'[i]}_dtype"]) for i in range(2)]
        for numbers in answer["numbers"]:
            print(f"        {numbers}")
        if op["do"] in ("append", "read"):
            for name, x in zip(("k", "v") if op["do"] == "append" else ("K", "V"), given, strict=True):
                _rows(name, x)
        elif given:
            print(f"        {given[0].shape}")


def call(op: dict) -> str:
    if op["do"] == "append":
        more = "" if op["count"] is None else f", count={op['count']}"
        k, v = (f"{name} {op[f'{name}_dtype']} {tuple(op[name])}" for name in "kv")
        on = "" if op["device"] == "cpu" else f" on {op['device']}"
        return f"append({op['layer']}, {k}, {v}{more}){on}"
    return f"{op['do']}({', '.join(str(value) for name, value in op.items() if name != 'do')})"


def _rows(name: str, x: np.ndarray) -> None:
    if x.ndim != 4 or not x.size:
        print(f"        {name} {x.shape}")
        return
    for b, h in np.ndindex(x.shape[:2]):
        print(f"        {name}  sequence {b}, head {h}:  {' '.join(bits.hex_words(x[b, h, :, 0]))}")


def table(results: dict, poked: set[str]) -> None:
    print("block  cases  operations  exceptions  K and V rows read")
    for block in "ABCD":
        some = [case for case in results["cases"] if case["block"] == block]
        sums = (sum(case[name] for case in some) for name in ("operations", "refused", "rows"))
        print("{:5}{:7}{:12}{:12}{:19,}".format(block, len(some), *sums))
    print("\ngeneration  rows compared with a run without a cache  that differ")
    for g in results["generations"]:
        what = f"{g['compared']:41,}{g['differing']:13,}" if g["stopped"] is None else f"  stopped: {g['stopped']}"
        if g["id"] in poked and g["stopped"] is None:
            what += "  (a row was overwritten: some must)"
        print(f"{g['id']:10}{what}")


def yours() -> ModuleType:
    """kv_cache.py, with courselib's own cache out of reach: a cache of somebody else's is not yours."""

    class Hide:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == HIDDEN:
                raise ImportError(f"{HIDDEN} cannot be imported here: the cache is yours to write")

    for name, module in list(sys.modules.items()):
        if name.startswith("courselib"):
            for theirs in ("KVCache", "PagedKVCache", "kv_cache"):
                vars(module).pop(theirs, None)
    sys.modules.pop(HIDDEN, None)
    sys.meta_path.insert(0, Hide())
    sys.path.insert(0, str(Path(__file__).parent))
    return importlib.import_module("kv_cache")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder for the two JSON files")
    parser.add_argument("--show", metavar="ID", help="play one case, operation by operation, and write nothing")
    parser.add_argument("--seed", type=int, help="with --show: the hidden seed it was drawn from")
    parser.add_argument("--cases", type=Path, help="other cases: JSON; then all that was given is kept, as an npz")
    args = parser.parse_args()

    torch.set_num_threads(1)
    asked = {"cases": lab_cases(), "generations": lab_generations()}
    if args.cases is not None:
        asked = json.loads(args.cases.read_text(encoding="utf-8"))
    elif args.seed is not None:
        if not args.show:
            parser.error("--seed goes with --show: results.json is about the lab's own cases")
        asked = {"cases": hidden_cases(args.seed), "generations": []}
    module = yours()
    if args.show:
        found = [case for case in asked["cases"] if case["id"] == args.show]
        if not found:
            parser.error(f"there is no case {args.show}: {', '.join(case['id'] for case in asked['cases'])}")
        show(found[0], play(found[0], module))
        return 0

    played = [play(case, module) for case in asked["cases"]]
    with use_ops("fixed"):
        model = load_minigpt()
        made = [generated(ask, module, model) for ask in asked["generations"]]
    poked = {ask["id"] for ask in asked["generations"] if ask["poke"]}
    cases = [entry_of(*what) for what in zip(asked["cases"], played, strict=True)]
    generations = [entry for entry, _ in made]
    results = {
        "schema": "lab01.results/1",
        "case_seed": CASE_SEED if args.cases is None else None,
        "cases": cases,
        "generations": generations,
        "summary": summarise(cases, generations, poked),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (args.out / "manifest.json").write_text(json.dumps(manifest(results), indent=2) + "\n", encoding="utf-8")
    if args.cases is not None:
        answers = {case["id"]: list(map(told, some)) for case, some in zip(asked["cases"], played, strict=True)}
        (args.out / "answers.json").write_text(json.dumps({"cases": answers}), encoding="utf-8")
        arrays = {
            f"{case['id']}.{n}.{i}": x
            for case, some in zip(asked["cases"], played, strict=True)
            for n, answer in enumerate(some)
            for i, x in enumerate(answer["arrays"])
        } | {f"{entry['id']}.{name}": x for entry, some in made for name, x in some.items()}
        np.savez(args.out / "outputs.npz", **arrays)
    table(results, poked)
    return 0


if __name__ == "__main__":
    sys.exit(main())
