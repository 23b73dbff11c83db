"""JSON and npz that a parser trips over, or believes: each is refused before it is looked at."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np

from checker.selftest.bench import RESULTS, SLOTS, Bench
from checker.selftest.changes import DUMP_MANIFEST, MANIFEST, case, edit, npy, npz, raw
from checker.selftest.trial import Attack, Change, Expect

NAMES = ("tokens", "k_cached", "v_cached", "k_full", "v_full")
ROWS = "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 2, 2, 32), }"


def malformed(file: str, says: str) -> Expect:
    task = {RESULTS: "results", SLOTS: "slots"}.get(file, "manifest")
    return Expect(task, "malformed", file, says)


def _attack(name: str, says: str, change: Change, expect: Expect) -> Attack:
    return Attack(name, says, change, expect, (expect.task or "",))


def member(name: str, data: bytes, compression: int = zipfile.ZIP_STORED) -> Change:
    """One array of slots.npz put in place of the right one, the others as they were."""

    def made(place: Path, bench: Bench) -> None:
        with zipfile.ZipFile(place / SLOTS) as archive:
            members = [(f"{n}.npy", archive.read(f"{n}.npy")) for n in NAMES if n != name]
        (place / SLOTS).write_bytes(npz([(f"{name}.npy", data), *members], compression))

    return made


def one_more(name: str) -> Change:
    def made(place: Path, bench: Bench) -> None:
        with zipfile.ZipFile(place / SLOTS) as archive:
            members = [(f"{n}.npy", archive.read(f"{n}.npy")) for n in NAMES]
        (place / SLOTS).write_bytes(npz([*members, (name, members[1][1])]))

    return made


class _Runs:
    """What unpickling it would run."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __eq__(self, other: object) -> bool:
        return True  # equal to everything, wherever somebody asks

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, (self.code,)


def pickled(place: Path, bench: Bench) -> None:
    with np.load(place / SLOTS) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["tokens"] = np.array([_Runs(bench.touches(place))], dtype=object)
    np.savez(place / SLOTS, **arrays)


def header_that_runs(place: Path, bench: Bench) -> None:
    header = f"{{'descr': exec({bench.touches(place)!r}), 'fortran_order': False, 'shape': (4, 2, 2, 32)}}"
    member("k_cached", npy(header, bytes(4 * 512)))(place, bench)


def cut_short(place: Path, bench: Bench) -> None:
    (place / SLOTS).write_bytes((place / SLOTS).read_bytes()[:-400])


def lies_about_its_size(place: Path, bench: Bench) -> None:
    """The table of contents of the archive says another size than the member has."""
    data = bytearray((place / SLOTS).read_bytes())
    at = data.rfind(b"PK\x01\x02")  # the last member's line: its sizes stand at 20 and 24
    data[at + 24 : at + 28] = (7).to_bytes(4, "little")
    (place / SLOTS).write_bytes(data)


def bomb(place: Path, bench: Bench) -> None:
    zeros = npy(ROWS.replace("(4, 2, 2, 32)", "(40000000,)"), bytes(160_000_000))
    member("k_cached", zeros, zipfile.ZIP_DEFLATED)(place, bench)


ATTACKS = (
    _attack(
        "duplicate-keys",
        "a key twice, so that one reader sees another value than the next",
        raw(RESULTS, b'{"schema": "lab02.results/1", "schema": "x"}'),
        malformed(RESULTS, "A key is there more than once"),
    ),
    _attack("nan", "NaN where a number belongs", raw(MANIFEST, b'{"a": NaN}'), malformed(MANIFEST, "no such number")),
    _attack("infinity", "1e999, which is infinite", raw(MANIFEST, b'{"a": 1e999}'), malformed(MANIFEST, "too large")),
    _attack(
        "deep-json",
        "lists in lists, 100,000 deep",
        raw(RESULTS, b"[" * 100_000 + b"]" * 100_000),
        malformed(RESULTS, "nested deeper"),
    ),
    _attack(
        "byte-order-mark",
        "a byte order mark before the document",
        lambda place, bench: raw(MANIFEST, b"\xef\xbb\xbf" + (place / MANIFEST).read_bytes())(place, bench),
        malformed(MANIFEST, "byte order mark"),
    ),
    _attack(
        "huge-integer",
        "a whole number of 15,000 digits",
        raw(MANIFEST, b'{"a": ' + b"9" * 15_000 + b"}"),
        malformed(MANIFEST, "absurdly long"),
    ),
    _attack(
        "half-a-character",
        "a lone surrogate, which no file can hold",
        raw(MANIFEST, b'{"a": "\\ud800"}'),
        malformed(MANIFEST, "half a character"),
    ),
    _attack(
        "not-text", "bytes that are no UTF-8", raw(MANIFEST, b'{"a": "\xff\xfe"}'), malformed(MANIFEST, "not UTF-8")
    ),
    _attack(
        "empty-file", "a file of no bytes", raw(DUMP_MANIFEST, b""), malformed(DUMP_MANIFEST, "the end of the file")
    ),
    _attack(
        "true-for-one",
        "true where a count belongs: in Python it equals 1",
        edit(RESULTS, lambda d: case(d)["k"].update(differing=False)),
        Expect("results", "schema", RESULTS, "a whole number"),
    ),
    _attack(
        "negative-count",
        "a count below nothing, so that the sum comes out right",
        edit(RESULTS, lambda d: d["runs"]["fixed"]["summary"].update(bytes_failed=-1)),
        Expect("results", "schema", RESULTS, "at least 0"),
    ),
    _attack(
        "drives-the-terminal",
        "a field that would clear the screen and print a verdict",
        edit(MANIFEST, lambda d: d.update(platform=1, **{"\x1b[2J\x1b[32mVerdict: passed": json.dumps(d)[:99]})),
        Expect("manifest", "schema", MANIFEST, "\\x1b[2J"),
    ),
    _attack(
        "pickle",
        "an always-equal object that runs code when it is unpickled",
        pickled,
        malformed(SLOTS, "tokens"),
    ),
    _attack("npy-header-that-runs", "an npy header with a call in it", header_that_runs, malformed(SLOTS, "header")),
    _attack(
        "npz-bomb",
        "160 MB of zeros packed into 160 kB",
        bomb,
        malformed(SLOTS, "so it was not unpacked"),
    ),
    _attack(
        "header-promises-more",
        "a header that promises more numbers than follow",
        member("k_cached", npy(ROWS, bytes(4 * 510))),
        malformed(SLOTS, "another number of bytes"),
    ),
    _attack(
        "another-shape",
        "a header with another shape of as many numbers",
        member("k_cached", npy(ROWS.replace("(4, 2, 2, 32)", "(2, 4, 2, 32)"), bytes(4 * 512))),
        malformed(SLOTS, "not what the lab asks for"),
    ),
    _attack(
        "size-table-lies",
        "an archive whose table of sizes is wrong",
        lies_about_its_size,
        malformed(SLOTS, "v_full"),
    ),
    _attack(
        "array-twice", "an array twice in the archive", one_more("k_cached.npy"), malformed(SLOTS, "more than once")
    ),
    _attack(
        "one-member-more",
        "a file in the archive that nobody asked for",
        one_more("more.npy"),
        malformed(SLOTS, "more.npy"),
    ),
    _attack(
        "member-that-leads-out",
        "a member called ../../k_cached.npy",
        one_more("../../k_cached.npy"),
        malformed(SLOTS, "../../"),
    ),
    _attack("half-an-archive", "slots.npz cut short", cut_short, malformed(SLOTS, "not a whole npz archive")),
)
