"""What the GPU benchmarks decide by themselves: how much is timed, what a floor is, when rows differ, what sums up."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from pydantic import ValidationError

from benchmarks import gpu
from benchmarks.schema import Floor, Measured, Row, Tally

CEILINGS = gpu.Ceilings(copy=3e12, read=2e12, rates={"bf16": 600e12})


def test_the_floor_is_the_longer_of_moving_and_multiplying() -> None:
    moving = CEILINGS.floor("µs", bytes=30_000_000, flops=600_000_000)
    assert (moving.value, moving.bandwidth, moving.rate) == (10.0, 3e12, 600e12)
    assert CEILINGS.floor("ms", bytes=30_000_000, flops=1_200_000_000_000).value == 2.0
    assert CEILINGS.floor("µs", bytes=3_000_000).rate is None


def test_a_floor_that_does_not_follow_is_refused() -> None:
    ten = Floor.of("µs", 30_000_000, 3e12)

    def row(unit: str, better: str, floor: Floor) -> Row:
        values = {"a": Measured.of([12.0])}
        return Row(name="n", unit=unit, better=better, settings={}, values=values, ratios={}, floor=floor)  # type: ignore[arg-type]

    assert row("µs", "lower", ten).floor == ten
    with pytest.raises(ValidationError, match="bounds a time"):
        row("GB/s", "higher", ten)
    with pytest.raises(ValidationError, match="does not follow"):
        row("ms", "lower", ten)
    with pytest.raises(ValidationError, match="does not follow"):
        row("µs", "lower", ten.model_copy(update={"value": 9.0}))


def test_a_row_is_in_its_unit_and_its_ratios_are_within_repeats() -> None:
    times = {"triton": [1e-6, 2e-6, 4e-6], "torch": [2e-6, 4e-6, 8e-6]}
    row = gpu.row("n", "µs", times, {"M": 1}, ["torch / triton"], None)
    assert row.values["triton"].median == 2.0
    assert row.ratios["torch / triton"] == Measured(low=2.0, median=2.0, high=2.0, repeats=3)


def test_a_replay_lasts_about_a_millisecond() -> None:
    assert gpu.calls(Floor.of("µs", 30_000_000, 3e12)) == 100
    assert gpu.calls(Floor.of("µs", 3_000, 3e12)) == gpu.MOST_CALLS
    assert gpu.calls(Floor.of("ms", 30_000_000_000, 3e12), "ms") == 1


class Clock:
    """A pretended device: a graph remembers the calls that were captured, and its replay takes what they cost."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.open, self.replays = 0.0, None, []  # type: ignore[var-annotated]
        clock = self

        class Graph:
            def __init__(self) -> None:
                self.cost, self.names = 0.0, []  # type: ignore[var-annotated]

            def replay(self) -> None:
                clock.now += self.cost
                clock.replays.append(self.names)

        class Event:
            def __init__(self, enable_timing: bool) -> None:
                assert enable_timing

            def record(self) -> None:
                self.at = clock.now

            def elapsed_time(self, end: "Event") -> float:
                return (end.at - self.at) * 1e3

        @contextmanager
        def capturing(graph: Graph, pool: object) -> Iterator[None]:
            clock.open = graph
            yield
            clock.open = None

        stream = SimpleNamespace(wait_stream=lambda other: None)
        fakes = {
            "CUDAGraph": Graph, "Event": Event, "graph": capturing, "graph_pool_handle": lambda: (0, 0),
            "Stream": lambda: stream, "current_stream": lambda: stream, "stream": nullcontext,
            "synchronize": lambda: None, "get_device_properties": lambda i: SimpleNamespace(L2_cache_size=4096),
        }  # fmt: skip
        for name, fake in fakes.items():
            monkeypatch.setattr(torch.cuda, name, fake)
        monkeypatch.setattr(gpu, "DEVICE", "cpu")

    def call(self, name: str, seconds: float, i: int) -> object:
        if self.open is not None:
            self.open.cost += seconds
            self.open.names.append((name, i))
        return object()


