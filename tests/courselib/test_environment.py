import platform

import numpy as np
import torch

import courselib
from courselib.environment import versions


def test_versions_are_those_that_run() -> None:
    found = versions()
    assert found["python"] == platform.python_version()
    assert found["numpy"] == np.__version__
    public, _, build = torch.__version__.partition("+")  # +cpu, +cu130: not every wheel's own name says so
    assert found["torch"] in (public, f"{public}+{build}")
    assert found["courselib"] == courselib.__version__
