"""The checker's end of the private channel: read with a bound, believed only if whole, then written out as files."""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from checker.language import N_, _
from checker.sandbox.inside import frames
from checker.sandbox.limits import Limits

MAX_NAME = 4096
REASONS = (  # of inside/collect.py, which runs without the checker, and so cannot mark them itself
    N_("no regular file"),
    N_("too deep"),
    N_("there were more files than are taken along"),
    N_("a file with another name elsewhere"),
    N_("larger than all that is taken along"),
)
KINDS = (frames.FILE, frames.LINK, frames.FIFO, frames.LEFT_OUT)
_OVERHEAD = frames.ENTRY_HEAD.size + 1 + 2 * MAX_NAME


class Broken(Exception):
    """What came is not what a supervisor sends: cut short, with a wrong digest, or out of all bounds."""


@dataclass(frozen=True)
class Entry:
    kind: bytes
    name: str
    data: bytes


@dataclass(frozen=True)
class Handed:
    """What a run handed over, and the supervisor's account of how it ended."""

    entries: list[Entry]
    ending: str
    exit_code: int

    def left_out(self) -> list[str]:
        """What lay under OUT and was not taken along, and why: the supervisor speaks English."""
        return [f"{e.name}: {_(e.data.decode('utf-8', 'replace'))}" for e in self.entries if e.kind == frames.LEFT_OUT]


def max_bytes(limits: Limits) -> int:
    """More than an honest supervisor ever sends."""
    return limits.out_bytes + (limits.out_files + 2) * _OVERHEAD + 1024


def read(pipe: IO[bytes], limits: Limits) -> bytes:
    """All that comes, to its end; at most a byte more than may come."""
    data, room = bytearray(), max_bytes(limits) + 1
    while len(data) < room and (chunk := os.read(pipe.fileno(), min(1 << 20, room - len(data)))):
        data += chunk
    return bytes(data)


def started(data: bytes) -> bool:
    """Did a supervisor run at all?"""
    return data.startswith(frames.MAGIC)


def decode(data: bytes, nonce: bytes, limits: Limits) -> Handed:
    if not started(data):
        raise Broken(_("nothing came"))
    if len(data) > max_bytes(limits):
        raise Broken(_("more came than may come"))
    at = len(frames.MAGIC)
    body, digest = data[at : -frames.DIGEST_SIZE], data[-frames.DIGEST_SIZE :]
    expected = frames.keyed(nonce)
    expected.update(body)
    if not hmac.compare_digest(expected.digest(), digest):
        raise Broken(_("it was cut short, or somebody else sent it"))
    # From here on it is the supervisor's; all the same, nothing is taken on trust.
    entries: list[Entry] = []
    at = 0
    while body[at : at + 1] == frames.ENTRY:
        head = body[at + 1 : at + 1 + frames.ENTRY_HEAD.size]
        if len(head) < frames.ENTRY_HEAD.size or len(entries) > limits.out_files + 1:
            raise Broken(_("an entry is not whole, or there are too many"))
        kind, n_name, n_data = frames.ENTRY_HEAD.unpack(head)
        at += 1 + frames.ENTRY_HEAD.size
        if n_name > MAX_NAME or at + n_name + n_data > len(body):
            raise Broken(_("an entry is longer than what came"))
        if kind not in KINDS or b"\0" in body[at : at + n_name]:
            raise Broken(_("an entry is of no known kind, or has no possible name"))
        name = os.fsdecode(body[at : at + n_name])
        entries.append(Entry(kind, name, body[at + n_name : at + n_name + n_data]))
        at += n_name + n_data
    ending = body[at + 1 :]
    if body[at : at + 1] != frames.END or len(ending) != frames.ENDING.size:
        raise Broken(_("the end marker is missing"))
    which, code = frames.ENDING.unpack(ending)
    if which >= len(frames.ENDINGS):
        raise Broken(_("the end marker says nothing known"))
    return Handed(entries, frames.ENDINGS[which], code)


def write(entries: list[Entry], out: Path) -> None:
    """Into ``out``, a new folder. A link and a FIFO arrive as empty ones of their kind, for the gate to refuse."""
    for entry in entries:
        parts = PurePosixPath(entry.name).parts
        if entry.kind == frames.LEFT_OUT or not parts or ".." in parts or entry.name.startswith("/"):
            continue
        path = out.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        if entry.kind == frames.FILE:
            with path.open("xb") as file:  # never through a link, or into a FIFO, that came before it
                file.write(entry.data)
        elif entry.kind == frames.LINK:
            path.symlink_to("a link that was not followed")
        else:
            os.mkfifo(path)
