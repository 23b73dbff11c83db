"""Build `fixed_order.c` once with the system compiler, and keep it in a cache named by its content.

The key is a hash of everything that decides the machine code: source, compiler, flags, CPU. A changed source, a new
compiler or a home directory shared by different machines each get a build of their own.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from courselib.environment import cache_folder

SOURCE = Path(__file__).with_name("fixed_order.c")
# -ffp-contract=off is the promise: a*b + c is two roundings on every machine. -march=native only widens the lanes.
FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-Wno-psabi", "-fPIC", "-shared"]


class NoCompilerError(RuntimeError):
    """No C compiler was found, or the one found could not build the kernels; the message says which."""


def find_compiler() -> str | None:
    """The C compiler to use: $CC if set, else the first of cc, gcc, clang on the PATH."""
    names = [os.environ["CC"]] if os.environ.get("CC") else ["cc", "gcc", "clang"]
    return next((path for name in names if (path := shutil.which(name))), None)


def load() -> ctypes.CDLL:
    """The built kernels as a loaded library. Raises NoCompilerError when they cannot be built."""
    compiler = find_compiler()
    if compiler is None:
        looked = f'$CC is "{os.environ["CC"]}", no program' if os.environ.get("CC") else "looked for cc, gcc and clang"
        raise NoCompilerError(f"no C compiler found ({looked})")
    try:
        path = _cache_dir() / f"fixed_order-{_key(compiler)}.so"
        kept = path.exists()
        if not kept:
            _build(compiler, path)
    except OSError as error:
        raise NoCompilerError(f"{compiler} could not be run, or its work not be kept: {error}") from error
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        path.unlink(missing_ok=True)
        if kept:
            return load()  # a file that was damaged since: build it once more
        raise NoCompilerError(f"{path} was built but cannot be loaded: {error}") from error


def _build(compiler: str, path: Path) -> None:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        out = Path(scratch) / "kernels.so"
        for native in (["-march=native"], []):  # some compilers for ARM know no -march=native
            command = [compiler, *FLAGS, *native, str(SOURCE), "-o", str(out)]
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode == 0:
                break
        else:
            said = " ".join(result.stderr.split())[:500]
            raise NoCompilerError(f"{compiler} could not build {SOURCE.name}: {said}")
        os.replace(out, path)  # atomic: two processes that build at once do not disturb each other
    seconds = time.perf_counter() - started
    print(f"courselib: built its CPU kernels with {compiler} in {seconds:.1f} s, kept as {path}", file=sys.stderr)


def _key(compiler: str) -> str:
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout
    parts = [SOURCE.read_text(), compiler, version, *FLAGS, platform.machine(), _cpu()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _cpu() -> str:
    """What -march=native would see: the CPU's name and feature flags where the system tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return "\n".join(
        sorted({line for line in lines if line.split(":")[0].strip() in ("flags", "Features", "model name")})
    )


def _cache_dir() -> Path:
    """`cache_folder`, or a private temporary one where that cannot be written."""
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        pass
    return Path(tempfile.mkdtemp(prefix="courselib-"))
