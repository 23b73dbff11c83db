"""What a script may read: the system's programs and libraries, this Python, the course's library. Nothing else."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
# The cache of the dynamic linker, what `cc` is a name for, the number of processors, the hour.
DETAILS = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/sys/devices/system/cpu")


def readable(library: Path | None = None) -> list[str]:
    """Files and folders that exist, none beneath another; ``library`` and where courselib lies come along."""
    course = importlib.util.find_spec("courselib")
    wanted = [*SYSTEM, *DETAILS, sys.base_prefix, sys.prefix]
    wanted += [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")]
    # The folder that it is imported from: Python lists it. In the repository, it holds nothing else.
    wanted += [os.path.dirname(path) for path in course.submodule_search_locations or []] if course else []
    wanted += [str(library)] if library else []
    kept: list[str] = []
    for path in sorted({os.path.abspath(path) for path in wanted if os.path.exists(path)}):
        if not any(path.startswith(f"{above}/") for above in kept if not os.path.islink(above)):
            kept.append(path)
    return kept
