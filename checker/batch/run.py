"""The batch: read every submission, check each different one that is not known yet, keep what comes.

joblib runs both rounds, on threads that wait for processes, or, the same call, on dask.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed, parallel_config

from checker.batch import lanes
from checker.batch.handed_in import HandedIn, handed_in
from checker.batch.kept import Checked, Conditions, Kept
from checker.batch.lanes import BatchError, Bounds
from checker.check import Options
from checker.language import _, spoken

Tick = Callable[[str, int, int], None]  # what is done, how much of it, of how much


@dataclass(frozen=True)
class Row:
    """One student's line: the report or the trouble, and what was handed in."""

    who: HandedIn
    checked: Checked
    fingerprint: str | None = None
    files: tuple[tuple[str, str], ...] = ()  # the lab's artifacts, each with its sha256


@dataclass(frozen=True)
class Batch:
    """What is asked for."""

    lab_dir: Path
    submissions: Path
    only: list[str]
    options: Options
    bounds: Bounds


@contextmanager
def engine(name: str, jobs: int, address: str | None) -> Iterator[None]:
    """Where joblib sends the work meanwhile. BatchError: dask is not installed, or does not answer."""
    if name == "threads":
        with parallel_config(backend="threading", n_jobs=jobs):
            yield
        return
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise BatchError(_("--engine dask needs dask. Install it: pip install 'byte-for-byte[dask]'")) from None
    logging.getLogger("distributed").setLevel(logging.WARNING)
    mine = "127.0.0.1:0"  # its pages, for this machine only, on any free port
    try:
        # Without an address: threads of this very process, so that a batch that ends leaves nothing behind.
        here = address or LocalCluster(
            n_workers=1,
            threads_per_worker=jobs,
            processes=False,
            dashboard_address=mine,
            worker_dashboard_address=mine,
        )
        client = Client(here, timeout=20)
    except (OSError, ValueError) as error:
        raise BatchError(
            _("no dask scheduler answers at {address} ({error}).").format(address=address, error=error)
        ) from None
    try:
        with parallel_config(backend="dask", n_jobs=-1):
            yield
    finally:
        client.run(lanes.rest)  # the workers' own zygotes
        client.close()
        if not isinstance(here, str):
            here.close()


def run(batch: Batch, kept: Kept, here: Conditions, tick: Tick) -> list[Row]:
    """A row for every submission, in their order. What was checked before is not checked again."""
    found = handed_in(batch.submissions)
    lanes.open_lanes()
    try:
        read: dict[int, dict[str, Any]] = {}
        for n, answer in _asked(batch, "read_one", list(enumerate(found))):
            read[n] = answer
            tick("reading", len(read), len(found))
        waiting: dict[str, int] = {}
        for n in sorted(read):
            fingerprint = read[n].get("fingerprint")
            known = fingerprint and kept.get(fingerprint, here)
            if fingerprint and not (known and known.report):  # a check that failed is tried again
                waiting.setdefault(fingerprint, n)
        to_do = {n: fingerprint for fingerprint, n in waiting.items()}
        tick("checking", 0, len(to_do))
        for done, (n, answer) in enumerate(_asked(batch, "check_one", [(n, found[n]) for n in to_do]), 1):
            checked = Checked(answer.get("report"), answer.get("trouble"), answer.get("seconds", 0.0))
            kept.put(to_do[n], here, checked)
            tick("checking", done, len(to_do))
    finally:
        lanes.close_lanes()
    return [_row(who, read[n], kept, here) for n, who in enumerate(found)]


def _asked(batch: Batch, do: str, some: Sequence[tuple[int, HandedIn]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The answer about each, as they come."""
    requests = ((n, _request(batch, do, who)) for n, who in some)
    parallel = Parallel(return_as="generator_unordered", batch_size=1)
    yield from parallel(delayed(_numbered)(n, request) for n, request in requests)


def _numbered(n: int, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return n, lanes.ask(request)


def _request(batch: Batch, do: str, who: HandedIn) -> dict[str, Any]:
    return {
        "do": do,
        "lab": str(batch.lab_dir.resolve()),
        "path": str(who.path.absolute()),
        "only": batch.only,
        "hidden_seed": batch.options.hidden_seed,
        "timeout": batch.options.timeout,
        "tier": batch.options.tier,
        "language": spoken(),
        "limit": batch.bounds.seconds,
        "memory": batch.bounds.memory,
    }


def _row(who: HandedIn, answer: dict[str, Any], kept: Kept, here: Conditions) -> Row:
    fingerprint = answer.get("fingerprint")
    if fingerprint is None:  # there was nothing to check, or it could not be read
        return Row(who, Checked(answer.get("report"), answer.get("trouble"), answer.get("seconds", 0.0)))
    checked = kept.get(fingerprint, here)
    assert checked is not None
    return Row(who, checked, fingerprint, tuple(sorted(answer["files"].items())))
