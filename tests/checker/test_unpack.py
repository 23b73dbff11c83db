"""Archives: a good one of each kind comes out whole, and each bad one is refused for its own reason."""

import gzip
import io
import stat
import struct
import tarfile
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checker.gate import Refusal
from checker.unpack import MAX_ARCHIVE, MAX_MEMBERS, MAX_TOTAL, unpack

FILES = {"work/dump.py": b"print(1)\n", "work/deep/slots.npz": bytes(range(256)) * 20, "empty.txt": b""}


def zipped(members, method=zipfile.ZIP_DEFLATED):
    """members: (name or ZipInfo, bytes) in order; names may come twice."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        for name, content in members:
            if isinstance(name, zipfile.ZipInfo):
                archive.writestr(name, content)
            else:
                archive.writestr(zipfile.ZipInfo(name), content, method)
    return data.getvalue()


def tarred(members, mode="w"):
    """members: (name, bytes), or a TarInfo for what is not a file."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return data.getvalue()


def special(name, type_, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = type_, link
    return info


def entry(name, mode=0, **fields):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def unpacked(tmp_path, data, name="work.zip"):
    """What came out, as {name: bytes}."""
    (tmp_path / name).write_bytes(data)
    out = tmp_path / "out"
    out.mkdir()
    unpack(tmp_path / name, out)
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


MAKERS = {
    "zip": lambda members: zipped(members),
    "zip, stored": lambda members: zipped(members, zipfile.ZIP_STORED),
    "tar": lambda members: tarred(members),
    "tar.gz": lambda members: tarred(members, "w:gz"),
    "pax": lambda members: gzip.compress(tarred(members)),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_good_archive_comes_out_whole(tmp_path, kind):
    assert unpacked(tmp_path, MAKERS[kind](list(FILES.items()))) == FILES


def test_what_a_desktop_adds_is_left_out(tmp_path):
    junk = [("__MACOSX/._dump.py", b"x"), ("work/.DS_Store", b"x"), ("./", b"")]
    assert unpacked(tmp_path, zipped([*FILES.items(), *junk])) == FILES


def test_files_are_plain_whatever_the_archive_says(tmp_path):
    unpacked(tmp_path, zipped([(entry("run", stat.S_IFREG | 0o6777), b"#!/bin/sh")]))
    assert (tmp_path / "out/run").stat().st_mode & 0o7111 == 0


def overlapping():
    """Two entries of the table of contents that point to one member."""
    data = bytearray(zipped([("a", b"1" * 100), ("b", b"1" * 100)]))
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    data[second + 42 : second + 46] = struct.pack("<L", 0)
    return bytes(data)


def lying(size):
    """A member whose size, in the table of contents, is another than its own."""
    data = bytearray(zipped([("a", b"1" * 100)]))
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<L", size)
    return bytes(data)


def pointing_back():
    """A tar whose second header gives a negative size (base 256), so that reading on never comes to an end."""
    data = bytearray(tarred([("a", b"1"), ("b", b"2")]))
    data[1024 + 124 : 1024 + 136] = b"\xff" * 10 + b"\xf8\x00"
    data[1024 + 148 : 1024 + 156] = b" " * 8
    data[1024 + 148 : 1024 + 156] = b"%06o\0 " % sum(data[1024:1536])
    return bytes(data)


BAD = {
    "..": (lambda: zipped([("../evil", b"x")]), "leads out"),
    ".. in a tar": (lambda: tarred([("a/../../evil", b"x")]), "leads out"),
    "absolute": (lambda: tarred([("/etc/evil", b"x")]), "absolute"),
    "a drive": (lambda: zipped([("C:evil", b"x")]), "absolute"),
    "backslash": (lambda: zipped([("a\\b", b"x")]), "backslash"),
    "control character": (lambda: zipped([("a\x1b[2Jb", b"x")]), "control character"),
    "NUL": (lambda: zipped([("aQb", b"x")]).replace(b"aQb", b"a\0b"), "control character"),
    "link in a zip": (lambda: zipped([(entry("l", stat.S_IFLNK | 0o777), b"/etc/passwd")]), "other than files"),
    "device in a zip": (lambda: zipped([(entry("d", stat.S_IFCHR | 0o666), b"")]), "other than files"),
    "symbolic link": (lambda: tarred([special("l", tarfile.SYMTYPE, "/etc/passwd")]), "other than files"),
    "hard link": (lambda: tarred([("a", b"x"), special("l", tarfile.LNKTYPE, "a")]), "other than files"),
    "device": (lambda: tarred([special("d", tarfile.CHRTYPE)]), "other than files"),
    "FIFO": (lambda: tarred([special("f", tarfile.FIFOTYPE)]), "other than files"),
    "twice": (lambda: tarred([("a", b"1"), ("./a", b"2")]), "more than once"),
    "a file and a folder": (lambda: zipped([("a", b"1"), ("a/b", b"2")]), "more than once"),
    "a folder and a file": (lambda: zipped([("a/b", b"2"), ("a", b"1")]), "more than once"),
    "case": (lambda: zipped([("a/x", b"1"), ("A/y", b"2")]), "upper and lower case"),
    "composed and not": (lambda: zipped([("\u00e9", b"1"), ("e\u0301", b"2")]), "upper and lower case"),
    "too many": (lambda: zipped([(str(i), b"") for i in range(MAX_MEMBERS + 1)]), "too many files"),
    "too deep": (lambda: zipped([("a/" * 17 + "b", b"")]), "too deep"),
    "too long a name": (lambda: zipped([("a" * 256, b"")]), "too long"),
    "a bomb": (lambda: zipped([("zeros", bytes(8 * 1024 * 1024))]), "bomb"),
    "a bomb in a tar.gz": (lambda: tarred([("zeros", bytes(8 * 1024 * 1024))], "w:gz"), "bomb"),
    "a claim too large": (lambda: zipped([(str(i), b"1" * 900_000) for i in range(75)]), "more than any lab"),
    "overlapping": (overlapping, "lie over each other"),
    "a smaller size": (lambda: lying(99), "damaged"),
    "a larger size": (lambda: lying(101), "wrong"),
    "pointing back": (pointing_back, "archive"),
    "another method": (lambda: zipped([("a", b"1" * 100)], zipfile.ZIP_LZMA), "uncommon"),
    "a password": (
        lambda: zipped([("a", b"1")]).replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"),
        "password",
    ),
    "cut short": (lambda: zipped(FILES.items())[:-30], "damaged"),
    "a long table": (lambda: zipped([("a", b"")])[:-10] + struct.pack("<LLH", 2**31, 0, 0), "table of contents"),
    "gzip of nothing": (lambda: gzip.compress(b"x" * 2000), "damaged"),
    "no archive": (lambda: b"Rar!\x1a\x07\x00", "no archive"),
    "empty": (lambda: b"", "no archive"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_archive_is_refused_for_its_own_reason(tmp_path, name):
    make, reason = BAD[name]
    with pytest.raises(Refusal, match=reason) as refused:
        unpacked(tmp_path, make())
    finding = refused.value.finding
    assert finding.kind == "unreadable"
    assert finding.file == "work.zip"
    assert finding.expected != finding.found
    assert all(text is None or text.isprintable() for text in (finding.where, finding.found))
    assert {path.name for path in tmp_path.iterdir()} == {"work.zip", "out"}
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_an_archive_must_be_a_file_of_its_own(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "real.zip").write_bytes(zipped(FILES.items()))
    (tmp_path / "link.zip").symlink_to("real.zip")
    with (tmp_path / "huge.zip").open("wb") as file:
        file.truncate(MAX_ARCHIVE + 1)
    for name in ("link.zip", "huge.zip"):
        with pytest.raises(Refusal):
            unpack(tmp_path / name, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_archive_is_refused_or_unpacked_and_nothing_else(tmp_path_factory, data):
    """Bytes of a good archive changed anywhere: never another exception, never a byte beside the folder or too many."""
    good = bytearray(MAKERS[data.draw(st.sampled_from(list(MAKERS)))](list(FILES.items())))
    changes = st.lists(st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)), min_size=1, max_size=8)
    for at, byte in data.draw(changes):
        good[at] = byte
    folder = tmp_path_factory.mktemp("damaged")
    try:
        found = unpacked(folder, bytes(good))
    except Refusal:
        found = {}
    assert sum(map(len, found.values())) <= MAX_TOTAL
    assert {path.name for path in folder.iterdir()} == {"work.zip", "out"}
