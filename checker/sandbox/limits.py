"""How much one run of a student's script may use. What a lab's script needs is far below: 20 s, 440 MB, 4 threads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

GIB, MIB = 1024**3, 1024**2


@dataclass(frozen=True)
class Limits:
    """Of the script and of all it starts together, but where it says otherwise."""

    wall: float = 300.0  # seconds
    cpu: int | None = None  # seconds of one process; None: twice the wall clock
    memory: int = 4 * GIB  # resident, backed by no file; one process may ask for twice as much
    processes: int = 128  # threads count
    file_size: int = 256 * MIB  # of one file
    open_files: int = 256  # of one process
    scratch: int = 512 * MIB  # its copy, its home and OUT; in the full tier
    out_files: int = 200  # what is taken along from OUT
    out_bytes: int = 64 * MIB
    grace: float = 15.0  # seconds in which the supervisor has to end it all and hand over, after `wall`

    def cpu_seconds(self) -> int:
        return self.cpu or int(2 * self.wall) + 1

    def resource_limits(self, own_uid: bool) -> dict[str, int]:
        """For setrlimit, by name."""
        return {
            "RLIMIT_CPU": self.cpu_seconds(),
            "RLIMIT_DATA": 2 * self.memory,
            "RLIMIT_FSIZE": self.file_size,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_CORE": 0,
        } | self._processes(own_uid)

    def _processes(self, own_uid: bool) -> dict[str, int]:
        # The kernel counts all that a uid runs. Of a uid that others use too, what runs already comes on top, with
        # room for what starts meanwhile: the supervisor counts more exactly.
        if own_uid:
            return {"RLIMIT_NPROC": self.processes}
        running = _threads_of(os.getuid())
        return {} if running is None else {"RLIMIT_NPROC": running + 2 * self.processes}


def _threads_of(uid: int) -> int | None:
    """How many threads ``uid`` runs; None where there is no /proc."""
    if not Path("/proc/self/status").is_file():
        return None
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except (OSError, ValueError):
            continue  # it has just ended
        if int(fields["Uid"].split()[0]) == uid:
            total += int(fields["Threads"])
    return total
