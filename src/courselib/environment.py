"""What a result was made with: the part of a manifest that every experiment shares."""

from __future__ import annotations

import platform
from importlib.metadata import version

from . import __version__


def versions() -> dict[str, str]:
    """The versions of Python, NumPy, PyTorch and courselib that run here."""
    return {
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "torch": version("torch"),
        "courselib": __version__,
    }
