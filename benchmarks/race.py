"""Peers timed in turn, A B A B, so that whatever else the machine is doing falls on all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable

from .schema import Measured, Row, Settings

Tick = Callable[[], object]  # called after each run of a peer; it moves the progress bar
Peers = dict[str, Callable[[], object]]


def race(name: str, peers: Peers, rounds: int, settings: Settings, amount: int, unit: str, tick: Tick) -> Row:
    """Time every peer `rounds` times, after one round to warm up (so tick is called (rounds + 1) * len(peers) times).

    A value is amount / seconds, of what `unit` says. The ratios are the first peer's value over each other's.
    """
    values: dict[str, list[float]] = {peer: [] for peer in peers}
    for i in range(rounds + 1):
        for peer, call in peers.items():
            start = time.perf_counter()
            call()
            seconds = time.perf_counter() - start
            if i > 0:
                values[peer].append(amount / seconds)
            tick()
    lead, *others = peers
    return Row(
        name=name,
        unit=unit,
        better="higher",
        settings=settings,
        values={peer: Measured.of(v) for peer, v in values.items()},
        ratios={
            f"{lead} / {other}": Measured.of([a / b for a, b in zip(values[lead], values[other], strict=True)])
            for other in others
        },
    )
