"""Evidence that on one GPU every tile of the matrix product gives the same bits, so that the tile may follow M.

How `tl.dot` adds up inside one step is the hardware's affair: no document promises that a tile of 16 rows and one of
128 do it alike. So it is measured. `make` runs every tile of the table on inputs chosen to expose a difference (sums
that cancel, exponents far apart, sizes that leave a remainder everywhere), compares all bits with those of one
reference tile, and then does the same for every M through the choice that `matmul` makes. What it finds is kept with
the names of the device and of the Triton that compiled the kernels; it counts only for these, and for the kernels as
they were. (The driver is written down, but compiles nothing: Triton brings its own assembler.)
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..cuda import matmul_fp32
from .runtime import triton
from .tiles import FIXED, Gpu, candidates, choose, gpu

FORMAT = "byte-for-byte/certificate/1"
SHIPPED = Path(__file__).with_name("certificates")
KINDS = [
    (torch.bfloat16, "ieee"),
    (torch.float16, "ieee"),
    (torch.float32, "ieee"),
    (torch.float32, "tf32x3"),
    (torch.float32, "tf32"),
]
SHAPES = [(4096, 4096), (6144, 4096), (520, 1000), (1024, 14336), (96, 64)]  # (N, K)
ROWS = 640  # of the sweep over tiles: a remainder for every tile
EDGES = [*range(1, 513), *(m + d for m in (640, 1024, 2048, 4096, 8192) for d in (-1, 0, 1))]  # M, of the sweep over M
INPUTS = ("normal", "cancelling", "wide", "mixed")


def holds(dtype: torch.dtype, precision: str, device: torch.device) -> bool:
    """True if a certificate covers every tile that products of this dtype and precision may use on this device."""
    return (dtype, precision) in _covered(device)


@lru_cache
def _covered(device: torch.device) -> frozenset[tuple[torch.dtype, str]]:
    here = identity(device)
    for folder in (user_folder(), SHIPPED):
        for path in sorted(folder.glob("*.json")):
            try:
                kept = json.loads(path.read_text())
                if kept["format"] != FORMAT or any(kept[key] != here[key] for key in ("device", "triton", "kernels")):
                    continue
                return covered(kept, gpu(device))
            except (OSError, ValueError, KeyError, TypeError) as error:
                print(
                    f"courselib: {path} cannot be read as a certificate, and is passed over: {error!r}", file=sys.stderr
                )
    print(
        f"courselib: no certificate for {here['device']} with Triton {here['triton']}: matrix products use one fixed "
        "tile, with the same promise but slower. To make one: python -m courselib.kernels certify",
        file=sys.stderr,
    )
    return frozenset()


def covered(certificate: dict[str, Any], here: Gpu) -> frozenset[tuple[torch.dtype, str]]:
    """The dtypes and precisions for which every tile that may run on such a GPU was found equal."""
    found = set()
    for kind in certificate["kinds"]:
        dtype, precision = getattr(torch, kind["dtype"]), kind["precision"]
        equal = {name.removesuffix(" early") for name in kind["equal"]}  # when a launch begins decides no bit
        if {str(tile).removesuffix(" early") for tile in candidates(dtype.itemsize, precision, here)} <= equal:
            found.add((dtype, precision))
    return frozenset(found)


def identity(device: torch.device) -> dict[str, str]:
    """What a certificate is valid for: the device, Triton's version, and the text of the kernels."""
    return {"device": torch.cuda.get_device_name(device), "triton": triton.__version__, "kernels": kernels_sha256()}


def kernels_sha256() -> str:
    """A digest of the kernels' text, as it is compiled (not as the interpreter has it)."""
    from .matmul_kernel import KERNELS

    text = "\0".join([*(kernel.src for kernel in KERNELS), matmul_fp32.SOURCE.read_text()])
    return hashlib.sha256(text.encode()).hexdigest()


