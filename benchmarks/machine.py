"""Which machine this is, and which versions run on it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from courselib.kernels.cpu.build import find_compiler

from .schema import Device


def device(threads: list[int], load_before: float | None, gpu: str | None = None) -> Device:
    """Call at the end of a run; load_before is what `load` said at its beginning. gpu: its name, where one was used."""
    now = load()
    return Device(
        cpu=cpu_model(),
        cores=cores(),
        threads=threads,
        system=f"{platform.system()} {platform.machine()}",
        instructions=torch.backends.cpu.get_cpu_capability(),
        gpu=gpu,
        load=None if load_before is None or now is None else (load_before, now),
    )


def load() -> float | None:
    """The 1-minute load average, None where the system keeps none."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_model() -> str:
    """The processor's name, as its maker gives it where the system tells."""
    try:
        if platform.system() == "Darwin":
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, subprocess.CalledProcessError):
        return platform.processor() or platform.machine()


def driver() -> str | None:
    """The NVIDIA driver's version, None where nvidia-smi does not tell."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n", 1)[0].strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def slug(name: str) -> str:
    """A name as part of a file's name: "AMD EPYC 9B14" -> "amd-epyc-9b14"."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def versions(*packages: str) -> dict[str, str]:
    """The versions of Python, the C compiler and `packages`; what is not installed is left out."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            pass
    if compiler := find_compiler():
        text = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout
        found["compiler"] = text.split("\n", 1)[0]
    return found
