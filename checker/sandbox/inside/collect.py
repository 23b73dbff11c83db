"""What lies under OUT when everything is dead: regular files, bounded, opened without following a link."""

from __future__ import annotations

import os
import stat

from . import frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH = 8
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Entry = tuple[bytes, bytes, bytes]  # kind, name, data


class Full(Exception):
    """There is more than is taken along."""


def collect(out: str, max_files: int, max_bytes: int) -> Iterator[Entry]:
    """Each thing under ``out``, by name. The last one says so if there was more."""
    room = [max_files, max_bytes]
    try:
        fd = os.open(out, _FOLDER)
    except OSError as error:
        yield frames.LEFT_OUT, b".", str(error.strerror).encode()
        return
    try:
        yield from _folder(fd, b"", 0, room)
    except Full as full:
        yield frames.LEFT_OUT, b".", str(full).encode()
    finally:
        os.close(fd)


def _folder(fd: int, prefix: bytes, depth: int, room: list[int]) -> Iterator[Entry]:
    names = []
    with os.scandir(fd) as entries:
        for entry in entries:
            room[0] -= 1
            if room[0] < 0:
                raise Full("there were more files than are taken along")
            names.append(os.fsencode(entry.name))
    for name in sorted(names):
        try:
            yield from _entry(fd, name, prefix + name, depth, room)
        except OSError as error:
            yield frames.LEFT_OUT, prefix + name, str(error.strerror).encode()


def _entry(folder: int, name: bytes, path: bytes, depth: int, room: list[int]) -> Iterator[Entry]:
    mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        yield frames.LINK, path, b""
    elif stat.S_ISFIFO(mode):
        yield frames.FIFO, path, b""
    elif stat.S_ISREG(mode):
        yield frames.FILE, path, _content(folder, name, room)
    elif not stat.S_ISDIR(mode):
        yield frames.LEFT_OUT, path, b"no regular file"
    elif depth == MAX_DEPTH:
        yield frames.LEFT_OUT, path, b"too deep"
    else:
        fd = os.open(name, _FOLDER, dir_fd=folder)
        try:
            yield from _folder(fd, path + b"/", depth + 1, room)
        finally:
            os.close(fd)


def _content(folder: int, name: bytes, room: list[int]) -> bytes:
    fd = os.open(name, _FILE, dir_fd=folder)
    with os.fdopen(fd, "rb") as file:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_nlink > 1:  # a hard link may be somebody else's file
            raise OSError(0, "a file with another name elsewhere")
        if info.st_size > room[1]:
            raise OSError(0, "larger than all that is taken along")
        room[1] -= info.st_size
        return file.read(info.st_size)
