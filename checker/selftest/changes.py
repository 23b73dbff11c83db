"""The small changes that attacks are made of."""

from __future__ import annotations

import ast
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from checker.selftest.bench import CORRECTNESS, DUMP, PROPERTY_TEST, RESULTS, SLOTS, WORKED, Bench
from checker.selftest.trial import Change

MANIFEST, DUMP_MANIFEST = f"{CORRECTNESS}/manifest.json", f"{WORKED}/manifest.json"
DIAGNOSIS, README, REPORT = f"{CORRECTNESS}/diagnosis.json", f"{CORRECTNESS}/README.md", f"{WORKED}/report.md"
FAKE = "0123456789abcdef" * 4  # a sha256 of nothing
SAVES = '    np.savez(args.out / "slots.npz", **fixed)\n'  # the line of dump.py before which a lie is told
FIRST_IMPORT = "import argparse\n"
Document = dict[str, Any]
Arrays = dict[str, np.ndarray]


def edit(file: str, change: Callable[[Document], object]) -> Change:
    """Change a JSON document."""

    def made(place: Path, bench: Bench) -> None:
        document = json.loads((place / file).read_text(encoding="utf-8"))
        change(document)
        (place / file).write_text(json.dumps(document), encoding="utf-8")

    return made


def edit_slots(change: Callable[[Arrays], object]) -> Change:
    def made(place: Path, bench: Bench) -> None:
        with np.load(place / SLOTS) as file:
            arrays = {name: file[name].copy() for name in file.files}
        change(arrays)
        np.savez(place / SLOTS, **arrays)

    return made


def raw(file: str, data: bytes) -> Change:
    """Put ``data`` in the place of a file."""

    def made(place: Path, bench: Bench) -> None:
        (place / file).write_bytes(data)

    return made


def replace_text(file: str, old: str, new: str) -> Change:
    def made(place: Path, bench: Bench) -> None:
        text = (place / file).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{file} does not hold {old!r} once"
        (place / file).write_text(text.replace(old, new), encoding="utf-8")

    return made


def reformatted(file: str) -> Change:
    """Comments gone, and every line written anew."""

    def made(place: Path, bench: Bench) -> None:
        source = ast.unparse(ast.parse((place / file).read_text(encoding="utf-8")))
        (place / file).write_text(f"{source}\n", encoding="utf-8")

    return made


def before_saving(code: str) -> Change:
    """Lines of dump.py, where ``fixed`` holds the arrays that are about to be saved."""
    return replace_text(DUMP, SAVES, code + SAVES)


def embedded(file: str) -> Change:
    """dump.py hands out the ``file`` that lies beside it now, whatever it computed."""

    def made(place: Path, bench: Bench) -> None:
        data = (place / WORKED / file).read_bytes()
        last = '        print(bits.report(fixed[f"{name}_cached"]'
        replace_text(DUMP, last, f"        (args.out / {file!r}).write_bytes({data!r})\n{last}")(place, bench)

    return made


def first_in(script: str, code: str) -> Change:
    """Lines that a script begins with, after its docstring."""
    return replace_text(script, FIRST_IMPORT, f"{code}\n{FIRST_IMPORT}")


def both(*changes: Change) -> Change:
    def made(place: Path, bench: Bench) -> None:
        for change in changes:
            change(place, bench)

    return made


def case(document: Document, i: int = 3, run: str = "fixed") -> Document:
    found: Document = document["runs"][run]["cases"][i]
    return found


def forge_digest(document: Document, i: int = 3) -> None:
    case(document, i)["k"].update(cached=FAKE, uncached=FAKE)


def forge_tokens(document: Document, i: int = 3) -> None:
    for path in ("cached", "uncached"):
        case(document, i)["tokens"][path][5] ^= 1


def admit(document: Document, i: int = 3) -> None:
    """The case says that its paths differ, and the summary counts it."""
    case(document, i)["k"].update(uncached=FAKE, differing=5)
    document["runs"]["fixed"]["summary"].update(bytes_passed=49, bytes_failed=1)


def flip(*names: str) -> Callable[[Arrays], None]:
    """One bit of slot 1."""

    def change(arrays: Arrays) -> None:
        for name in names:
            arrays[name].view(np.uint32)[1, 0, 1, 5] ^= 1

    return change


def writes(lab: Document, hidden: Document, planted: str = "sys.exit(1)") -> str:
    """A property_test.py that computes nothing: it writes what it was given, and runs ``planted`` on planted caches."""
    return f"""import json, sys
out = sys.argv[sys.argv.index("--out") + 1]
prompts = json.load(open(sys.argv[sys.argv.index("--prompts") + 1])) if "--prompts" in sys.argv else []
if len(prompts) == 3:
    {planted}
else:
    answer = json.loads({json.dumps(hidden)!r} if prompts else {json.dumps(lab)!r})
    json.dump(answer, open(out + "/results.json", "w"))
"""


def knows(
    change: Callable[[Document, Document], object] = lambda lab, hidden: None, planted: str = "sys.exit(1)"
) -> Change:
    """A script with the answers written into it, once ``change`` has been at those for the lab's and the hidden
    prompts."""

    def made(place: Path, bench: Bench) -> None:
        lab, hidden = bench.answers(), bench.hidden_answers()
        change(lab, hidden)
        (place / PROPERTY_TEST).write_text(writes(lab, hidden, planted), encoding="utf-8")

    return made


def forged_everywhere(change: Callable[[Document], object]) -> Change:
    """The same in results.json and in what the script writes on the lab's prompts."""
    return both(edit(RESULTS, change), knows(lambda lab, hidden: change(lab)))


def npy(header: str, data: bytes = b"") -> bytes:
    """A version 1 npy file with whatever header."""
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def npz(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members:
            archive.NameToInfo.pop(name, None)  # or zipfile warns of a name that is meant to be there twice
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return buffer.getvalue()
