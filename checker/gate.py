"""The only way a submission's file is read.

A file is opened one folder at a time beneath the submission, following no link; it must be a regular file no
larger than its cap before a byte of it is read. What cannot be read is a ``Refusal``, which carries the
finding: the student sees which file, what was expected and what was found. Formats have gates of their own:
``gate_json`` and ``gate_npz``.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from checker.faults import printable
from checker.language import _, ngettext, said_by_the_system
from checker.report import Finding, Kind

REPORT_FOLDER = ".checker"
SKIPPED = {REPORT_FOLDER, "__pycache__", ".ipynb_checkpoints", ".DS_Store"}
MAX_FILES = 500
MAX_COPIED = 64 * 1024 * 1024
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # non-blocking: a FIFO must not hang us
_FOLDER = _READ | os.O_DIRECTORY


class Refusal(Exception):
    """A file that is not there, or that was refused; ``finding`` says which and why."""

    def __init__(self, kind: Kind, file: str | None, message: str, **fields: str | list[str] | None) -> None:
        super().__init__(message)
        file = file and printable(file)  # a file's name may hold bytes that are no text
        self.finding = Finding.model_validate({"kind": kind, "file": file, "message": message, **fields})


class Folder:
    """A folder whose files are read only through here."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read_bytes(self, name: str, max_bytes: int) -> bytes:
        """The bytes of ``name`` (a/b/c, relative). Refusal: missing, no regular file, linked, too large."""
        fd = self._open(name)
        try:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                raise _not_regular(name, info.st_mode)
            if info.st_nlink > 1:
                raise Refusal(
                    "unreadable",
                    name,
                    _("The file has a second name elsewhere (a hard link), so it may be somebody else's: copy it."),
                    expected=_("a file with one name"),
                    found=_("{n} names").format(n=info.st_nlink),
                )
            if info.st_size > max_bytes:
                raise _too_large(name, info.st_size, max_bytes)
            with os.fdopen(os.dup(fd), "rb") as file:
                data = file.read(max_bytes + 1)
        finally:
            os.close(fd)
        if len(data) > max_bytes:  # it grew while it was read
            raise _too_large(name, len(data), max_bytes)
        return data

    def read_text(self, name: str, max_bytes: int) -> str:
        return decode(self.read_bytes(name, max_bytes), name)

    def files(self) -> Iterator[tuple[str, os.stat_result]]:
        """Every regular file, sorted by name, links not followed. Refusal: more than MAX_FILES, or no permission."""
        count = 0
        for root, folders, names in os.walk(self.path, onerror=self._refuse_folder):
            folders[:] = sorted(set(folders) - SKIPPED)
            for name in sorted(set(names) - SKIPPED):
                count += 1
                if count > MAX_FILES:
                    raise Refusal(
                        "unreadable",
                        None,
                        _("The submission holds too many files; leave in it only what the lab asks for."),
                        expected=_("at most {n} files").format(n=MAX_FILES),
                        found=_("more than {n}").format(n=MAX_FILES),
                    )
                path = Path(root, name)
                inside = path.relative_to(self.path).as_posix()
                try:
                    info = path.lstat()
                except OSError as error:
                    raise _refused(inside, error) from None
                if stat.S_ISREG(info.st_mode):
                    yield inside, info

    def newer(self, name: str, than: str) -> bool:
        """Was the file ``name`` changed after the file ``than``? False if either is not there."""
        try:
            return (self.path / name).lstat().st_mtime_ns > (self.path / than).lstat().st_mtime_ns
        except OSError:
            return False

    def fingerprint(self) -> str:
        """sha256 over names and contents: it changes when the work does."""
        total = hashlib.sha256()
        for name, info in self.files():
            if info.st_size > MAX_COPIED:
                content = f"{info.st_size} bytes, changed {info.st_mtime_ns}".encode()
            else:
                try:
                    content = self.read_bytes(name, MAX_COPIED)
                except Refusal as refusal:
                    content = refusal.finding.kind.encode()  # not its message, which may be in any language
            total.update(f"{name!a} {hashlib.sha256(content).hexdigest()}\n".encode())
        return total.hexdigest()

    def copy_to(self, destination: Path, leave_out: set[str]) -> None:
        """Copy every regular file but some, so that scripts run beside their helpers and change nothing here."""
        room = MAX_COPIED
        for name, info in self.files():
            if name in leave_out:
                continue
            room -= info.st_size
            if room < 0:
                raise Refusal(
                    "unreadable",
                    name,
                    _("The submission is too large to be run; leave in it only what the lab asks for."),
                    expected=_("at most {n} bytes in all").format(n=MAX_COPIED),
                    found=_("more, counting {name}").format(name=printable(name)),
                )
            target = destination / name
            content = self.read_bytes(name, MAX_COPIED)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            except OSError as error:
                raise _refused(name, error) from None

    def _refuse_folder(self, error: OSError) -> None:
        name, found = os.path.relpath(error.filename, self.path), said_by_the_system(error).lower()
        message = _("The folder cannot be looked into.")
        raise Refusal("unreadable", name, message, expected=_("a folder that can be read"), found=found) from None

    def _open(self, name: str) -> int:
        *parents, last = PurePosixPath(name).parts
        if ".." in parents or last == ".." or name.startswith("/"):
            raise ValueError(f"{name!r} is not a path beneath a folder")
        fds: list[int] = []
        try:
            fds.append(os.open(self.path, _FOLDER & ~os.O_NOFOLLOW))
            for part in parents:
                fds.append(os.open(part, _FOLDER, dir_fd=fds[-1]))
            return os.open(last, _READ, dir_fd=fds[-1])
        except OSError as error:
            raise _refused(name, error) from None
        finally:
            for fd in fds:
                os.close(fd)


