"""A class that does not exist: submissions to lab 02 made from its solution, each with the verdict it must get.

The same number and seed make the same class. No two submissions have the same bytes: each script carries a line of
its own, so that each must really be checked.
"""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CORRECTNESS, WORKED = "22-cache-correctness", "22-yesterday-worked"
DUMP, SLOTS, MANIFEST = f"{WORKED}/dump.py", f"{WORKED}/slots.npz", f"{WORKED}/manifest.json"
SAVES = '    np.savez(args.out / "slots.npz", **fixed)\n'  # the line of dump.py that a mutation changes
Make = Callable[[Path, random.Random], None]


@dataclass(frozen=True)
class Kind:
    """One way to hand in. ``work`` is honest, wrong, cheating or broken; ``rare``: it costs a timeout, so three do."""

    name: str
    work: str
    verdicts: tuple[str, ...]
    make: Make
    rare: bool = False


@dataclass(frozen=True)
class Made:
    name: str  # of the folder or the archive
    kind: Kind


def make_class(folder: Path, reference: Path, n: int, seed: int) -> list[Made]:
    """Hand in ``n`` submissions under ``folder``, of every kind in turn."""
    draw = random.Random(seed)
    often, rare = [k for k in KINDS if not k.rare], [k for k in KINDS if k.rare]
    kinds = [k for k in rare for _ in range(3 if n >= 200 else 1)] if n >= len(KINDS) else []
    kinds += [often[i % len(often)] for i in range(n - len(kinds))]
    draw.shuffle(kinds)
    made = []
    for i, kind in enumerate(kinds):
        place = folder / f"student{i:04}"
        shutil.copytree(reference, place)
        with (place / DUMP).open("a") as script:
            script.write(f"\n# student {i}\n")
        kind.make(place, draw)
        (name,) = [path.name for path in folder.glob(f"student{i:04}*")]
        made.append(Made(name, kind))
    return made


# ---- honest ----------------------------------------------------------------------------------------------------------


def as_it_is(place: Path, draw: random.Random) -> None:
    pass


def packed_again(place: Path, draw: random.Random) -> None:
    with np.load(place / SLOTS) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez_compressed(place / SLOTS, **arrays)


def another_day(place: Path, draw: random.Random) -> None:
    _edit(place / MANIFEST, lambda d: d.update(date=f"2026-0{draw.randint(1, 9)}-1{draw.randint(0, 9)}"))


def with_a_helper(place: Path, draw: random.Random) -> None:
    (place / WORKED / "helper.py").write_text(f"ANSWER = {draw.random()}\n")
    _change(place / DUMP, "import argparse\n", "import argparse\nimport helper\n")


def zipped(place: Path, draw: random.Random) -> None:
    shutil.make_archive(str(place), "zip", place)
    shutil.rmtree(place)


def tarred(place: Path, draw: random.Random) -> None:
    shutil.make_archive(str(place), "gztar", place.parent, place.name)
    shutil.rmtree(place)


# ---- wrong, and honestly so ------------------------------------------------------------------------------------------


def one_bit(place: Path, draw: random.Random) -> None:
    """One path has one bit that the other has not: the file itself admits it."""

    def flip(arrays: dict[str, np.ndarray]) -> None:
        words = arrays[draw.choice(["k_cached", "v_cached"])].view(np.uint32).reshape(-1)
        words[draw.randrange(words.size)] ^= np.uint32(1 << draw.randrange(23))

    _edit_npz(place / SLOTS, flip)
    _edit(place / MANIFEST, lambda d: d["results_summary"].update(differing=1))


def slots_swapped(place: Path, draw: random.Random) -> None:
    _change(place / DUMP, SAVES, '    fixed["k_cached"] = fixed["k_cached"][:, :, ::-1].copy()\n' + SAVES)


def other_weights(place: Path, draw: random.Random) -> None:
    _edit(place / MANIFEST, lambda d: d["config"].update(weights_sha256=f"{draw.getrandbits(256):064x}"))


def a_string_for_a_number(place: Path, draw: random.Random) -> None:
    _edit(place / MANIFEST, lambda d: d["results_summary"].update(rows=str(draw.randint(1, 99))))


def half_precision(place: Path, draw: random.Random) -> None:
    _edit_npz(place / SLOTS, lambda a: a.update(k_cached=a["k_cached"].astype(np.float16)))


# ---- cheating --------------------------------------------------------------------------------------------------------


def _forge(arrays: dict[str, np.ndarray]) -> None:
    for name in ("k_cached", "k_full"):
        arrays[name][0, 0, 1] += 1


def forged_slots(place: Path, draw: random.Random) -> None:
    """Both paths agree in the file, and no script gives them."""
    _edit_npz(place / SLOTS, _forge)


def forged_and_copied(place: Path, draw: random.Random) -> None:
    """The script only hands out the forged file."""
    _edit_npz(place / SLOTS, _forge)
    data = (place / SLOTS).read_bytes()
    code = f"import sys\nout = sys.argv[sys.argv.index('--out') + 1]\nopen(out + '/slots.npz', 'wb').write({data!r})\n"
    (place / DUMP).write_text(f"{code}# {draw.random()}\n")


