"""Lab 03, done for you: asks costs.py for numbers, counts the real thing beside them, and times decode steps.

    python measure.py [--out DIR] [--cases FILE]

Writes results.json (formula beside count; every sample of every timing, in nanoseconds) and manifest.json. It takes
about a quarter of a minute. With --cases it times nothing, and writes formulas.json: what costs.py says of other cases.
The checker brings its own copy of this file, so there is nothing to win by changing it: the work is in costs.py.
"""

import argparse
import importlib
import json
import numbers
import platform
import random
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import cases  # type: ignore[import-not-found]
import torch
from torch import Tensor

from courselib.counting import counting
from courselib.environment import versions
from courselib.generate import generate
from courselib.kernels import use_ops
from courselib.kernels.cpu.build import NoCompilerError
from courselib.kv_cache import KVCache
from courselib.minigpt import Config, MiniGPT
from courselib.seeding import seed_everything

# ---- what costs.py says ----------------------------------------------------------------------------------------------


def of_step(costs: ModuleType, case: dict) -> dict:
    """The five numbers for one forward pass."""
    c, B, T, S, size = config(case), case["B"], case["T"], case["S"], case["size"]
    return {
        "flops": number(costs.flops(c, B, T, S)),
        "weight_bytes": number(costs.weight_bytes(c, size)),
        "kv_bytes_read": number(costs.kv_bytes_read(c, B, T, S, size)),
        "kv_bytes_written": number(costs.kv_bytes_written(c, B, T, size)),
        "cache_bytes": number(costs.cache_bytes(c, B, S + T, size)),
    }


def of_generation(costs: ModuleType, case: dict) -> dict:
    """The same five for a whole generation."""
    what = [case[name] for name in ("B", "prompt", "new", "cache", "size")]
    found = costs.generation(config(case), *what)
    return {name: number(found.get(name)) for name in COUNTED}