def user_folder() -> Path:
    """Where `certify` keeps certificates: $COURSELIB_CACHE or the user's cache folder."""
    base = os.environ.get("COURSELIB_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "courselib" / "certificates"


def make(device: torch.device, progress: Callable[[str], None]) -> dict[str, Any]:
    """Sweep every tile and every M on this device; the certificate as a document. Takes some minutes."""
    kinds = [_sweep(dtype, precision, device, progress) for dtype, precision in KINDS]
    major, minor = gpu(device).capability
    return {
        "format": FORMAT,
        **identity(device),
        "capability": f"{major}.{minor}",
        "driver": _driver(),
        "torch": torch.__version__,
        "date": date.today().isoformat(),
        "inputs": list(INPUTS),
        "shapes_n_k": SHAPES,
        "rows_of_the_tile_sweep": ROWS,
        "m_swept": "1 to 512; 640, 1024, 2048, 4096, 8192, each also one less and one more",
        "kinds": kinds,
    }


def _sweep(dtype: torch.dtype, precision: str, device: torch.device, progress: Callable[[str], None]) -> dict[str, Any]:
    from .matmul import launch

    here = gpu(device)
    size = dtype.itemsize
    tiles = candidates(size, precision, here)
    cuts: list[matmul_fp32.Cut] = (
        matmul_fp32.CUTS if (dtype, precision) == (torch.float32, "ieee") else []
    )  # other kernels, the same bits
    differing: dict[str, int] = {str(each): 0 for each in (*tiles, *cuts)}
    compared = 0
    for N, K in SHAPES:
        for inputs in INPUTS:
            a, w = _inputs(inputs, max(EDGES) if inputs == "normal" else ROWS, N, K, dtype, device)
            for b in (w.t(), w.t().contiguous()):  # both ways to store the weights
                reference = a.new_empty(1, ROWS, N)
                launch(a[None, :ROWS], b[None], reference, FIXED[size], precision=precision)
                for tile in tiles:
                    out = torch.full_like(reference, float("nan"))
                    launch(a[None, :ROWS], b[None], out, tile, precision=precision)
                    differing[str(tile)] += _differing(out, reference)
                    compared += out.numel()
                for cut in cuts:
                    out = _cuda(a[:ROWS], b, cut)
                    differing[str(cut)] += _differing(out, reference)
                    compared += out.numel()
            progress(f"{_name(dtype)} {precision}: {len(tiles)} tiles, N={N} K={K}, {inputs}")
    by_m = 0
    swept = 0
    for N, K in SHAPES[:3]:
        a, w = _inputs("normal", max(EDGES), N, K, dtype, device)
        b = w.t()
        tma = size == 2 and K % 8 == 0 and N % 8 == 0
        reference = a.new_empty(1, len(a), N)
        launch(a[None], b[None], reference, FIXED[size], precision=precision)
        for M in EDGES:
            start = (M * 37) % (len(a) - M + 1)
            out = a.new_full((1, M, N), float("nan"))
            best = matmul_fp32.choose(a[start : start + M], b, out[0]) if cuts else None
            if best:
                matmul_fp32.launch(a[start : start + M], b, out[0], best)
            else:
                tile = choose(M, N, size, size, precision, tma, here)
                launch(a[None, start : start + M], b[None], out, tile, precision=precision)
            by_m += _differing(out, reference[:, start : start + M])
            swept += out.numel()
        progress(f"{_name(dtype)} {precision}: every M, N={N} K={K}")
    return {
        "dtype": _name(dtype),
        "precision": precision,
        "equal": [name for name, n in differing.items() if n == 0] if by_m == 0 else [],
        "differing": {name: n for name, n in differing.items() if n},
        "outputs_compared": compared,
        "outputs_compared_over_m": swept,
        "outputs_differing_over_m": by_m,
    }


def _cuda(a: Tensor, b: Tensor, cut: matmul_fp32.Cut) -> Tensor:
    """a @ b by a cut of the CUDA kernel."""
    if cut.stages and b.stride(0) != 1:
        cut = matmul_fp32.MANY[-1]  # the cuts for few rows want the weights as (N, K)
    out = a.new_full((len(a), b.shape[1]), float("nan"))
    matmul_fp32.launch(a, b, out, cut)
    return out[None]


def _inputs(kind: str, M: int, N: int, K: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """a (M, K) and the weights (N, K). No sum overflows, in any order."""
    g = torch.Generator(device).manual_seed(M * 31 + N * 7 + K)

    def normal(rows: int) -> Tensor:
        return torch.randn(rows, K, device=device, generator=g)

    a, w = normal(M), normal(N)
    reach = 5 if dtype == torch.float16 else 20
    if kind == "cancelling":  # large terms that are taken back later, at random places, and a small remainder
        big = torch.exp2(torch.randint(reach // 2, reach, (M, K // 2), device=device, generator=g).float())
        a = torch.cat([big + a[:, : K // 2], -big + a[:, K // 2 : K // 2 * 2], a[:, K // 2 * 2 :]], 1)
        order = torch.randperm(K, device=device, generator=g)
        half = w[:, : K // 2]
        w = torch.cat([half, half, w[:, K // 2 * 2 :]], 1)[:, order]
        a = a[:, order]
    elif kind == "wide":
        a = a * torch.exp2(torch.randint(-reach, reach // 2, (M, K), device=device, generator=g).float())
    elif kind == "mixed":  # zeros, subnormals of the dtype, and ordinary numbers
        tiny = torch.finfo(dtype).smallest_normal / 4
        which = torch.randint(0, 4, (M, K), device=device, generator=g)
        a = torch.where(which == 0, 0.0, torch.where(which == 1, tiny, a))
    return a.to(dtype), w.to(dtype)


def _differing(x: Tensor, y: Tensor) -> int:
    words = torch.int16 if x.element_size() == 2 else torch.int32
    return int((x.view(words) != y.view(words)).sum())


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _driver() -> str:
    try:
        return Path("/proc/driver/nvidia/version").read_text().split("\n")[0].strip()
    except OSError:
        return "unknown"
