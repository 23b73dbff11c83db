"""One call that seeds every generator a run may draw from."""

from __future__ import annotations

import random

import numpy as np


def seed_everything(seed: int) -> None:
    """Seed Python's `random`, NumPy and PyTorch (all its devices). seed: 0 <= seed < 2**32, which is NumPy's range.

    Call it before *each* of two runs that must agree: the first run moves the generators on.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed {seed} is out of range: expected 0 <= seed < 2**32")
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (the global generator is the point)
    torch.manual_seed(seed)
