"""Archives, unpacked beneath a folder: a zip, a tar or a tar.gz that somebody else has made.

Nothing an archive says of itself is believed: names, sizes and places are checked, and counted again as the bytes come.
The files are written here, one by one, as plain files: that is stricter than tarfile's ``filter="data"``, which would
still make links. What cannot be unpacked is a ``Refusal`` that says why, as for every other file of a submission.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NoReturn

from checker.faults import printable
from checker.gate import MAX_COPIED, MAX_FILES, Folder, Refusal, in_bytes
from checker.language import _

MAX_ARCHIVE = MAX_TOTAL = MAX_COPIED
MAX_MEMBERS = 2 * MAX_FILES  # folders count too
MAX_DEPTH = 16
MAX_NAME = 255  # of one part, in bytes of UTF-8: what a file system takes
MAX_PATH = 1024
MAX_RATIO = 200  # unpacked to packed; 64 tokens of JSON a hundred times over make 30
LATEST = 2.0**32  # seconds: dates of files past the year 2106 are taken for that
SMALL = 1024 * 1024  # up to here nobody asks how well it was packed
ZIP_DIRECTORY = 1024 * 1024  # bytes of a zip's table of contents
LEFT_OUT = ("__MACOSX", ".DS_Store")
_END = b"PK\x05\x06"
_BROKEN = (  # what zipfile, tarfile and gzip are known to raise on an archive that is not one
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RecursionError,
    RuntimeError,
    ValueError,
    OverflowError,
    OSError,
)


def unpack(archive: Path, destination: Path) -> None:
    """Write what ``archive`` holds into the empty folder ``destination``. Refusal: a test for each reason."""
    name = archive.name
    data = Folder(archive.parent).read_bytes(name, MAX_ARCHIVE)
    target = _Target(name, destination)
    try:
        if data.startswith((b"PK\x03\x04", _END)):
            _unzip(data, target)
        elif data.startswith(b"\x1f\x8b"):
            _untar(_gunzip(data, name), target)
        elif data[257:262] == b"ustar":
            _untar(data, target)
        else:
            _refuse(
                name, _("This is no archive that can be unpacked."), _("a zip, a tar or a tar.gz"), data[:4].hex(" ")
            )
    except _BROKEN as error:
        _refuse(name, _("The archive is damaged."), _("a whole archive"), printable(str(error)) or type(error).__name__)


@dataclass
class _Target:
    """Where the members go, and what was written so far."""

    archive: str
    folder: Path
    members: int = 0
    room: int = MAX_TOTAL
    spelled: dict[str, str] = field(default_factory=dict)  # a path as a case-blind disk sees it -> as it is written
    files: set[str] = field(default_factory=set)

    def place(self, name: str, folder: bool) -> Path | None:
        """Where the member ``name`` belongs; None if it is left out. Refusal: no place beneath the folder is safe."""
        self.members += 1
        if self.members > MAX_MEMBERS:
            self.refuse(
                None,
                _("It holds too many files."),
                _("at most {n} members").format(n=MAX_MEMBERS),
                _("more than {n}").format(n=MAX_MEMBERS),
            )
        if name.startswith("/") or re.match(r"[A-Za-z]:", name):
            self.refuse(name, _("A name in it is absolute."), _("a name beneath the archive's own folder"), name)
        if "\\" in name or not name.isprintable():
            self.refuse(name, _("A name in it holds a backslash or a control character."), _("a plain name"), name)
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            self.refuse(name, _("A name in it leads out of the archive."), _("a name without .."), name)
        if not parts or any(part in LEFT_OUT for part in parts):
            return None
        sizes = [len(part.encode()) for part in parts]
        if len(parts) > MAX_DEPTH or max(sizes) > MAX_NAME or sum(sizes) > MAX_PATH:
            expected = _("at most {depth} folders deep, {name} bytes a part, {path} in all").format(
                depth=MAX_DEPTH, name=MAX_NAME, path=MAX_PATH
            )
            self.refuse(
                name[:80], _("A name in it is too long or too deep."), expected, _("{n} characters").format(n=len(name))
            )
        for n in range(1, len(parts) + 1):
            self._claim("/".join(parts[:n]), file=n == len(parts) and not folder)
        return self.folder.joinpath(*parts)

    def _claim(self, path: str, file: bool) -> None:
        """No file twice, no file where a folder is, and nothing that differs from a neighbour in its case alone."""
        blind = unicodedata.normalize("NFC", path).casefold()
        other = self.spelled.setdefault(blind, path)
        if other != path:
            self.refuse(path, _("Two names in it differ in upper and lower case only."), other, path)
        if path in self.files or (file and (self.folder / path).exists()):
            self.refuse(path, _("A name is in it more than once."), _("each name once"), path)
        if file:
            self.files.add(path)

    def write(self, place: Path, source: IO[bytes], size: int, date: float) -> None:
        """The ``size`` bytes that the archive promises, and not one more; ``date`` says what is newer than what."""
        name = place.relative_to(self.folder).as_posix()
        self.room -= size
        if size < 0 or self.room < 0:
            self.refuse(
                name,
                _("It unpacks to more than any lab asks for."),
                _("at most {n} bytes").format(n=MAX_TOTAL),
                _("more"),
            )
        data = source.read(size + 1)
        if len(data) != size:
            self.refuse(name, _("The archive's own table of sizes is wrong."), in_bytes(size), in_bytes(len(data)))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        os.utime(place, (date, date))

    def refuse(self, where: str | None, message: str, expected: str, found: str) -> NoReturn:
        _refuse(self.archive, f"{_('The archive was not unpacked.')} {message}", expected, found, where)


def _unzip(data: bytes, target: _Target) -> None:
    at = data.rfind(_END, -65557 if len(data) > 65557 else 0)  # the end record, before a comment of at most 64 KiB
    (directory,) = struct.unpack("<L", data[at + 12 : at + 16]) if at >= 0 else (0,)
    if directory > ZIP_DIRECTORY:
        expected, found = _("at most {n} bytes").format(n=ZIP_DIRECTORY), in_bytes(directory)
        target.refuse(None, _("Its table of contents is too long."), expected, found)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        end = 0
        for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
            name = info.filename
            if info.header_offset < end:
                target.refuse(name, _("Two members lie over each other."), _("each in bytes of its own"), name)
            end = info.header_offset + 30 + len(info.orig_filename) + info.compress_size
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                target.refuse(name, _("It holds something other than files and folders."), _("a file"), _named(kind))
            if info.flag_bits & 1:
                target.refuse(
                    name, _("A file in it needs a password."), _("a file that anyone can read"), _("an encrypted one")
                )
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a bound
                expected, found = (
                    _("stored or deflated"),
                    _("zip method {compress_type}").format(compress_type=info.compress_type),
                )
                target.refuse(name, _("A file in it is packed in an uncommon way."), expected, found)
            if info.file_size > SMALL and info.file_size > MAX_RATIO * info.compress_size:
                _too_tight(target.archive, name)
            place = target.place(info.orig_filename, info.is_dir())
            if place is not None and info.is_dir():
                place.mkdir(parents=True, exist_ok=True)
            elif place is not None:
                with archive.open(info) as source:
                    target.write(place, source, info.file_size, _zip_date(info))


def _zip_date(info: zipfile.ZipInfo) -> float:
    """Seconds, as if the archive's clock were here: only their order counts. Steps of two seconds."""
    try:
        return datetime(*info.date_time, tzinfo=UTC).timestamp()
    except ValueError:  # there is no such day
        return 0.0


