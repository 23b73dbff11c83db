"""What a result was made with: the part of a manifest that experiments share. And where built kernels are kept."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from . import __version__


def versions() -> dict[str, str]:
    """The versions of Python, NumPy, PyTorch and courselib that run here."""
    return {
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "torch": version("torch"),
        "courselib": __version__,
    }


def cache_folder() -> Path:
    """$COURSELIB_CACHE/courselib, else that of the user's cache folder. RuntimeError: the user has no home."""
    base = os.environ.get("COURSELIB_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "courselib"
