"""python -m benchmarks.reductions: the fixed-order row kernels in Triton beside PyTorch's, on one CUDA GPU.

All in bfloat16. Blocks: softmax (softmax, log_softmax, logsumexp over vocabularies), sums (sum and mean over rows,
columns and everything), norms (RMSNorm beside FlashInfer and Liger too, where they are installed, and LayerNorm), and
bits (does a row's answer depend on the rows beside it?). These kernels do little more than move bytes: the floor of
each cell is what must be read and written, at the bandwidth that the same run measured.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from . import gpu
from .record import Record, command
from .schema import Count

VOCABULARIES = [32768, 128256, 151936]
EPS = 1e-6
RATIO = "torch / triton"

Op = Callable[[Tensor], object]  # of x (R, D)
Peers = dict[str, Op]


def softmax_peers() -> dict[str, Peers]:
    """Over the last dimension of x (R, V)."""
    from courselib.kernels import triton

    return {
        "softmax": {"triton": triton.softmax, "torch": lambda x: torch.softmax(x, -1)},
        "log_softmax": {"triton": triton.log_softmax, "torch": lambda x: torch.log_softmax(x, -1)},
        "logsumexp": {"triton": triton.logsumexp, "torch": lambda x: torch.logsumexp(x, -1)},
    }


def sum_peers() -> dict[str, Peers]:
    """Of x (R, D): over each row, over each column, over all."""
    from courselib.kernels.triton import reduce

    def over(shape: Callable[[Tensor], Sequence[int]], mean: bool = False) -> Op:
        def call(x: Tensor) -> Tensor:
            x = x.view(*shape(x))
            return reduce(x, "sum", divide_by=float(x.shape[1]) if mean else 1.0)

        return call

    def row(x: Tensor) -> Sequence[int]:
        return x.shape

    def column(x: Tensor) -> Sequence[int]:
        return (1, *x.shape)

    def everything(x: Tensor) -> Sequence[int]:
        return 1, x.numel()

    return {
        "sum, dim -1": {"triton": over(row), "torch": lambda x: torch.sum(x, -1)},
        "mean, dim -1": {"triton": over(row, mean=True), "torch": lambda x: torch.mean(x, -1)},
        "sum, dim 0": {"triton": over(column), "torch": lambda x: torch.sum(x, 0)},
        "mean, dim 0": {"triton": over(column, mean=True), "torch": lambda x: torch.mean(x, 0)},
        "sum, all": {"triton": over(everything), "torch": torch.sum},
        "mean, all": {"triton": over(everything, mean=True), "torch": torch.mean},
    }


def norm_peers(d: int, weight: Tensor, bias: Tensor) -> dict[str, Peers]:
    """Over the last dimension of x (R, D), with weight and bias (D,)."""
    from courselib.kernels.triton import layer_norm, rms_norm

    return {
        "rms_norm": {
            "triton": lambda x: rms_norm(x, weight, EPS)[0],
            "torch": lambda x: F.rms_norm(x, (d,), weight, EPS),
        },
        "layer_norm": {
            "triton": lambda x: layer_norm(x, weight, bias, EPS)[0],
            "torch": lambda x: F.layer_norm(x, (d,), weight, bias, EPS),
        },
    }


def others(record: Record) -> dict[str, Callable[[Tensor, Tensor], object]]:
    """RMSNorm of x (R, D) with weight (D,), by the libraries that are installed; the absent ones are noted."""
    major, minor = torch.cuda.get_device_capability()
    os.environ.setdefault("FLASHINFER_CUDA_ARCH_LIST", f"{major}.{minor}{'a' if major >= 9 else ''}")
    os.environ.setdefault("FLASHINFER_WORKSPACE_BASE", tempfile.mkdtemp(prefix="flashinfer-"))
    found: dict[str, Callable[[Tensor, Tensor], object]] = {}
    try:
        flashinfer: Any = importlib.import_module("flashinfer.norm")
        found["flashinfer"] = lambda x, weight: flashinfer.rmsnorm(x, weight, EPS)
    except Exception as error:  # a library may fail in its own ways as it loads: it is then as good as absent
        record.add(f"FlashInfer is absent here: {type(error).__name__}: {str(error)[:200]}")
    try:
        liger: Any = importlib.import_module("liger_kernel.ops.rms_norm").LigerRMSNormFunction
        found["liger"] = lambda x, weight: liger.apply(x, weight, EPS)
    except Exception as error:
        record.add(f"Liger is absent here: {type(error).__name__}: {str(error)[:200]}")
    small = torch.randn(2, 128, device=gpu.DEVICE, dtype=torch.bfloat16)
    for name, norm in list(found.items()):
        try:
            norm(small, small[0])  # FlashInfer compiles on its first call, in about 40 s
        except Exception as error:
            del found[name]
            record.add(f"{name} is absent here: its rms_norm fails: {type(error).__name__}: {str(error)[:200]}")
    return found


def timed(record: Record, name: str, peers: Peers, pool: Tensor, rows: int) -> None:
    """One cell: `rows` rows of pool (R, D), whose other blocks of as many rows are its copies."""
    with record.attempt(f"{name} {rows} x {pool.shape[1]}"):
        answer = peers["triton"](pool[:rows])
        assert isinstance(answer, Tensor)
        moved = answer.numel() * answer.element_size() + rows * pool.shape[1] * pool.element_size()
        xs = gpu.blocks(pool, rows, most=gpu.copies(moved))
        floor = record.ceilings.floor("µs", moved)
        calls: gpu.Peers = {peer: lambda i, f=f: f(xs[i % len(xs)]) for peer, f in peers.items()}
        times = gpu.graph_times(calls, gpu.calls(floor), keep=len(xs))
        ratios = [f"{peer} / triton" for peer in peers if peer != "triton"]
        settings: dict[str, int | str] = {"rows": rows, "D": pool.shape[1]}
        record.add(gpu.row(f"{name} bf16", "µs", times, settings, ratios, floor))


def softmax(record: Record) -> None:
    sizes = [1, 256] if record.quick else [1, 16, 256, 2048, 8192]
    cells = [(op, peers) for op, peers in softmax_peers().items()]
    for v in record.track(VOCABULARIES[:1] if record.quick else VOCABULARIES, "softmax"):
        pool = random(sizes[-1], v)
        for op, peers in cells:
            for rows in record.track(sizes, f"{op} V={v}"):
                timed(record, op, peers, pool, rows)
        del pool
    summaries(record, [op for op, _ in cells])


def sums(record: Record) -> None:
    shapes = [(rows, 4096) for rows in (1, 16, 256, 4096, 8192)] + [(8192, 14336)]
    cells = [
        (op, peers, shape) for op, peers in sum_peers().items() for shape in (shapes[:2] if record.quick else shapes)
    ]
    pools = {d: random(4 * 8192, d) for d in sorted({d for *_, (_, d) in cells})}
    for op, peers, (rows, d) in record.track(cells, "sum and mean"):
        timed(record, op, peers, pools[d], rows)
    summaries(record, list(sum_peers()))


def norms(record: Record) -> None:
    sizes = [1, 8, 256] if record.quick else [1, 16, 256, 4096, 8192]
    shapes = [("rms_norm", rows, 4096) for rows in sizes] + [("rms_norm", sizes[-2] * 32, 128)]
    shapes += [("layer_norm", rows, d) for d in (1024, 4096, 8192) for rows in sizes]
    libraries = others(record)
    pools = {128: random(8 * 4096 * 32, 128)} | {d: random(4 * 8192, d) for d in (1024, 4096, 8192)}
    for op, rows, d in record.track(shapes, "norms"):
        weight, bias = random(2, d)
        peers = norm_peers(d, weight, bias)[op]
        if op == "rms_norm":
            peers |= {name: lambda x, f=f, w=weight: f(x, w) for name, f in libraries.items()}
        timed(record, op, peers, pools[d], rows)
    summaries(record, ["rms_norm", "layer_norm"])


def bits(record: Record) -> None:
    """Each peer on the first and last m rows, against itself on all. A sum over dim 0 or over all is over the batch:
    there the question has no meaning."""
    sizes, batch = ([1, 7], 64) if record.quick else ([1, 7, 16, 100, 256, 1024], 2048)
    for name, peers, d in record.track(list(rowwise()), "bits"):
        x = random(batch, d)
        for peer, f in peers.items():
            with record.attempt(f"bits of {name}, {peer}"):
                tallies = gpu.rows_in_batches(f, x, sizes)  # type: ignore[arg-type]
                record.add(
                    Count(name=f"{name}: rows in a smaller batch", peer=peer, settings={"D": d}, tallies=tallies)
                )


def rowwise() -> Iterator[tuple[str, Peers, int]]:
    """What answers row by row, at the sizes above."""
    for v in VOCABULARIES:
        for name, peers in softmax_peers().items():
            yield name, peers, v
    for name, peers in sum_peers().items():
        if name.endswith("dim -1"):
            yield from ((name, peers, d) for d in (4096, 14336))
    for d in (128, 1024, 4096, 8192):
        weight, bias = random(2, d)
        for name, peers in norm_peers(d, weight, bias).items():
            yield name, peers, d


def random(rows: int, d: int) -> Tensor:
    return torch.randn(rows, d, device=gpu.DEVICE, dtype=torch.bfloat16)


def summaries(record: Record, names: Sequence[str]) -> None:
    """How each operation compares with PyTorch, and how near its large cells (64 MiB and more) came to their floor."""
    for name in names:
        rows = record.named(f"{name} bf16")
        record.add(gpu.summary(name, rows, RATIO))
        near = [r.floor.value / r.values["triton"].median for r in rows if r.floor and r.floor.bytes >= 2**26]
        if near:
            record.add(
                f"{name}: cells that move 64 MiB or more reach {min(near):.0%} to {max(near):.0%} of the bandwidth"
            )


main = command("reductions", __doc__ or "", {"softmax": softmax, "sums": sums, "norms": norms, "bits": bits})

if __name__ == "__main__":
    main()