def number(value: object) -> int | float | None:
    """A whole number as it is, another number as a float; null for what is none, or larger than anything asked for."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    found = int(value) if isinstance(value, numbers.Integral) else float(value)
    return found if abs(found) < 10**19 else None


def config(case: dict, max_slots: int = 512) -> Config:
    return Config(**case["shape"], max_slots=max_slots)


# ---- what the model does ---------------------------------------------------------------------------------------------

COUNTED = ("flops", "weight_bytes", "kv_bytes_read", "kv_bytes_written", "cache_bytes")


class CountingCache(KVCache):
    """A KVCache that counts the bytes written into it."""

    written = 0

    def append(self, layer: int, k: Tensor, v: Tensor, count: object = None) -> None:
        super().append(layer, k, v, count)  # type: ignore[arg-type]
        self.written += k.nbytes + v.nbytes


@torch.no_grad()
def count_step(case: dict) -> dict:
    """One pass of T tokens with S slots held, counted call by call (courselib.counting)."""
    model, B, T, S = MiniGPT(config(case)).eval(), case["B"], case["T"], case["S"]
    cache: Any = CountingCache.for_model(model, B, max_slots=S + T)  # room for what it will hold, and no more
    tokens = torch.zeros(B, S + T, dtype=torch.int64)
    if S:
        model(tokens[:, :S], cache)
    cache.written = 0
    with counting() as counts:
        model(tokens[:, S:], cache, last_only=True)
    return _counted(counts, cache.written, cache.data.nbytes)


def count_generation(case: dict) -> dict:
    """A real call of generate, counted."""
    model = MiniGPT(config(case)).eval()
    prompts = [[0] * case["prompt"]] * case["B"]
    cache: Any = CountingCache.for_model(model, case["B"]) if case["cache"] else None
    with counting() as counts:
        generate(prompts, case["new"], cache=cache or False, temperature=0, model=model)
    if cache is None:
        return _counted(counts, 0, 0)
    held = cache.data[..., : cache.lengths[0], :]  # of the room there is, what holds something at the end
    return _counted(counts, cache.written, held.nbytes)


def _counted(counts: object, written: int, held: int) -> dict:
    of = [getattr(counts, name) for name in ("flops", "weight_bytes", "kv_bytes")]
    return dict(zip(COUNTED, [*of, written, held], strict=True))


# ---- how long it takes -----------------------------------------------------------------------------------------------


def prepared(model: MiniGPT, point: dict) -> tuple[Callable[[], object], Callable[[], object]]:
    """The step to be timed, and what puts things back after it. With a cache: one token, n - 1 slots held. Without:
    all n tokens again, which is what a prefill of n tokens costs too."""
    B, n = point["B"], point["n"]
    tokens = torch.randint(model.config.vocab_size, (B, n))
    if not point["cache"]:
        return lambda: model(tokens, last_only=True), lambda: None
    cache = KVCache.for_model(model, B, max_slots=n)
    model(tokens[:, :-1], cache, last_only=True)
    return lambda: model(tokens[:, -1:], cache, last_only=True), lambda: cache.truncate(n - 1)


@torch.no_grad()
def timed() -> list[dict]:
    """Every point of the grid with its samples, in the order they were taken.

    A round times each point once, in an order of its own: if the machine is busy for a moment, it does not hit all the
    samples of one point.
    """
    seed_everything(cases.ORDER_SEED)  # an untrained model: what it has learned does not change what it costs
    model = MiniGPT(Config(**cases.MINIGPT, max_slots=max(cases.LENGTHS))).eval()
    points = [{**point, "samples_ns": []} for point in cases.grid()]
    ready = [prepared(model, point) for point in points]
    rng = random.Random(cases.ORDER_SEED)
    for _ in range(cases.WARMUP + cases.REPEATS):
        for i in rng.sample(range(len(points)), len(points)):
            step, put_back = ready[i]
            started = time.perf_counter_ns()
            step()
            points[i]["samples_ns"].append(time.perf_counter_ns() - started)
            put_back()
    return points


# ---- results.json, manifest.json -------------------------------------------------------------------------------------


def summarise(results: dict) -> dict:
    entries = [*results["costs"]["steps"], *results["costs"]["generations"]]
    pairs = [(entry["formula"][name], entry["counted"][name]) for entry in entries for name in COUNTED]
    pairs = [pair for pair in pairs if pair[1]]  # a 0 is right for who has not begun, too
    return {
        "values": len(pairs),
        "values_equal": sum(type(said) is int and said == counted for said, counted in pairs),
        "points": len(results["points"]),
        "samples": sum(len(point["samples_ns"]) for point in results["points"]),
    }


def manifest(results: dict, ops: str, seconds: float) -> dict:
    """What was run, on what, with which result."""
    return {
        "schema": "lab03.manifest/1",
        "experiment": "03-cost-curves",
        "date": date.today().isoformat(),
        "versions": versions(),
        "platform": platform.platform(),
        "config": {
            "ops": ops,
            "threads": torch.get_num_threads(),
            "warmup": cases.WARMUP,
            "repeats": cases.REPEATS,
            "order_seed": cases.ORDER_SEED,
            "seconds": seconds,
        },
        "results_summary": results["summary"],
    }


def show(results: dict) -> None:
    print(f"{'':4}{'':18}{'costs.py says':>16}{'counted':>16}")
    for entry in [*results["costs"]["steps"], *results["costs"]["generations"]]:
        for name in COUNTED:
            said, counted = entry["formula"][name], entry["counted"][name]
            first = entry["id"] if name == COUNTED[0] else ""
            equal = type(said) is int and said == counted
            print(f"{first:4}{name:18}{said!s:>16}{counted:>16}{'' if equal else '   differ'}")
    print("\nmilliseconds: the fastest sample, and the slowest")
    for p in results["points"]:
        used = p["samples_ns"][results["warmup"] :]
        kind = "with a cache" if p["cache"] else "without"
        print(f"{p['sweep']:8}{kind:14}B {p['B']:<4}n {p['n']:<6}{min(used) / 1e6:9.3f}{max(used) / 1e6:9.3f}")


def write(folder: Path, name: str, document: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder for the JSON files")
    parser.add_argument("--cases", type=Path, help="other cases for costs.py; then nothing is counted or timed")
    args = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    costs = importlib.import_module("costs")  # your file, beside this one

    asked = {"steps": cases.steps(), "generations": cases.generations()}
    if args.cases is not None:
        asked = json.loads(args.cases.read_text(encoding="utf-8"))
    said: dict[str, list[dict]] = {
        "steps": [{**case, "formula": of_step(costs, case)} for case in asked["steps"]],
        "generations": [{**case, "formula": of_generation(costs, case)} for case in asked["generations"]],
    }
    if args.cases is not None:
        write(args.out, "formulas.json", {"schema": "lab03.formulas/1", **said})
        return 0

    torch.set_num_threads(1)
    ops = fastest_written_order()
    with use_ops(ops):
        for name, count in (("steps", count_step), ("generations", count_generation)):
            said[name] = [{**case, "counted": count(case)} for case in said[name]]
        print(f"timing {len(list(cases.grid()))} points on {ops} operations, one thread", flush=True)
        started = time.perf_counter()
        points = timed()
        seconds = time.perf_counter() - started
    results = {"schema": "lab03.results/1", "costs": said, "warmup": cases.WARMUP, "points": points}
    results["summary"] = summarise(results)
    write(args.out, "results.json", results)
    write(args.out, "manifest.json", manifest(results, ops, seconds))
    show(results)
    return 0


def fastest_written_order() -> str:
    """The course's own kernels, whose work is what the formulas count; PyTorch's where there is no C compiler."""
    try:
        with use_ops("fixed-c") as ops:
            return str(ops.NAME)
    except NoCompilerError:
        return "stock"


if __name__ == "__main__":
    sys.exit(main())
