"""Lab 05: does what a row comes to depend on anything but the row?

    python invariance_test.py [--kernels FILE] [--out DIR]

Your work: TODO 5 to 7. The file runs as it is, on any kernels file, and finds no fault with any: that is what is wrong
with it. It writes invariance.json: how many comparisons were made, how many differed, and where the first one did.
"""

import argparse
import hashlib
import importlib.util
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from inputs import INF, NAN, numbers, stacked  # done for you: exact inputs from a seed
from interpreter import ordered_dot  # done for you, and told in the brief

from courselib import bits

OPS = ("matmul", "log_softmax", "mean")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ROWS = 33
COLUMNS = 37  # N of matmul: it, too, ends in the middle of a tile

# TODO 5: which lengths (K for matmul)? A tile that is always full hides what is wrong with its end.
LENGTHS = {"matmul": (64,), "log_softmax": (64,), "mean": (64,)}


# ---- who the rows are computed with ----------------------------------------------------------------------------------


def companies() -> Iterator[tuple[str, list[int]]]:
    """Batches, and what each is for. A batch is a list of row numbers; NAN and INF are rows too, of no interest."""
    # TODO 6: other populations, other places, other neighbours. Until then, two rows:
    yield "population 2", [0, 1]


# ---- one op, one length -------------------------------------------------------------------------------------------


def compute(kernels: ModuleType, op: str, rows: np.ndarray, other: np.ndarray | None) -> np.ndarray:
    """What each row comes to: (rows, columns) for matmul, (rows, length) for log_softmax, (rows, 1) for mean."""
    x = torch.from_numpy(rows).to(DEVICE)
    if op == "matmul":
        y = kernels.matmul(x, torch.from_numpy(other).to(DEVICE))
    else:
        y = kernels.log_softmax(x, -1) if op == "log_softmax" else kernels.mean(x, -1, False).reshape(-1, 1)
    return y.cpu().numpy()


def same_bytes(a: np.ndarray, b: np.ndarray) -> bool:
    # TODO 7: until then, near is as good as equal:
    return bool(np.allclose(a, b, equal_nan=True))


def compare(kernels: ModuleType, op: str, length: int) -> Iterator[dict | None]:
    """For each comparison: None if the bytes are the same, else where they first differ."""
    x = numbers(length, (ROWS, length), "float32")
    other = numbers(length + 1, (length, COLUMNS), "float32") if op == "matmul" else None
    alone = [compute(kernels, op, stacked(x, [row]), other)[0] for row in range(ROWS)]
    for company, batch in companies():
        together = compute(kernels, op, stacked(x, batch), other)
        for place, row in enumerate(batch):
            if row < 0:
                continue
            if same_bytes(alone[row], together[place]):
                yield None
            else:
                yield difference(company, length, place, alone[row], together[place])


def difference(company: str, length: int, place: int, alone: np.ndarray, together: np.ndarray) -> dict:
    first = bits.first_difference(alone, together)
    return {
        "company": company,
        "length": length,
        "place": place,
        "column": first.index[0],
        "alone": first.hex_a,
        "together": first.hex_b,
        "ulps": first.ulps,
    }


# ---- done for you: any kernels file, the count, the command line --------------------------------------------------


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("kernels_under_test", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test(kernels: ModuleType, op: str) -> dict:
    found = [result for length in LENGTHS[op] for result in compare(kernels, op, length)]
    differing = [result for result in found if result is not None]
    return {"comparisons": len(found), "differing": len(differing), "first": differing[0] if differing else None}


def show(ops: dict) -> None:
    for op, found in ops.items():
        print(f"{op:12} {found['comparisons']:5} comparisons, {found['differing']:5} differ")
        if found["first"]:
            where = ", ".join(f"{key} {found['first'][key]}" for key in ("company", "length", "place", "column"))
            words = "0x{alone} alone, 0x{together} together, {ulps} ULP".format(**found["first"])
            print(f"{'':12} the first at {where}: {words}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).parent
    parser.add_argument("--kernels", type=Path, default=here / "kernels.py", help="the kernels file to test")
    parser.add_argument("--out", type=Path, default=here, help="folder for invariance.json")
    args = parser.parse_args()
    np.seterr(all="ignore")  # rows of NaN and infinity are among the inputs
    warnings.filterwarnings("ignore", "All-NaN slice")
    kernels = load(args.kernels)
    if DEVICE == "cpu":
        ordered_dot()
    results = {
        "schema": "lab05.invariance/1",
        "kernels_sha256": hashlib.sha256(args.kernels.read_bytes()).hexdigest(),
        "device": DEVICE,
        "ops": {op: test(kernels, op) for op in OPS},
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "invariance.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    show(results["ops"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