def _gunzip(data: bytes, name: str) -> bytes:
    limit = MAX_TOTAL + 4 * 512 * MAX_MEMBERS  # the headers and the padding of a tar
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        found = file.read(min(limit, max(SMALL, MAX_RATIO * len(data))) + 1)
    if len(found) > limit:
        message = f"{_('The archive was not unpacked.')} {_('It unpacks to more than any lab asks for.')}"
        _refuse(name, message, _("at most {n} bytes").format(n=limit), _("more"))
    if len(found) > max(SMALL, MAX_RATIO * len(data)):
        _too_tight(name, None)
    return found


def _untar(data: bytes, target: _Target) -> None:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for member in _members(archive, target):
            name = member.name
            if not (member.isreg() or member.isdir()):
                kinds = {tarfile.SYMTYPE: stat.S_IFLNK, tarfile.FIFOTYPE: stat.S_IFIFO, tarfile.LNKTYPE: stat.S_IFREG}
                found = _("a hard link") if member.islnk() else _named(kinds.get(member.type, stat.S_IFCHR))
                target.refuse(name, _("It holds something other than files and folders."), _("a file"), found)
            if member.issparse():
                target.refuse(name, _("A file in it has holes."), _("a file with all its bytes"), _("a sparse file"))
            place = target.place(name, member.isdir())
            if place is not None and member.isdir():
                place.mkdir(parents=True, exist_ok=True)
            elif place is not None:
                source = archive.extractfile(member)
                assert source is not None
                target.write(place, source, member.size, min(max(float(member.mtime), 0.0), LATEST))


def _members(archive: tarfile.TarFile, target: _Target) -> Iterator[tarfile.TarInfo]:
    """Each member once; a header that points back (tarfile would read it for ever) is refused."""
    end = 0
    while (member := archive.next()) is not None:
        if member.offset < end or member.size < 0:
            target.refuse(
                member.name, _("Two members lie over each other."), _("each in bytes of its own"), _("an overlap")
            )
        end = member.offset_data + (0 if member.issparse() else member.size)
        yield member


def _named(kind: int) -> str:
    names = {
        stat.S_IFLNK: _("a symbolic link"),
        stat.S_IFIFO: _("a FIFO"),
        stat.S_IFCHR: _("a device"),
        stat.S_IFBLK: _("a device"),
    }
    return names.get(kind, _("something else"))


def _too_tight(archive: str, name: str | None) -> NoReturn:
    message = f"{_('The archive was not unpacked.')} {_('It unpacks to far more than it holds, as a bomb does.')}"
    _refuse(archive, message, _("at most {n} times its size").format(n=MAX_RATIO), _("more"), name)


def _refuse(archive: str, message: str, expected: str, found: str, where: str | None = None) -> NoReturn:
    where = where if where is None else printable(where)
    raise Refusal("unreadable", archive, message, where=where, expected=expected, found=printable(found)) from None
