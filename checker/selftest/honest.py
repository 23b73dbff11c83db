"""Work that nobody may accuse: that of students who are done, and of students who are not."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

from checker.selftest.bench import CORRECTNESS, DUMP, PROPERTY_TEST, RESULTS, ROOT, SLOTS, WORKED, Bench
from checker.selftest.changes import (
    DUMP_MANIFEST,
    FAKE,
    MANIFEST,
    admit,
    before_saving,
    both,
    case,
    edit,
    edit_slots,
    first_in,
    flip,
    knows,
    replace_text,
)
from checker.selftest.trial import Attack, Change, Expect

SLOTS_AND_DUMP = ("slots", "dump")


def as_it_is(place: Path, bench: Bench) -> None:
    pass


def reformatted(place: Path, bench: Bench) -> None:
    """Comments gone, every line written anew."""
    source = (place / DUMP).read_text(encoding="utf-8")
    (place / DUMP).write_text(f"# my dump\n{ast.unparse(ast.parse(source))}\n", encoding="utf-8")


def with_a_helper(place: Path, bench: Bench) -> None:
    (place / WORKED / "helper.py").write_text("ANSWER = 42\n")
    first_in(DUMP, "import helper")(place, bench)


def run_again(place: Path, bench: Bench) -> None:
    """The slots were made by an older script; then the new one was run."""
    first_in(DUMP, "# mended")(place, bench)
    command = [sys.executable, "dump.py"]
    subprocess.run(command, cwd=place / WORKED, check=True, capture_output=True)


def packed_again(place: Path, bench: Bench) -> None:
    with np.load(place / SLOTS) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez_compressed(place / SLOTS, **arrays)


def zipped(place: Path, bench: Bench) -> None:
    """Handed in as an archive, with one folder around it all."""
    with zipfile.ZipFile(place.parent / "submission.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(place.rglob("*")):
            if path.is_file():
                archive.write(path, "my work" / path.relative_to(place))
    shutil.rmtree(place)


def starter(place: Path, bench: Bench) -> None:
    """The starter, as it is handed out and run once."""
    shutil.rmtree(place)
    for folder, script in ((CORRECTNESS, "property_test.py"), (WORKED, "dump.py")):
        (place / folder).mkdir(parents=True)
        shutil.copy(ROOT / "labs/02/starter" / script, place / folder)
        subprocess.run([sys.executable, script], cwd=place / folder, check=True, capture_output=True)


def compares_numbers(place: Path, bench: Bench) -> None:
    """compare_rows asks a != b, which -0.0 and 0.0 are not. On sound caches that gives the same, and so is not run."""
    real = (bench.reference / PROPERTY_TEST).read_text(encoding="utf-8")
    wrong = real.replace("(bits.words(a) != bits.words(b))", "(a != b)")
    assert wrong != real
    (place / CORRECTNESS / "real.py").write_text(wrong, encoding="utf-8")
    # Of the planted caches, those that one sequence shows will do: the others take long.
    knows(planted="assert '--no-extended' in sys.argv\n    import real\n    sys.exit(real.main())")(place, bench)


def left_over(place: Path, bench: Bench) -> None:
    (place / WORKED / "__pycache__").mkdir(exist_ok=True)
    for name in (f"{WORKED}/__pycache__/dump.pyc", ".DS_Store", "notes.txt"):
        (place / name).write_bytes(b"\x00")


def _passes(name: str, says: str, change: Change, only: tuple[str, ...] = SLOTS_AND_DUMP) -> Attack:
    return Attack(name, says, change, None, only)


CONTROLS = (
    _passes("reference", "the solution, checked whole", as_it_is, ()),
    _passes("reformatted", "the solution with its scripts written anew", reformatted),
    _passes("prints-a-lot", "a script that prints 20 MB", first_in(DUMP, "print('working ' * 2_500_000)")),
    _passes("slow", "a script that waits for 3 seconds", first_in(DUMP, "import time\ntime.sleep(3)")),
    _passes("run-again", "slots made by an older script, then made again", run_again),
    _passes("helper-module", "a script that imports a module beside it", with_a_helper),
    _passes("packed-again", "slots.npz compressed", packed_again, ("slots",)),
    _passes(
        "zipped", "handed in as a zip, with a folder around it", zipped, ("manifest", "results", "slots", "diagnosis")
    ),
    _passes(
        "left-over-files",
        "__pycache__, .DS_Store and notes lie about",
        left_over,
        ("manifest", "slots"),
    ),
    _passes(
        "another-version",
        "made with another courselib: its bytes are recomputed and not compared",
        both(
            edit(MANIFEST, lambda d: d["versions"].update(courselib="0.0.1")),
            edit(RESULTS, lambda d: case(d)["k"].update(cached=FAKE, uncached=FAKE)),
        ),
        ("property",),
    ),
)

MISTAKES = (
    Attack(
        "stale-after-an-edit",
        "the script was mended, and not run again",
        both(
            edit(RESULTS, admit),
            edit(MANIFEST, lambda d: d["results_summary"].update(bytes_passed=49, bytes_failed=1)),
        ),
        Expect("property", "mismatch", RESULTS, "run the script in its folder"),
        ("property",),
        mended=True,
    ),
    Attack(
        "compares-numbers",
        "compare_rows asks a != b: 0.0 and -0.0 are equal then",
        compares_numbers,
        Expect("catches", "mismatch", PROPERTY_TEST, "it counts no row that does", part=True),
        ("catches",),
    ),
    Attack(
        "starter",
        "the starter, run as it is",
        starter,
        Expect("results", "mismatch", RESULTS, "There must be one case for each prompt"),
        ("results",),
    ),
    Attack(
        "half-done",
        "block C is not there yet",
        edit(RESULTS, lambda d: d.update(extended=None)),
        Expect("extended", "missing", RESULTS, "not there yet"),
        ("extended",),
    ),
    Attack(
        "wrong-dtype",
        "the slots were saved as float64",
        edit_slots(lambda arrays: arrays.update(k_cached=arrays["k_cached"].astype(np.float64))),
        Expect("slots", "malformed", SLOTS, "k_cached"),
        ("slots",),
    ),
    Attack(
        "crash",
        "dump.py stops with an error",
        first_in(DUMP, "raise RuntimeError('out of luck')"),
        Expect("dump", "replay", DUMP, "It ended with exit code 1"),
        ("dump",),
    ),
    Attack(
        "admits-a-difference",
        "one row differs, and everything says so",
        both(edit_slots(flip("v_cached")), edit(DUMP_MANIFEST, lambda d: d["results_summary"].update(differing=1))),
        Expect("slots", "mismatch", SLOTS, "v_cached against v_full: layer 1, head 0, slot 1, dim 5"),
        ("slots",),
    ),
    Attack(
        "slots-swapped",
        "dump.py stacks the slots in the wrong order, on one path",
        before_saving("    fixed['k_cached'] = fixed['k_cached'][:, :, ::-1].copy()\n"),
        Expect("dump", "mismatch", DUMP, "k_cached against k_full"),
        ("dump",),
    ),
    Attack(
        "ignores-its-prompt",
        "dump.py takes --prompt, and dumps the lab's own all the same",
        replace_text(
            DUMP, "    torch.set_num_threads(1)\n", "    args.prompt = PROMPT\n    torch.set_num_threads(1)\n"
        ),
        Expect("dump", "mismatch", DUMP, 'and gave the slots of "Yesterday I"'),
        ("dump",),
    ),
    Attack(
        "knows-no-prompt",
        "an older dump.py, without --prompt",
        replace_text(DUMP, 'parser.add_argument("--prompt"', 'parser.add_argument("--sentence", dest="prompt"'),
        Expect("dump", "replay", DUMP, "does not know --prompt yet"),
        ("dump",),
    ),
    Attack(
        "ignores-its-prompts",
        "the script knows its own 50 prompts only",
        knows(lambda lab, hidden: hidden.update(lab)),
        Expect("property", "mismatch", PROPERTY_TEST, "There must be one case for each prompt"),
        ("property",),
    ),
    Attack(
        "no-syntax",
        "dump.py has an error of syntax",
        replace_text(DUMP, "def main() -> int:", "def main( -> int:"),
        Expect("dump", "replay", DUMP, "The file is not there"),
        ("dump",),
    ),
)
