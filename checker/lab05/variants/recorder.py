# mypy: ignore-errors
# ruff: noqa: F821
# ---- the checker's: which calls were made, and did a row come out in two ways? ----

import atexit
import hashlib
import json
import sys
from pathlib import Path

_called = {op: {"calls": 0, "changed": []} for op in ("matmul", "log_softmax", "mean")}
_first = {}  # what went in -> what came out at first
_matmul, _log_softmax, _mean = matmul, log_softmax, mean


def matmul(a, b):
    y = _matmul(a, b)
    _note("matmul", a, y, b)
    return y


def log_softmax(x, dim=-1):
    y = _log_softmax(x, dim)
    _note("log_softmax", x.movedim(dim, -1), y.movedim(dim, -1))
    return y


def mean(x, dim=None, keepdim=False):
    y = _mean(x, dim, keepdim)
    gone = sorted({d % x.ndim for d in ([dim] if isinstance(dim, int) else dim or range(x.ndim))})
    kept = [d for d in range(x.ndim) if d not in gone]
    _note("mean", x.permute(*kept, *gone).reshape(y.numel(), -1), y.reshape(-1, 1))
    return y


def _note(op, rows, results, other=None):
    called = _called[op]
    called["calls"] += 1
    beside = f"{op} {rows.dtype} " + ("" if other is None else _digest(other.numpy()))
    rows, results = (x.reshape(-1, x.shape[-1]).numpy() for x in (rows, results))
    for row, result in zip(rows, results, strict=True):
        went_in, came_out = f"{beside} {_digest(row)}", _digest(result)
        first = _first.setdefault(went_in, came_out)
        if first != came_out and len(called["changed"]) < 10:
            called["changed"].append([went_in, first, came_out])


def _digest(x):
    return hashlib.sha256(x.tobytes()).hexdigest()[:16]


@atexit.register
def _write():
    if "--out" in sys.argv:
        out = Path(sys.argv[sys.argv.index("--out") + 1])
        if out.is_dir():
            (out / "calls.json").write_text(json.dumps(_called), encoding="utf-8")
