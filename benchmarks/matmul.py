"""python -m benchmarks.matmul: the fixed-order matrix product in Triton beside torch.mm, on one CUDA GPU.

x (M, K) times the transpose of an nn.Linear's weight (N, K), for the shapes of decoder models and M from one token to
a long prefill. Blocks: bf16, fp16 and fp32 (the last with its error against float64); apart, where another kernel runs
between two products; and eager, by the clock on the wall. Beside the times stands the count this is all for: whether a
row's bytes depend on how many rows went with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from . import gpu
from .record import Record, command
from .schema import Count, Floor, Measured, Row

SHAPES = [(4096, 4096), (14336, 4096), (4096, 14336), (6144, 4096), (128256, 4096)]  # (N, K)
SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192]  # M
RATIO = "torch.mm / triton"
BARS = (1.0, 0.9)

Product = Callable[[Tensor, Tensor], Tensor]  # x (M, K), w (N, K) -> (M, N)


def triton_product(precision: str = "ieee") -> Product:
    from courselib.kernels.triton import matmul

    return lambda x, w: matmul(x, w.t(), precision=precision)


def torch_product(x: Tensor, w: Tensor) -> Tensor:
    return torch.mm(x, w.t())


class Operands:
    """Random x for every M up to `rows`, and as many weights as keep the L2 cold. Weights have variance 1 / K."""

    def __init__(self, n: int, k: int, rows: int, dtype: torch.dtype) -> None:
        self.n, self.k = n, k
        self.x = torch.randn(rows, k, device=gpu.DEVICE, dtype=dtype)
        size = n * k * dtype.itemsize
        pool = torch.empty(gpu.copies(size) * n, k, device=gpu.DEVICE, dtype=dtype).normal_(std=k**-0.5)
        self.weights = gpu.blocks(pool, n)

    def calls(self, product: Product, m: int) -> Callable[[int], Tensor]:
        xs, ws = gpu.blocks(self.x, m), self.weights
        return lambda i: product(xs[i % len(xs)], ws[i % len(ws)])

    def floor(self, record: Record, m: int, dtype: str) -> Floor:
        """Of one product with M = m: x and w read once, the result written once, a multiply-add a term."""
        return record.ceilings.floor(
            "µs", moved(m, self.n, self.k, self.x.element_size()), 2 * m * self.n * self.k, dtype
        )


def moved(m: int, n: int, k: int, itemsize: int) -> int:
    """Bytes: x (M, K) and w (N, K) read once, the product (M, N) written once."""
    return (m * k + n * k + m * n) * itemsize


def half(dtype: str, shapes: Sequence[tuple[int, int]], record: Record) -> None:
    """Every shape and M in a 16-bit dtype, and the bits over all M."""
    peers = {"triton": triton_product(), "torch.mm": torch_product}
    shapes, sizes = (shapes[:1], [1, 64, 1024]) if record.quick else (shapes, SIZES)
    name = f"matmul {dtype}"
    for n, k in record.track(shapes, name):
        operands = Operands(n, k, sizes[-1], gpu.DTYPES[dtype])
        for m in record.track(sizes, f"{name} N={n} K={k}"):
            with record.attempt(f"{name} M={m} N={n} K={k}"):
                record.add(timed(name, operands, m, dtype, peers, [RATIO], record))
        bits(name, operands, sizes, peers, record)
        del operands
    rows = record.named(name)
    record.add(gpu.summary(name, rows, RATIO, BARS))
    record.add(f"{name}: {len({row.settings['tile'] for row in rows})} different tiles (one alone: no certificate)")


def timed(
    name: str, operands: Operands, m: int, dtype: str, peers: dict[str, Product], ratios: Sequence[str], record: Record
) -> Row:
    """One cell. Its settings name the tile that ran."""
    n, k = operands.n, operands.k
    floor = operands.floor(record, m, dtype)
    calls = {peer: operands.calls(product, m) for peer, product in peers.items()}
    with gpu.heard() as tiles:
        next(iter(calls.values()))(0)
    times = gpu.graph_times(calls, gpu.calls(floor), keep=len(operands.weights))
    settings: dict[str, int | str] = {"M": m, "N": n, "K": k, "tile": "; ".join(tiles)}
    return gpu.row(name, "µs", times, settings, ratios, floor)


def bits(name: str, operands: Operands, sizes: Sequence[int], peers: dict[str, Product], record: Record) -> None:
    """Do the bytes of a row depend on M? Each peer at every M against itself at the largest."""
    for peer, product in peers.items():
        with record.attempt(f"{name} bits of {peer}"):
            tallies = gpu.rows_in_batches(lambda x, f=product: f(x, operands.weights[0]), operands.x, sizes)
            settings: dict[str, int | str] = {"N": operands.n, "K": operands.k}
            record.add(Count(name=f"{name}: rows in a smaller batch", peer=peer, settings=settings, tallies=tallies))


def bf16(record: Record) -> None:
    half("bf16", SHAPES, record)


def fp16(record: Record) -> None:
    half("fp16", SHAPES[:3], record)


def fp32(record: Record) -> None:
    """IEEE fp32 and the choices beside it; the floor is IEEE's, which tensor cores (tf32x3) may undercut."""
    torch.backends.cuda.matmul.allow_tf32 = False
    peers = {name: triton_product(name) for name in ("ieee", "tf32x3")} | {"torch": torch_product}
    shapes, sizes = (SHAPES[:1], [1, 256]) if record.quick else (SHAPES[:2], [1, 16, 256, 2048, 4096])
    ratios = ["torch / ieee", "torch / tf32x3"]
    for n, k in record.track(shapes, "matmul fp32"):
        operands = Operands(n, k, sizes[-1], torch.float32)
        for m in record.track(sizes, f"matmul fp32 N={n} K={k}"):
            with record.attempt(f"matmul fp32 M={m} N={n} K={k}"):
                record.add(timed("matmul fp32", operands, m, "fp32", peers, ratios, record))
            with record.attempt(f"fp32 errors M={m} N={n} K={k}"):
                record.add(*error_rows(operands.x[:m], operands.weights[:3], peers | {"tf32": triton_product("tf32")}))
        bits("matmul fp32", operands, sizes, peers, record)
        del operands
    record.add(*(gpu.summary("matmul fp32", record.named("matmul fp32"), ratio, (1.0, 0.6)) for ratio in ratios))


