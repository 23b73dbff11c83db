"""What float64 says of a case, and how far from it an answer may be: bounds from the analysis of rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from checker.gate_npz import Array
from checker.lab05 import inputs
from checker.lab05.schemas import Ask
from checker.language import N_, _

U = 2.0**-24  # float32's unit roundoff
SOURCES = {
    "matmul": N_(
        "gamma_K * sum |a||b|, for sums in any order (Higham, Accuracy and Stability of Numerical "
        "Algorithms, 2nd ed., 3.1)"
    ),
    "log_softmax": N_(
        "gamma_(2D+16) * (1 + |log sum|) + 4u * (|max| + |x - max| + |y|) + 2u * E|x - max|: the "
        "sum's D roundings, a few ulps for each exp and log (after Blanchard, Higham and Higham, "
        "Accurately computing the log-sum-exp and softmax functions, 2021)"
    ),
    "mean": N_(
        "gamma_(D+2) * sum |x| / D, for sums in any order (Higham, Accuracy and Stability of "
        "Numerical Algorithms, 2nd ed., 4.2)"
    ),
}


@dataclass(frozen=True)
class Truth:
    """For every row of a case: the answer in float64, and how far from it an output may be."""

    right: Array
    bound: Array


def gamma(n: int) -> float:
    """n u / (1 - n u)."""
    return n * U / (1 - n * U)


def truth(ask: Ask) -> Truth:
    case = ask.model_dump()
    rows, w = inputs.inputs(case)
    x = rows.astype(np.float64)
    right = inputs.exact(case)
    n = ask.length
    if w is not None:
        bound = gamma(n) * (np.abs(x) @ np.abs(w.astype(np.float64)))
    elif ask.op == "mean":
        bound = gamma(n + 2) * np.abs(x).mean(axis=1, keepdims=True)
    else:
        top = x.max(axis=1, keepdims=True)
        d = x - top
        total = np.exp(d).sum(axis=1, keepdims=True)
        far = (np.exp(d) * np.abs(d)).sum(axis=1, keepdims=True) / total
        bound = gamma(2 * n + 16) * (1 + np.abs(np.log(total)))
        bound = bound + 4 * U * (np.abs(top) + np.abs(d) + np.abs(right)) + 2 * U * far
    if ask.dtype == "float16":  # rounded once more: half an ulp of float16, at least half its smallest number
        bound = bound + 2.0**-11 * (np.abs(right) + bound) + 2.0**-25
    return Truth(right, bound)


def tolerance(ask: Ask) -> str:
    """The bound in words, with its source."""
    rounding = ", " + _("and half an ulp of float16") if ask.dtype == "float16" else ""
    return f"{_(SOURCES[ask.op])}{rounding}"