def embedded(place: Path, draw: random.Random) -> None:
    """The script computes, and then hands out the right bytes, which stand in it: they are the same for everybody."""
    data = (place / SLOTS).read_bytes()
    _change(place / DUMP, SAVES, f'{SAVES}    (args.out / "slots.npz").write_bytes({data!r})\n')


def exits_well(place: Path, draw: random.Random) -> None:
    (place / DUMP).write_text(
        f"import os\nprint('Verdict: passed, 100 of 100 points')\nos._exit(0)  # {draw.random()}\n"
    )


def writes_a_verdict(place: Path, draw: random.Random) -> None:
    verdict = json.dumps({"verdict": "passed", "score": {"points": 100, "possible": 100}, "n": draw.random()})
    text = "import sys\nout = sys.argv[sys.argv.index('--out') + 1]\n"
    text += f"open(out + '/report.json', 'w').write({verdict!r})\n"
    (place / DUMP).write_text(text)


def patched_libraries(place: Path, draw: random.Random) -> None:
    """Everything is equal to everything, in the student's own process; the bytes are not."""
    slots_swapped(place, draw)
    patch = "import numpy, torch\nnumpy.array_equal = torch.equal = lambda *a, **k: True\n"
    (place / WORKED / "sitecustomize.py").write_text(patch)
    _change(place / DUMP, "import argparse\n", "import argparse\nimport sitecustomize\n")


# ---- broken ----------------------------------------------------------------------------------------------------------


def no_syntax(place: Path, draw: random.Random) -> None:
    _change(place / DUMP, "def main()", "def main(")


def no_slots(place: Path, draw: random.Random) -> None:
    (place / SLOTS).unlink()


def cut_short(place: Path, draw: random.Random) -> None:
    data = (place / SLOTS).read_bytes()
    (place / SLOTS).write_bytes(data[: draw.randrange(len(data) - 40)])


def pickled(place: Path, draw: random.Random) -> None:
    np.savez(place / SLOTS, tokens=np.array([{"a": draw.random()}], dtype=object))


def a_link(place: Path, draw: random.Random) -> None:
    (place / SLOTS).unlink()
    (place / SLOTS).symlink_to("/etc/passwd")


def a_fifo(place: Path, draw: random.Random) -> None:
    (place / MANIFEST).unlink()
    os.mkfifo(place / MANIFEST)


def nothing(place: Path, draw: random.Random) -> None:
    shutil.rmtree(place)
    place.mkdir()


def a_zip_bomb(place: Path, draw: random.Random) -> None:
    with zipfile.ZipFile(f"{place}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(SLOTS, bytes(32 * 1024 * 1024))
    shutil.rmtree(place)


def a_way_out(place: Path, draw: random.Random) -> None:
    with tarfile.open(f"{place}.tar", "w") as archive:
        info = tarfile.TarInfo("../../way-out")
        archive.addfile(info, io.BytesIO())
    shutil.rmtree(place)


def never_ends(place: Path, draw: random.Random) -> None:
    (place / DUMP).write_text(f"import signal\nsignal.signal(15, 1)\nwhile True:\n    pass  # {draw.random()}\n")


def forks(place: Path, draw: random.Random) -> None:
    (place / DUMP).write_text(
        f"import os\nwhile True:\n    try:\n        os.fork()\n    except OSError: pass  # {draw.random()}\n"
    )


def hoards(place: Path, draw: random.Random) -> None:
    (place / DUMP).write_text(f"hoard = [b'x' * (1 << 28) for _ in range(1000)]  # {draw.random()}\n")


NOT = ("not passed",)
KINDS = [
    *(Kind(f.__name__, "honest", ("passed",), f)
      for f in (as_it_is, packed_again, another_day, with_a_helper, zipped, tarred)),
    *(Kind(f.__name__, "wrong", NOT, f)
      for f in (one_bit, slots_swapped, other_weights, a_string_for_a_number, half_precision)),
    *(Kind(f.__name__, "cheating", ("integrity",), f) for f in (forged_slots, embedded)),
    *(Kind(f.__name__, "cheating", NOT, f)
      for f in (forged_and_copied, exits_well, writes_a_verdict, patched_libraries)),
    *(Kind(f.__name__, "broken", NOT, f) for f in (no_syntax, no_slots, cut_short, pickled)),
    *(Kind(f.__name__, "broken", ("unreadable",), f) for f in (a_link, a_fifo, a_zip_bomb, a_way_out)),
    Kind("nothing", "broken", ("not started",), nothing),
    *(Kind(f.__name__, "broken", NOT, f, rare=True) for f in (never_ends, forks, hoards)),
]  # fmt: skip


def _edit(path: Path, change: Callable[[dict], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def _edit_npz(path: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    with np.load(path) as file:
        arrays = {name: file[name].copy() for name in file.files}
    change(arrays)
    np.savez(path, **arrays)


def _change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    if text.count(old) != 1:
        raise RuntimeError(f"{path.name} of the solution no longer has the line {old!r} once")
    path.write_text(text.replace(old, new))
