"""Lab 05, done for you: runs your kernels behind PyTorch's names and writes down what came out, in bytes.

    python measure.py [--out DIR] [--cases FILE]

For each case it makes numbers from a seed, calls torch.mm, torch.log_softmax or torch.mean inside `registered()` again
and again with the same rows in other company, and counts the rows whose bytes changed. It writes results.json and
manifest.json. What the cases are is in inputs.py. The checker brings its own copies of the files that are done for
you, so there is nothing to win by changing them: the work is in kernels.py.
"""

import argparse
import hashlib
import importlib
import json
import platform
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from inputs import (  # type: ignore[import-not-found]
    CASE_SEED,
    SEALED_CALL,
    arithmetic,
    exact,
    inputs,
    lab_cases,
    make_case,
    stacked,
)
from interpreter import ordered_dot  # type: ignore[import-not-found]
from sealed import Seals  # type: ignore[import-not-found]

from courselib import bits
from courselib.environment import versions

# ---- the runs -----------------------------------------------------------------------------------------------------


def run(case: dict, device: str) -> list[np.ndarray]:
    """What each call gives: (rows of the call, columns), or (rows, length) for log_softmax, or (rows, 1) for mean."""
    x, w = inputs(case)
    b = _other(case, w, device)
    return [_call(case, torch.from_numpy(stacked(x, call)).to(device), b).cpu().numpy() for call in case["calls"]]


def _other(case: dict, w: np.ndarray | None, device: str) -> torch.Tensor | None:
    """matmul's second matrix."""
    if w is None:
        return None
    b = torch.from_numpy(w).to(device)
    return b.t().contiguous().t() if case["strided"] else b  # column by column, as a Linear layer's weights are


def _call(case: dict, rows: torch.Tensor, b: torch.Tensor | None = None) -> torch.Tensor:
    if b is not None:
        return _ask(torch.mm, rows, b)
    x, dim = (rows.t().contiguous(), 0) if case["strided"] else (rows, -1)
    if case["op"] == "mean":
        return _ask(torch.mean, x, dim, keepdim=case["strided"]).reshape(-1, 1)
    y = _ask(torch.log_softmax, x, dim)
    return y.t().contiguous() if case["strided"] else y


def _ask(op: Callable[..., torch.Tensor], *arguments: Any, **options: bool) -> torch.Tensor:
    """What the op gives. Stops here if PyTorch's own gives another shape or dtype: it says so for tensors on "meta"."""
    y = op(*arguments, **options)
    own = op(*(a.to("meta") if isinstance(a, torch.Tensor) else a for a in arguments), **options)
    if (y.shape, y.dtype) != (own.shape, own.dtype):
        given = [_say(a) if isinstance(a, torch.Tensor) else str(a) for a in arguments]
        call = f"torch.{op.__name__}({', '.join(given + [f'{name}={value}' for name, value in options.items()])})"
        sys.exit(f"{call} gave {_say(y)} inside registered(); PyTorch's own gives {_say(own)}")
    return y


def _say(x: torch.Tensor) -> str:
    return f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}"


def compare(case: dict, outputs: list[np.ndarray]) -> tuple[int, int]:
    """How many times a row came again in other company, and how many times its bytes were others than at first."""
    first: dict[int, np.ndarray] = {}
    compared = differing = 0
    for call, output in zip(case["calls"], outputs, strict=True):
        for row, found in zip(call, output, strict=True):
            if row in first:
                compared += 1
                differing += not bits.equal(found, first[row])
            elif row >= 0:
                first[row] = found
    return compared, differing


def measure(case: dict, outputs: list[np.ndarray], launches: int) -> dict:
    """The entry of results.json."""
    compared, differing = compare(case, outputs)
    right, worst = exact(case), 0.0
    for call, output in zip(case["calls"], outputs, strict=True):
        own = [i for i, row in enumerate(call) if row >= 0]
        worst = max(worst, float(np.abs(output[own].astype(np.float64) - right[[call[i] for i in own]]).max()))
    return {
        **case,
        "launches": launches,
        "sha256": [sha256(output) for output in outputs],
        "compared": compared,
        "differing": differing,
        "max_error": worst if np.isfinite(worst) else None,
    }


def sha256(x: np.ndarray) -> str:
    """Over the bytes in C order, after the dtype's name."""
    return hashlib.sha256(x.dtype.str.encode() + np.ascontiguousarray(x).tobytes()).hexdigest()


# ---- are they behind PyTorch's names? -----------------------------------------------------------------------------


class _OnPurposeError(Exception):
    pass


def probe(kernels: ModuleType, launches: Counter[str], device: str) -> dict:
    """Per op: how many Triton kernels were launched, and what came out: before, inside, after, after an exception."""
    made = {
        "matmul": (37, kernels.matmul, ()),
        "log_softmax": (None, kernels.log_softmax, (-1,)),
        "mean": (None, kernels.mean, (-1, False)),
    }
    found = {}
    for i, (op, (columns, own, more)) in enumerate(made.items()):
        case = make_case(op, 1000 + i, op, "float32", 70, columns, "plain", False)
        tensors = [torch.from_numpy(a).to(device) for a in inputs(case) if a is not None]
        through_torch = partial(_call, case, *tensors)
        steps = {"before": _step(launches, through_torch)}
        with kernels.registered():
            steps["inside"] = _step(launches, through_torch)
        steps["after"] = _step(launches, through_torch)
        try:
            with kernels.registered():
                raise _OnPurposeError
        except _OnPurposeError:
            pass
        steps["after_exception"] = _step(launches, through_torch)
        steps["direct"] = _step(launches, partial(own, *tensors, *more))
        found[op] = {
            "launches": {name: n for name, (n, _) in steps.items()},
            "sha256": {name: digest for name, (_, digest) in steps.items()},
        }
    return found