def decode(data: bytes, name: str) -> str:
    """UTF-8 without a byte order mark, or a Refusal that says where it is not."""
    if data.startswith(b"\xef\xbb\xbf"):
        raise Refusal(
            "malformed",
            name,
            _("The file starts with a byte order mark; save it as plain UTF-8."),
            where=_("byte 0"),
            expected=_("UTF-8 without a byte order mark"),
            found="ef bb bf",
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(
            "malformed",
            name,
            _("The file is not UTF-8 text."),
            where=_("byte {n}").format(n=error.start),
            expected="UTF-8",
            found=data[error.start : error.start + 4].hex(" "),
        ) from None


def _refused(name: str, error: OSError) -> Refusal:
    if error.errno in (errno.ENOENT,):
        return Refusal("missing", name, _("The file is not there."), expected=_("a file"), found=_("nothing there"))
    if error.errno in (errno.ELOOP, errno.EMLINK):
        return _not_regular(name, stat.S_IFLNK)
    if error.errno == errno.ENOTDIR:
        return Refusal(
            "unreadable",
            name,
            _("A folder on the way to this file is not a folder of the submission."),
            expected=_("a folder, not a link or a file"),
            found=said_by_the_system(error).lower(),
        )
    found = said_by_the_system(error).lower()
    return Refusal("unreadable", name, _("The file cannot be opened."), expected=_("a readable file"), found=found)


def _not_regular(name: str, mode: int) -> Refusal:
    tests = {
        _("a symbolic link"): stat.S_ISLNK,
        _("a folder"): stat.S_ISDIR,
        _("a FIFO"): stat.S_ISFIFO,
        _("a socket"): stat.S_ISSOCK,
        _("a device"): lambda m: stat.S_ISCHR(m) or stat.S_ISBLK(m),
    }
    found = next((words for words, is_it in tests.items() if is_it(mode)), _("something else"))
    message = _("Only a regular file that lies in the submission itself is read.")
    return Refusal("unreadable", name, message, expected=_("a regular file"), found=found)


def _too_large(name: str, size: int, max_bytes: int) -> Refusal:
    return Refusal(
        "unreadable",
        name,
        _("The file is larger than anything the lab asks for, so it was not read."),
        expected=_("at most {n} bytes").format(n=max_bytes),
        found=in_bytes(size),
    )


def in_bytes(n: int) -> str:
    return ngettext("{n} byte", "{n} bytes", n).format(n=n)