def test_times_are_of_replays_in_turn_and_of_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, entered = Clock(monkeypatch), []
    peers = {"a": partial(clock.call, "a", 1e-3), "b": partial(clock.call, "b", 3e-3)}

    def around(peer: str) -> AbstractContextManager[object]:
        entered.append(peer)
        return nullcontext()

    times = gpu.graph_times(peers, n=5, keep=2, around=around)
    n = int(gpu.BUDGET / (5 * 4e-3))
    assert {peer: len(values) for peer, values in times.items()} == {"a": n, "b": n}
    assert times["a"] == pytest.approx([1e-3] * n)
    assert times["b"] == pytest.approx([3e-3] * n)
    assert clock.replays[4] == [("a", i) for i in range(5)]  # two rounds of warming up came first
    assert [names[0][0] for names in clock.replays[4:10]] == ["a", "b", "b", "a", "a", "b"]
    assert entered == ["a", "b"]


def test_peers_take_turns_at_going_first() -> None:
    assert [gpu.in_turn(["a", "b"], i) for i in range(3)] == [["a", "b"], ["b", "a"], ["a", "b"]]


def test_as_many_repeats_as_the_budget_allows_but_never_few() -> None:
    assert [gpu.repeats(s) for s in (1e-5, gpu.BUDGET / 20.5, 10.0)] == [31, 20, 11]


def test_copies_are_views_and_keep_the_cache_cold(monkeypatch: pytest.MonkeyPatch) -> None:
    class H100:
        L2_cache_size = 50 * 2**20

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: H100)
    assert gpu.copies(4096 * 4096 * 2) >= 6
    assert gpu.copies(128256 * 4096 * 2) == 1
    pool = torch.arange(10.0).view(10, 1)
    blocks = gpu.blocks(pool, 3)
    assert [b[:, 0].tolist() for b in blocks] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert blocks[1].data_ptr() == pool[3:].data_ptr()
    assert len(gpu.blocks(pool, 1, most=4)) == 4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_rows_differ_by_their_bytes(dtype: torch.dtype) -> None:
    a = torch.ones(5, 3, dtype=dtype)
    b = a.clone()
    b[2, 1] = torch.nextafter(b[2, 1].float(), torch.tensor(9.0)) if dtype == torch.float32 else 1.01
    b[4, 0], a[4, 0] = 0.0, -0.0
    assert gpu.rows_differing(a, b) == Tally(differing=2, compared=5)
    assert gpu.rows_differing(a, a.clone()) == Tally(differing=0, compared=5)
    assert gpu.rows_differing(a[:, 1], b[:, 1]).differing == 1  # one number a row
    with pytest.raises(ValueError, match="cannot compare"):
        gpu.rows_differing(a, b[:4])


def test_a_function_of_its_batch_is_found_out_and_one_of_its_row_is_not() -> None:
    x = torch.randn(6, 4)
    assert gpu.rows_in_batches(lambda x: x * 2, x, [1, 6]) == {
        "1 of 6": Tally(differing=0, compared=2),
        "6 of 6": Tally(differing=0, compared=12),
    }
    found = gpu.rows_in_batches(lambda x: x + x.shape[0], x, [1, 6])
    assert [t.differing for t in found.values()] == [2, 0]
    position = gpu.rows_in_batches(lambda x: x + torch.arange(x.shape[0])[:, None], x, [2])
    assert position["2 of 6"] == Tally(differing=2, compared=4)  # the last two stand elsewhere


def test_a_summary_names_the_worst_cell_and_counts_those_below_a_bar() -> None:
    def cell(m: int, ratio: float) -> Row:
        return gpu.row("n", "µs", {"a": [1e-6], "b": [ratio * 1e-6]}, {"M": m}, ["b / a"], None)

    line = gpu.summary("bf16", [cell(1, 2.0), cell(16, 0.5), cell(64, 1.0)], "b / a", (1.0, 0.4))
    assert line == ("bf16: b / a over 3 cells: geometric mean 1.000, worst 0.500 (M 16), 1 below 1.00, 0 below 0.40")
    assert gpu.summary("bf16", [], "b / a") == "bf16: b / a was not measured"


def test_what_ran_is_heard_once_each() -> None:
    from courselib.kernels import ran

    with gpu.heard() as names:
        for name in ("tile a", "tile b", "tile a"):
            ran("matmul", name)
    ran("matmul", "after")
    assert list(names) == ["tile a", "tile b"]
