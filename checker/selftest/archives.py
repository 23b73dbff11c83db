"""Archives that unpack to more, or elsewhere, than they should."""

from __future__ import annotations

import gzip
import io
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from checker.selftest.bench import SLOTS, Bench
from checker.selftest.trial import Attack, Change, Expect

ONLY = ("manifest",)


def zipped(more: Callable[[zipfile.ZipFile], object]) -> Change:
    """The submission as submission.zip, with something ``more`` in it."""

    def made(place: Path, bench: Bench) -> None:
        with zipfile.ZipFile(place.parent / "submission.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(place.rglob("*")):
                if path.is_file() and "bug" not in path.parts:
                    archive.write(path, path.relative_to(place))
            more(archive)
        shutil.rmtree(place)

    return made


def tarred(more: Callable[[tarfile.TarFile], object]) -> Change:
    def made(place: Path, bench: Bench) -> None:
        with tarfile.open(place.parent / "submission.tar.gz", "w:gz") as archive:
            archive.add(place, ".", filter=lambda info: None if "bug" in info.name.split("/") else info)
            more(archive)
        shutil.rmtree(place)

    return made


def _zip_link(archive: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, "/etc/passwd")


def _twice(archive: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo(SLOTS)
    archive.NameToInfo.pop(SLOTS)  # or zipfile warns of what is meant
    archive.writestr(info, b"another")


def _two_cases(archive: zipfile.ZipFile) -> None:
    for name in ("notes", "NOTES"):
        archive.writestr(name, b"x")


def _special(kind: bytes, linkname: str = "") -> Callable[[tarfile.TarFile], None]:
    def more(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo("special")
        info.type, info.linkname = kind, linkname
        archive.addfile(info)

    return more


def gzip_bomb(place: Path, bench: Bench) -> None:
    shutil.rmtree(place)
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9) as file:
        for _ in range(200):
            file.write(bytes(1024 * 1024))
    (place.parent / "submission.tar.gz").write_bytes(buffer.getvalue())


def not_an_archive(place: Path, bench: Bench) -> None:
    shutil.rmtree(place)
    (place.parent / "submission.zip").write_bytes(b"Rar!\x1a\x07\x00" + bytes(100))


def _attack(name: str, says: str, change: Change, message: str, form: str = "zip") -> Attack:
    return Attack(name, says, change, Expect(None, "unreadable", f"submission.{form}", message), ONLY)


ATTACKS = (
    _attack(
        "zip-leads-out", "a zip with a member ../../evil", zipped(lambda a: a.writestr("../../evil", b"x")), "leads out"
    ),
    _attack(
        "zip-absolute", "a zip with a member /tmp/evil", zipped(lambda a: a.writestr("/tmp/evil", b"x")), "is absolute"
    ),
    _attack("zip-symlink", "a zip with a symbolic link in it", zipped(_zip_link), "other than files and folders"),
    _attack(
        "zip-bomb",
        "60 MB of zeros in a zip",
        zipped(lambda a: a.writestr("zeros", bytes(60_000_000))),
        "as a bomb does",
    ),
    _attack("zip-member-twice", "a zip with slots.npz in it twice", zipped(_twice), "more than once"),
    _attack(
        "zip-case-collision",
        "a zip with two names that differ in case only",
        zipped(_two_cases),
        "upper and lower case",
    ),
    _attack(
        "tar-hard-link",
        "a tar with a hard link to /etc/passwd",
        tarred(_special(tarfile.LNKTYPE, "/etc/passwd")),
        "other than files and folders",
        "tar.gz",
    ),
    _attack(
        "tar-device",
        "a tar with a device in it",
        tarred(_special(tarfile.CHRTYPE)),
        "other than files and folders",
        "tar.gz",
    ),
    _attack("gzip-bomb", "200 MB of zeros in 200 kB", gzip_bomb, "as a bomb does", "tar.gz"),
    _attack("no-archive", "something else, called submission.zip", not_an_archive, "no archive that can be unpacked"),
)
