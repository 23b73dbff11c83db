"""Things in a submission that are not plain files of its own: they are named, and never followed or waited for."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

from checker.selftest.bench import DUMP, PROPERTY_TEST, RESULTS, SLOTS, WORKED, Bench
from checker.selftest.changes import DUMP_MANIFEST, MANIFEST, README
from checker.selftest.trial import Attack, Change, Expect

NOT_PLAIN = "Only a regular file"


def unreadable(task: str | None, file: str | None, says: str = NOT_PLAIN) -> Expect:
    return Expect(task, "unreadable", file, says)


def elsewhere(file: str) -> Change:
    """The right file, or folder, moved away; in its place, a link to it."""

    def made(place: Path, bench: Bench) -> None:
        other = place.parent / "elsewhere"
        (place / file).rename(other)
        (place / file).symlink_to(other)

    return made


def links_to(file: str, target: str) -> Change:
    def made(place: Path, bench: Bench) -> None:
        (place / file).unlink()
        (place / file).symlink_to(target)

    return made


def hard_link(place: Path, bench: Bench) -> None:
    """slots.npz is another student's, under a second name."""
    shutil.copy(place / SLOTS, place.parent / "another")
    (place / SLOTS).unlink()
    os.link(place.parent / "another", place / SLOTS)


def fifo(file: str) -> Change:
    def made(place: Path, bench: Bench) -> None:
        (place / file).unlink()
        os.mkfifo(place / file)

    return made


def a_socket(place: Path, bench: Bench) -> None:
    (place / MANIFEST).unlink()
    short = Path("/tmp", f"checker-{os.getpid()}-{os.urandom(4).hex()}")  # a socket's name has 100 bytes at most
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(short))
    shutil.move(short, place / MANIFEST)


def a_folder(place: Path, bench: Bench) -> None:
    (place / RESULTS).unlink()
    (place / RESULTS).mkdir()


def sparse(file: str) -> Change:
    """10 GB that take no room on the disk."""

    def made(place: Path, bench: Bench) -> None:
        with (place / file).open("ab") as out:
            out.truncate(10_000_000_000)

    return made


def many_files(place: Path, bench: Bench) -> None:
    for i in range(600):
        (place / f"{i}.txt").touch()


def odd_names(place: Path, bench: Bench) -> None:
    """A name that would drive a terminal, on a file that may not be copied."""
    name = "\x1b[2Jverdict\npassed.bin"
    (place / name).touch()
    sparse(name)(place, bench)


ATTACKS = (
    Attack(
        "symlink-to-results",
        "results.json is a link to a file elsewhere",
        elsewhere(RESULTS),
        unreadable("results", RESULTS),
        ("results",),
    ),
    Attack(
        "symlink-to-passwd",
        "README.md is a link to /etc/passwd",
        links_to(README, "/etc/passwd"),
        unreadable("writing", README),
        ("writing",),
    ),
    Attack(
        "symlinked-folder",
        "a folder of the submission is a link",
        elsewhere(WORKED),
        unreadable("slots", SLOTS, "A folder on the way"),
        ("slots",),
    ),
    Attack(
        "symlinked-script",
        "property_test.py is a link to the solution",
        links_to(PROPERTY_TEST, "/nowhere/labs/02/solution/property_test.py"),
        Expect("property", "missing", PROPERTY_TEST, "Without the script"),
        ("property",),
    ),
    Attack(
        "dot-dot-link",
        "slots.npz leads out of the submission with ..",
        links_to(SLOTS, "../../../etc/hostname"),
        unreadable("slots", SLOTS),
        ("slots",),
    ),
    Attack(
        "hard-link",
        "slots.npz is another's file under a second name",
        hard_link,
        unreadable("slots", SLOTS, "a hard link"),
        ("slots",),
    ),
    Attack(
        "fifo",
        "manifest.json is a FIFO that nobody writes to",
        fifo(MANIFEST),
        unreadable("manifest", MANIFEST),
        ("manifest",),
    ),
    Attack(
        "fifo-for-a-text",
        "README.md is a FIFO",
        fifo(README),
        unreadable("writing", README),
        ("writing",),
    ),
    Attack(
        "socket",
        "manifest.json is a socket",
        a_socket,
        unreadable("manifest", MANIFEST, "cannot be opened"),
        ("manifest",),
    ),
    Attack(
        "device",
        "manifest.json is a link to /dev/zero",
        links_to(DUMP_MANIFEST, "/dev/zero"),
        unreadable("manifest", DUMP_MANIFEST),
        ("manifest",),
    ),
    Attack("folder-for-a-file", "results.json is a folder", a_folder, unreadable("results", RESULTS), ("results",)),
    Attack(
        "huge-file",
        "results.json has 10 GB, none of them on the disk",
        sparse(RESULTS),
        unreadable("results", RESULTS, "larger than anything"),
        ("results",),
    ),
    Attack(
        "huge-beside",
        "a file of 10 GB beside the script, to be copied for each run",
        sparse("data.bin"),
        unreadable("dump", "data.bin", "too large to be run"),
        ("dump",),
    ),
    Attack(
        "too-many-files",
        "600 files",
        many_files,
        unreadable(None, None, "too many files"),
        ("manifest",),
    ),
    Attack(
        "name-that-drives-the-terminal",
        "a file whose name clears the screen and says: passed",
        odd_names,
        unreadable("dump", "\\x1b[2Jverdict\\npassed.bin", "too large to be run"),
        ("dump",),
    ),
    Attack(
        "no-script",
        "the answers without the script that gave them",
        lambda place, bench: (place / DUMP).unlink(),
        Expect("dump", "missing", DUMP, "Without the script"),
        ("dump",),
    ),
)
