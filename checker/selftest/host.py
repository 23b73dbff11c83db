"""What a probe finds on the machine it tries to break into; and what its script begins with."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRELUDE = """import json, os, sys
out, HOST, GOT = sys.argv[2], json.loads(sys.argv[3]), []
def note():
    with open(out + "/got.json", "w") as file:
        json.dump(GOT, file)
def attempt(name, what):
    try:
        what()
        GOT.append(name)
    except BaseException:
        pass
"""


@dataclass(frozen=True)
class Host:
    """What a probe may try to reach: all of it open to anyone on this machine."""

    secret: str  # another student's file
    folder: str  # a folder that anyone may write to
    port: int  # where somebody listens
    victim: int  # a process of the checker's own
    root: str  # the course
    shared: str  # a name in /dev/shm


def alive(word: str) -> list[str]:
    """Processes with ``word`` in their command line; where there is no /proc, none is seen."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (process / "cmdline").read_bytes():
                found.append(process.name)
        except OSError:
            continue
    return found


@contextmanager
def a_host(folder: Path) -> Iterator[Host]:
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "secret.json").write_text("another's")
    (folder / "secret.json").chmod(0o666)
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    shared = f"/dev/shm/{folder.parent.name}"
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            yield Host(str(folder / "secret.json"), str(folder / "open"), port, victim.pid, str(ROOT), shared)
    finally:
        victim.kill()
        victim.wait()
