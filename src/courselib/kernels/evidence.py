"""What really ran: each primitive names itself and its implementation as it runs, to whoever listens (an audit)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_listeners: list[Callable[[str, str], None]] = []


def ran(op: str, implementation: str) -> None:
    """Say that `op` ("matmul") was done by `implementation` ("fixed-c"). Costs nothing while nobody listens."""
    for listener in _listeners:
        listener(op, implementation)


@contextmanager
def listening(listener: Callable[[str, str], None]) -> Iterator[None]:
    """Call listener(op, implementation) for every primitive that any thread runs during the block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
