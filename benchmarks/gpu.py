"""How a GPU is timed here, and what it could do at best.

- **Without the launch**: the calls are captured in a CUDA graph, and two events on the device time a replay of it.
  (`wall_times` is the other way: eager calls by the clock on the wall, with all that Python and PyTorch add.)
- **Cold**: call i of a replay works on copy i of its inputs, and there are copies enough that COLD times the L2 cache
  passes by before one comes round again. Before every replay the L2 is filled with something else. Outputs take turns
  in the same way. Numbers are drawn from a normal distribution: zeros would cost less power, and clocks would rise.
- **In turn**: a repeat times every peer once, the next one in the opposite order, all of them queued without a pause. A
  clock that falls under the power limit so falls on all alike, and a ratio is taken within its repeat.
- **Beside a floor**: copying, reading and large matrix products by PyTorch are timed first, in the same run. What must
  be moved and multiplied, at those speeds, is the least that a kernel can take.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from statistics import geometric_mean
from typing import Any

import torch
from torch import Tensor

from .schema import SECONDS, Floor, Measured, Row, Settings, Tally

DEVICE = "cuda"
COLD = 4  # caches' worth of bytes between two uses of the same input
REPLAY = 1e-3  # seconds that a replay is meant to last: long beside the two events' half microsecond
MOST_CALLS = 128  # in a replay
REPEATS = (11, 31)  # at least, at most: as many as BUDGET allows
BUDGET = 0.4  # seconds for the repeats of one row

Peers = Mapping[str, Callable[[int], object]]  # name -> call(i), which works on copy i of its inputs
Times = dict[str, list[float]]  # name -> seconds a call, one of each repeat
Around = Callable[[str], AbstractContextManager[object]]  # what to enter while a peer is captured, or runs


def nothing(peer: str) -> AbstractContextManager[object]:
    return nullcontext()


def copies(bytes_each: int) -> int:
    """How many copies of inputs of that size keep the L2 cold."""
    l2 = torch.cuda.get_device_properties(0).L2_cache_size
    return max(1, math.ceil(COLD * l2 / max(1, bytes_each)))


def blocks(pool: Tensor, rows: int, most: int = MOST_CALLS) -> list[Tensor]:
    """pool (R, ...) -> its first blocks of `rows` rows, as views: copies that take no memory of their own."""
    return [pool[i * rows : (i + 1) * rows] for i in range(min(most, pool.shape[0] // rows))]


def calls(floor: Floor, unit: str = "µs") -> int:
    """How many calls make a replay of about REPLAY seconds, going by the floor of one."""
    return min(MOST_CALLS, max(1, round(REPLAY / (floor.value * SECONDS[unit]))))


def in_turn(peers: Sequence[str], repeat: int) -> list[str]:
    """The order of one repeat: A B, B A, A B, ..."""
    return list(peers) if repeat % 2 == 0 else list(peers)[::-1]


def repeats(seconds: float) -> int:
    """How many repeats of `seconds` fit the budget of a row, within REPEATS."""
    least, most = REPEATS
    return max(least, min(most, int(BUDGET / seconds)))


@torch.no_grad()
def graph_times(peers: Peers, n: int, keep: int = 1, around: Around = nothing) -> Times:
    """Seconds a call, of replays of n calls each. keep: outputs that a replay holds before their memory is reused."""
    pool = torch.cuda.graph_pool_handle()
    graphs = {}
    for peer, call in peers.items():
        with around(peer):
            graphs[peer] = _captured(call, n, keep, pool)
    other = torch.empty(COLD * torch.cuda.get_device_properties(0).L2_cache_size // 4, device=DEVICE).normal_()

    def replay(peer: str) -> tuple[torch.cuda.Event, torch.cuda.Event]:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.amax(other)  # fills the L2 by reading, which leaves nothing to be written back on a peer's time
        start.record()
        graphs[peer].replay()
        end.record()
        return start, end

    def seconds(events: tuple[torch.cuda.Event, torch.cuda.Event]) -> float:
        return events[0].elapsed_time(events[1]) / 1e3

    for _ in range(2):  # the second warm-up says how long a repeat takes
        warm = [replay(peer) for peer in peers]
        torch.cuda.synchronize()
    events: dict[str, list[tuple[torch.cuda.Event, torch.cuda.Event]]] = {peer: [] for peer in peers}
    for i in range(repeats(sum(map(seconds, warm)))):
        for peer in in_turn(list(peers), i):
            events[peer].append(replay(peer))
    torch.cuda.synchronize()
    return {peer: [seconds(e) / n for e in events[peer]] for peer in peers}


def _captured(call: Callable[[int], object], n: int, keep: int, pool: Any) -> torch.cuda.CUDAGraph:
    """A graph of call(0), ..., call(n - 1), after a warm-up on the side (kernels compile, workspaces are allocated)."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for i in range(2):
            call(i)
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph, outputs = torch.cuda.CUDAGraph(), deque[object](maxlen=keep)
    with torch.cuda.graph(graph, pool=pool):
        for i in range(n):
            outputs.append(call(i))
    return graph


@torch.no_grad()
def wall_times(peers: Peers, n: int, around: Around = nothing) -> Times:
    """Seconds a call by the clock on the wall, n eager calls at a time, one more ahead of them to warm up."""
    values: Times = {peer: [] for peer in peers}
    for i in range(REPEATS[0] + 1):
        for peer in in_turn(list(peers), i):
            with around(peer):
                peers[peer](0)
                torch.cuda.synchronize()
                start = time.perf_counter()
                for j in range(n):
                    peers[peer](j)
                torch.cuda.synchronize()
                if i > 0:
                    values[peer].append((time.perf_counter() - start) / n)
    return values


