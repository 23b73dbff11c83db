"""The cases a submission is asked about: the lab's own, which everyone knows, and hidden ones, drawn afresh."""

from __future__ import annotations

import random

from checker.lab05 import inputs
from checker.lab05.schemas import Ask


def lab_cases() -> list[Ask]:
    return [Ask.model_validate(case) for case in inputs.lab_cases()]


def hidden_cases(seed: int) -> list[Ask]:
    """Lengths short and long, in float32 and float16, and none but one of them a whole number of tiles."""
    rng = random.Random(seed)

    def tail(low: int, high: int) -> int:
        """A length that no tile of 8, 16, ... ends with."""
        return rng.choice([n for n in range(low, high) if n % 8])

    short, middling, long = rng.randint(2, 9), tail(66, 127), tail(1001, 1100)
    asked: list[tuple[str, str, int, int | None, str, bool]] = [
        ("matmul", "float32", tail(33, 63), tail(65, 90), "plain", True),
        ("matmul", "float32", tail(130, 220), tail(17, 40), "cancelling", False),
        ("matmul", "float32", 64, rng.choice([1, 16, 64]), "plain", False),
        ("matmul", "float16", middling, tail(33, 63), "plain", True),
        ("log_softmax", "float32", 1, None, "plain", False),
        ("log_softmax", "float32", short, None, "plain", True),
        ("log_softmax", "float32", long, None, "plain", False),
        ("log_softmax", "float16", middling, None, "plain", False),
        ("mean", "float32", short, None, "plain", False),
        ("mean", "float32", middling, None, "plain", True),
        ("mean", "float32", long, None, "cancelling", False),
        ("mean", "float16", tail(66, 127), None, "plain", False),
    ]
    made = (inputs.make_case(f"h{i:02}", rng.randrange(2**31), *what) for i, what in enumerate(asked))
    return [Ask.model_validate(case) for case in made]