def error_rows(x: Tensor, weights: Sequence[Tensor], peers: dict[str, Product]) -> list[Row]:
    """How far each peer is from the product in float64, for one x and several weights."""
    found: dict[str, list[tuple[float, float]]] = {peer: [] for peer in peers}
    for w in weights:
        exact = torch.mm(x.double(), w.double().t())
        for peer, product in peers.items():
            found[peer].append(errors(product(x, w), exact))
    kinds = ["root mean square", "largest"]
    settings: dict[str, int | str] = {"M": x.shape[0], "N": weights[0].shape[0], "K": x.shape[1]}
    return [
        Row(
            name=f"matmul fp32, {kind} error", unit="of the product's root mean square", better="lower",
            settings=settings, values={peer: Measured.of([e[i] for e in es]) for peer, es in found.items()}, ratios={},
        )
        for i, kind in enumerate(kinds)
    ]  # fmt: skip


def errors(y: Tensor, exact: Tensor) -> tuple[float, float]:
    """The error's root mean square and its largest value, both over the root mean square of `exact` (float64)."""
    error, scale = y.double() - exact, exact.square().mean().sqrt()
    return (error.square().mean().sqrt() / scale).item(), (error.abs().max() / scale).item()


def apart(record: Record) -> None:
    """x negated by PyTorch ahead of every product, its time included: in a graph of nothing but products, a kernel that
    launches early hides in the one before it, which is its own like; between other kernels it may not."""

    def after_another(product: Product) -> Product:
        return lambda x, w: product(torch.neg(x), w)

    name = "matmul bf16 after another kernel"
    peers = {"triton": after_another(triton_product()), "torch.mm": after_another(torch_product)}
    shapes, sizes = (SHAPES[:1], [1]) if record.quick else (SHAPES, [1, 16, 64, 256])
    for n, k in record.track(shapes, name):
        operands = Operands(n, k, sizes[-1], torch.bfloat16)
        for m in sizes:
            with record.attempt(f"{name} M={m} N={n} K={k}"):
                record.add(timed(name, operands, m, "bf16", peers, [RATIO], record))
        del operands
    record.add(gpu.summary(name, record.named(name), RATIO, BARS))


def eager(record: Record) -> None:
    """What a model that launches its kernels one by one would see."""
    products = {"triton": triton_product(), "torch.mm": torch_product}
    operands = Operands(4096, 4096, 2048, torch.bfloat16)
    for m in record.track([1, 16, 256, 2048], "matmul bf16, eager"):
        with record.attempt(f"matmul bf16, eager, M={m}"):
            floor = operands.floor(record, m, "bf16")
            times = gpu.wall_times({peer: operands.calls(f, m) for peer, f in products.items()}, 100)
            record.add(gpu.row("matmul bf16, eager", "µs", times, {"M": m, "N": 4096, "K": 4096}, [RATIO], floor))


main = command("matmul", __doc__ or "", {"bf16": bf16, "fp16": fp16, "fp32": fp32, "apart": apart, "eager": eager})

if __name__ == "__main__":
    main()