def row(name: str, unit: str, times: Times, settings: Settings, ratios: Sequence[str], floor: Floor | None) -> Row:
    """Times as a row in `unit` of time. ratios: "a / b" of the peers' times, so b's speed as a multiple of a's."""
    pairs = [(ratio, *ratio.split(" / ")) for ratio in ratios]
    return Row(
        name=name,
        unit=unit,
        better="lower",
        settings=settings,
        values={peer: Measured.of([t / SECONDS[unit] for t in values]) for peer, values in times.items()},
        ratios={r: Measured.of([x / y for x, y in zip(times[a], times[b], strict=True)]) for r, a, b in pairs},
        floor=floor,
    )


@dataclass(frozen=True)
class Ceilings:
    """What this device did at best: bytes/s of copying (read and written) and of reading, flop/s by dtype."""

    copy: float
    read: float
    rates: dict[str, float]

    def floor(self, unit: str, bytes: int, flops: int = 0, dtype: str = "bf16") -> Floor:
        rate = self.rates[dtype] if flops else None
        return Floor.of(unit, bytes, max(self.copy, self.read), flops, rate)


DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
SIDE = 8192  # of the matrices whose product gives the rate of a dtype


def measure_ceilings() -> tuple[Ceilings, list[Row]]:
    """By PyTorch alone: a copy of 2 GiB, amax over 4 GiB, and SIDE x SIDE matrix products. fp32 is IEEE fp32."""
    numbers = torch.empty(2**17, 2**13, device=DEVICE).normal_()  # 4 GiB of float32
    size = numbers.numel() * numbers.element_size()
    moving = graph_times({"copy": partial(_copy_half, numbers), "read": lambda i: torch.amax(numbers, dim=-1)}, n=1)
    torch.backends.cuda.matmul.allow_tf32 = False
    operands = {name: torch.randn(2, SIDE, SIDE, device=DEVICE).to(dtype) for name, dtype in DTYPES.items()}
    products: Peers = {name: lambda i, x=x: torch.mm(x[0], x[1].t()) for name, x in operands.items()}
    multiplying = graph_times(products, n=1)
    rows = [
        _speeds("bandwidth, bytes read and written", "TB/s", moving, size / 1e12, {"bytes": size}),
        _speeds("matrix products by PyTorch", "TFLOP/s", multiplying, 2 * SIDE**3 / 1e12, {"M = N = K": SIDE}),
    ]
    bandwidth, rates = ({peer: m.median * 1e12 for peer, m in r.values.items()} for r in rows)
    return Ceilings(bandwidth["copy"], bandwidth["read"], rates), rows


def _copy_half(x: Tensor, i: int) -> None:
    half = x.shape[0] // 2
    x[:half].copy_(x[half:])


def _speeds(name: str, unit: str, times: Times, amount: float, settings: Settings) -> Row:
    values = {peer: Measured.of([amount / t for t in ts]) for peer, ts in times.items()}
    return Row(name=name, unit=unit, better="higher", settings=settings, values=values, ratios={})


def rows_differing(a: Tensor, b: Tensor) -> Tally:
    """Rows (of the first dimension) that differ in any byte; compared where the tensors are, for they may be large."""
    if a.dtype != b.dtype or a.shape != b.shape:
        raise ValueError(f"cannot compare {a.dtype} {tuple(a.shape)} with {b.dtype} {tuple(b.shape)} byte by byte")
    word = {2: torch.int16, 4: torch.int32}[a.element_size()]
    different = (a.contiguous().view(word) != b.contiguous().view(word)).view(a.shape[0], -1).any(dim=1)
    return Tally(differing=int(different.sum()), compared=a.shape[0])


@torch.no_grad()
def rows_in_batches(f: Callable[[Tensor], Tensor], x: Tensor, sizes: Sequence[int]) -> dict[str, Tally]:
    """Does a row's answer depend on its batch? x (R, ...): f of its first and last m rows, against f of all R."""
    whole = f(x)
    return {
        f"{m:,} of {x.shape[0]:,}": rows_differing(f(x[:m]), whole[:m]) + rows_differing(f(x[-m:]), whole[-m:])
        for m in sizes
    }


def summary(label: str, rows: Sequence[Row], ratio: str, bars: Sequence[float] = (1.0,)) -> str:
    """One ratio over many rows as a sentence: its geometric mean, its worst cell, how many cells lie below each bar."""
    cells = [(row.ratios[ratio].median, row) for row in rows if ratio in row.ratios]
    if not cells:
        return f"{label}: {ratio} was not measured"
    worst, where = min(cells, key=lambda cell: cell[0])
    settings = ", ".join(f"{k} {v}" for k, v in where.settings.items())
    below = ", ".join(f"{sum(value < bar for value, _ in cells)} below {bar:.2f}" for bar in bars)
    mean = geometric_mean([value for value, _ in cells])
    return (
        f"{label}: {ratio} over {len(cells)} cells: geometric mean {mean:.3f}, worst {worst:.3f} ({settings}), {below}"
    )


@contextmanager
def heard() -> Iterator[dict[str, None]]:
    """The names of the implementations that run during the block, in order, each once."""
    from courselib.kernels import listening

    names: dict[str, None] = {}
    with listening(lambda op, implementation: names.setdefault(implementation)):
        yield names
