"""python -m benchmarks.same_bytes: the fixed-order bytes are the same on every machine, compiler and processor at hand.

Two digests stand written below. One is of lab 02's fifty prompts: every token, K row, V row and row of logits. The
other is of the C kernels alone, built by every compiler found here, at several optimisation levels, for this
processor and (where a cross compiler and an emulator are installed) for others. The last rows are controls: builds
that are allowed to fuse a multiply with an add, or to reorder sums, must give other bytes, or the comparison would
prove nothing.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
import time
from datetime import date
from pathlib import Path

import click
import torch
from rich.console import Console
from tqdm import tqdm

from courselib.generate import generate
from courselib.grammar.prompts import sample_prompts
from courselib.kernels import use_ops
from courselib.kernels.cpu.build import SOURCE
from courselib.trace import Trace

from . import machine
from .schema import Count, Result, Tally

PROMPTS_SHA256 = "8fd1569fd5c568b5b5f0c41bcd571e6c70c898bdbae9d231f303f86dac49ed5b"
KERNELS_DIGEST = "f1dccb1ee0bf0569"
DRIVER = Path(__file__).with_suffix(".c")
RESULTS = Path(__file__).parent / "results"
ALWAYS = ["-ffp-contract=off", "-fno-math-errno", "-Wno-psabi", f"-I{SOURCE.parent}"]
COMPILERS: dict[str, list[str]] = {  # compiler -> how to run what it builds
    "gcc": [],
    "clang": [],
    "aarch64-linux-gnu-gcc": ["qemu-aarch64"],
    "powerpc64le-linux-gnu-gcc": ["qemu-ppc64le"],
}
LEVELS = [["-O0"], ["-O2"], ["-O3"]]
CONTROLS = [["-O3", "-ffp-contract=fast"], ["-O3", "-ffast-math"]]


def prompts_digest(ops: str = "fixed") -> str:
    """sha256 over lab 02's fifty prompts, cached: tokens, K, V and logits, little-endian."""
    found = hashlib.sha256()
    with use_ops(ops):
        for i, prompt in enumerate(tqdm(sample_prompts(1), desc="prompts", unit="prompt")):
            trace = Trace(("k", "v", "logits"))
            tokens = generate(prompt.text, 64, seed=1000 + i, trace=trace)
            found.update(",".join(map(str, tokens)).encode())
            for x in (*trace.slots(), trace.logits()):
                found.update(x.astype("<f4").tobytes())
    return found.hexdigest()


def kernels_digest(compiler: str, flags: list[str]) -> str | None:
    """What the driver prints when built by `compiler`; None if it cannot be built or run here."""
    with tempfile.TemporaryDirectory() as scratch:
        program = Path(scratch) / "driver"
        static = ["-static"] if COMPILERS.get(compiler) else []
        command = [compiler, *ALWAYS, *flags, *static, str(DRIVER), "-o", str(program)]
        if subprocess.run(command, capture_output=True).returncode:
            return None
        run = subprocess.run([*COMPILERS.get(compiler, []), str(program)], capture_output=True, text=True)
        return run.stdout.strip() if run.returncode == 0 else None


def kernel_counts() -> tuple[list[Count], list[str]]:
    """One count for each build, and what was left out."""
    counts, notes = [], []
    native = [*LEVELS, ["-O3", "-march=native"], ["-O3", "-msse2"], ["-O3", "-mavx2", "-mfma"]]
    for compiler, runner in COMPILERS.items():
        if not shutil.which(compiler) or not all(map(shutil.which, runner)):
            notes.append(f"left out: {' '.join([compiler, *runner])} (not installed)")
            continue
        control = [c if runner else [*c, "-march=native"] for c in CONTROLS]
        for flags in [*(LEVELS if runner else native), *control]:
            digest = kernels_digest(compiler, flags)
            if digest is None:
                notes.append(f"left out: {compiler} {' '.join(flags)} (does not build or run here)")
                continue
            name = "control: must differ" if flags in control else "C kernels"
            tally = Tally(differing=int(digest != KERNELS_DIGEST), compared=1)
            peer = " ".join([compiler, *flags, *(f"under {r}" for r in runner)])
            counts.append(Count(name=name, peer=peer, settings={"digest": digest}, tallies={"digest": tally}))
    return counts, notes


@click.command(help=__doc__.split("\n")[0])
@click.option("--out", type=click.Path(path_type=Path), help="default: benchmarks/results/same_bytes-<cpu>.json")
def main(out: Path | None) -> None:
    started, load = time.perf_counter(), machine.load()
    torch.set_num_threads(1)
    digest = prompts_digest()
    tally = Tally(differing=int(digest != PROMPTS_SHA256), compared=1)
    with use_ops("fixed") as ops:
        peer = ops.NAME
    counts, notes = kernel_counts()
    counts.insert(0, Count(name="lab 02's prompts", peer=peer, settings={"digest": digest}, tallies={"digest": tally}))
    result = Result(
        name="same_bytes",
        date=date.today(),
        quick=False,
        seconds=round(time.perf_counter() - started, 1),
        device=machine.device([1], load),
        versions=machine.versions("torch", "numpy"),
        rows=[],
        counts=counts,
        notes=notes,
    )
    result.save(out or RESULTS / f"same_bytes-{machine.slug(machine.cpu_model())}.json")
    console = Console()
    for count in counts:
        verdict = "other bytes" if count.tallies["digest"].differing else "the same bytes"
        console.print(f"{verdict:<15} {count.name}: {count.peer}", highlight=False)
    for note in notes:
        console.print(note, style="dim", highlight=False)


if __name__ == "__main__":
    main()
