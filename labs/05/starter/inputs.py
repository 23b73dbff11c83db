"""Lab 05, done for you: which cases there are, the numbers in them, and what float64 says of them.

A case: {"id", "op": "matmul" | "log_softmax" | "mean", "dtype": "float32" | "float16", "length": how many numbers one
output adds up (K for matmul), "columns": N for matmul, else null, "kind": "plain" | "cancelling", "strided": bool,
"rows": how many rows there are, "seed", "calls": for each call the rows it is given, by number; -1 is a row of NaN and
-2 a row of infinities, there only to be neighbours}. The checker brings its own copy of this file.
"""

import hashlib
import random

import numpy as np

CASE_SEED = 5
ROWS = 33
NAN, INF = -1, -2
SEALED_CALL = 7  # the call that is made once more with its numbers sealed: 17 rows
LAB = [  # op, dtype, length, columns, kind, strided
    ("matmul", "float32", 70, 37, "plain", False),
    ("matmul", "float32", 200, 33, "cancelling", True),
    ("matmul", "float16", 128, 16, "cancelling", False),
    ("log_softmax", "float32", 5, None, "plain", False),
    ("log_softmax", "float32", 1000, None, "plain", True),
    ("log_softmax", "float16", 100, None, "plain", False),
    ("mean", "float32", 1, None, "plain", False),
    ("mean", "float32", 1025, None, "cancelling", False),
    ("mean", "float16", 100, None, "plain", True),
]


# ---- the cases ----------------------------------------------------------------------------------------------------


def lab_cases() -> list[dict]:
    return [make_case(f"c{i:02}", CASE_SEED + i, *what) for i, what in enumerate(LAB)]


def make_case(
    name: str, seed: int, op: str, dtype: str, length: int, columns: int | None, kind: str, strided: bool
) -> dict:
    """33 rows. Three are watched: alone, doubled, first, last, in 2, 5, 17 and 33 rows, beside NaN and infinity."""
    rng = random.Random(seed)
    order = rng.sample(range(ROWS), ROWS)
    a, b, c, *others = order
    calls = [[a], [b], [c], [c, c], [a, b], [b, a], rng.sample([a, b, c, *others[:2]], 5), rng.sample(order[:17], 17)]
    calls += [[a, *others, b, c], [*others, c, b, a]]
    calls += [[NAN, a, NAN, b, INF, c, INF], [*others[:15], NAN, b, NAN]]
    return {
        "id": name, "op": op, "dtype": dtype, "length": length, "columns": columns, "kind": kind, "strided": strided,
        "rows": ROWS, "seed": seed, "calls": calls,
    }  # fmt: skip


# ---- the numbers --------------------------------------------------------------------------------------------------


def numbers(key: int, shape: tuple[int, int], dtype: str) -> np.ndarray:
    """Numbers between -4 and 4 of many magnitudes, so that the order of a sum shows; every step here is exact.

    The stream of Philox (Salmon et al., 2011) is the same in every NumPy. 24 bits of each draw (11 for float16) make a
    whole number, three others a power of two.
    """
    raw = np.random.Philox(key=key).random_raw(shape[0] * shape[1])
    digits = 24 if dtype == "float32" else 11
    whole = (raw >> np.uint64(64 - digits)).astype(np.float64) - 2.0 ** (digits - 1)
    power = 3 - digits - (raw & np.uint64(7)).astype(np.int64)
    return np.ldexp(whole, power).astype(dtype).reshape(shape)


def inputs(case: dict) -> tuple[np.ndarray, np.ndarray | None]:
    """All rows of a case (rows, length), and for matmul the other matrix (length, columns)."""
    length, dtype = case["length"], case["dtype"]
    x = numbers(2 * case["seed"], (case["rows"], length), dtype)
    w = numbers(2 * case["seed"] + 1, (length, case["columns"]), dtype) if case["op"] == "matmul" else None
    if case["kind"] == "cancelling":  # the second half takes back the first: what is left is rounding alone
        half = length // 2
        x[:, half : length - half] = 0
        x[:, length - half :] = -x[:, :half]
        if w is not None:
            w[length - half :] = w[:half]
    return x, w


def stacked(x: np.ndarray, call: list[int]) -> np.ndarray:
    """The rows of one call, one below the other."""
    strangers = {NAN: np.full_like(x[0], np.nan), INF: np.full_like(x[0], np.inf)}
    return np.stack([strangers[i] if i < 0 else x[i] for i in call])


# ---- what is right ------------------------------------------------------------------------------------------------


def exact(case: dict) -> np.ndarray:
    """What every row of the case comes to in float64."""
    rows, w = inputs(case)
    x = rows.astype(np.float64)
    if w is not None:
        return x @ w.astype(np.float64)
    if case["op"] == "mean":
        return x.mean(axis=1, keepdims=True)
    d = x - x.max(axis=1, keepdims=True)
    return d - np.log(np.exp(d).sum(axis=1, keepdims=True))


def arithmetic() -> str:
    """sha256 of some exponentials, logarithms and sums made here: NumPy's, of which the interpreter's are made."""
    x = numbers(1, (16, 1000), "float32")
    parts = [np.exp(x), np.log(np.abs(x) + 1), x.sum(axis=1), x.sum(axis=0)]
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()