def _step(launches: Counter[str], make: Callable[[], torch.Tensor]) -> tuple[int, str]:
    launches.clear()
    digest = sha256(make().cpu().numpy())
    return launches.total(), digest


class Launches(Counter[str]):
    """How often each kernel was launched; while there are ``seals``, only the kernels see the true numbers."""

    seals: Seals | None = None


def count_launches(module: ModuleType) -> Launches:
    """A count of every launch of the module's Triton kernels, from now on."""
    from triton.runtime.jit import KernelInterface

    launches = Launches()

    def counted(name: str, run: Callable) -> Callable:
        def launch(*args: object, **kwargs: object) -> object:
            launches[name] += 1
            return launches.seals.launch(run, *args, **kwargs) if launches.seals else run(*args, **kwargs)

        return launch

    for name, value in vars(module).items():
        if isinstance(value, KernelInterface):
            value.run = counted(name, value.run)
    return launches


def sealed(case: dict, launches: Launches, device: str) -> np.ndarray:
    """What one call gives when only the kernels can read its numbers; zeros if it stops with an error. To be asked
    before the case has been computed: what was computed once can be kept."""
    x, w = inputs(case)
    call = case["calls"][SEALED_CALL]
    seals = launches.seals = Seals(case["dtype"])
    try:
        b = _other(case, None if w is None else seals.seal(w), device)
        rows = torch.from_numpy(seals.seal(stacked(x, call))).to(device)
        return seals.open(_call(case, rows, b).cpu().numpy())
    except (Exception, SystemExit) as error:
        print(f"{case['id']}, sealed: {type(error).__name__}: {error}")
        columns = {"matmul": case["columns"], "log_softmax": case["length"], "mean": 1}[case["op"]]
        return np.zeros((len(call), columns), case["dtype"])
    finally:
        launches.seals = None


# ---- results.json, manifest.json ----------------------------------------------------------------------------------


def manifest(results: dict, device: str) -> dict:
    """What was run, on what, with which result."""
    on_gpu = device == "cuda"
    return {
        "schema": "lab05.manifest/1",
        "experiment": "05-write-the-kernels",
        "date": date.today().isoformat(),
        "versions": {**versions(), "triton": version("triton")},
        "platform": platform.platform(),
        "config": {
            "device": device,
            "device_name": torch.cuda.get_device_name() if on_gpu else "Triton's interpreter",
            "arithmetic": None if on_gpu else arithmetic(),
            "case_seed": CASE_SEED,
            "n_cases": len(results["cases"]),
        },
        "results_summary": results["summary"],
    }


def summarise(cases: list[dict]) -> dict:
    return {
        "cases": len(cases),
        "cases_equal": sum(case["differing"] == 0 for case in cases),
        "rows_compared": sum(case["compared"] for case in cases),
        "rows_differing": sum(case["differing"] for case in cases),
        "launches": sum(case["launches"] for case in cases),
    }


def show(results: dict) -> None:
    print(f"{'case':6}{'op':13}{'dtype':9}{'length':>7}{'rows that came again':>22}{'changed':>9}   max error")
    for c in results["cases"]:
        error = "not finite" if c["max_error"] is None else f"{c['max_error']:.2e}"
        print(f"{c['id']:6}{c['op']:13}{c['dtype']:9}{c['length']:>7}{c['compared']:>22}{c['differing']:>9}   {error}")
    for op, p in results["registered"].items():
        n = p["launches"]
        print(f"torch's {op}: kernels launched inside registered(): {n['inside']}, after it: {n['after']}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder for the two JSON files")
    parser.add_argument("--cases", type=Path, help="other cases: a JSON list; then the outputs are kept too, as an npz")
    args = parser.parse_args()

    torch.set_num_threads(1)
    np.seterr(all="ignore")  # rows of NaN and infinity are among the inputs
    warnings.filterwarnings("ignore", "All-NaN slice")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    sys.path.insert(0, str(Path(__file__).parent))
    kernels = importlib.import_module("kernels")  # your file, beside this one

    if device == "cpu":
        ordered_dot()
    launches = count_launches(kernels)
    cases = lab_cases() if args.cases is None else json.loads(args.cases.read_text(encoding="utf-8"))
    outputs, counts, under_seal = [], [], []
    with kernels.registered():
        for case in cases:
            if args.cases is not None:
                under_seal.append(sealed(case, launches, device))
            launches.clear()
            outputs.append(run(case, device))
            counts.append(launches.total())
    measured = [measure(*what) for what in zip(cases, outputs, counts, strict=True)]
    results = {
        "schema": "lab05.results/1",
        "case_seed": CASE_SEED if args.cases is None else None,
        "device": device,
        "cases": measured,
        "registered": probe(kernels, launches, device),
        "summary": summarise(measured),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (args.out / "manifest.json").write_text(json.dumps(manifest(results, device), indent=2) + "\n", encoding="utf-8")
    if args.cases is not None:
        arrays: dict[str, Any] = {
            f"{c['id']}.{i}": y for c, some in zip(cases, outputs, strict=True) for i, y in enumerate(some)
        }
        arrays |= {f"{case['id']}.sealed": y for case, y in zip(cases, under_seal, strict=True)}
        np.savez(args.out / "outputs.npz", **arrays)
    show(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
