"""What tests of several kernels need."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import torch

from courselib.kernels.cpu import fixed_c


@pytest.fixture(scope="session")  # it keeps nothing, and Hypothesis wants one that outlives an example
def threads() -> Callable[[int], AbstractContextManager[None]]:
    """with threads(n): share every call, however small, among n threads."""

    @contextmanager
    def among(n: int) -> Iterator[None]:
        before, work = torch.get_num_threads(), fixed_c.MIN_WORK
        torch.set_num_threads(n)
        fixed_c.MIN_WORK = 1
        try:
            yield
        finally:
            torch.set_num_threads(before)
            fixed_c.MIN_WORK = work

    return among
