"""Scripts that cheat while they run: they patch what they are measured with, or measure something else."""

from __future__ import annotations

import json
from pathlib import Path

from checker.selftest.bench import CORRECTNESS, DUMP, PROPERTY_TEST, WORKED, Bench
from checker.selftest.changes import FAKE, FIRST_IMPORT, before_saving, both, first_in, knows
from checker.selftest.trial import Attack, Change, Expect

SWAPPED = "    fixed['k_cached'] = fixed['k_cached'][:, :, ::-1].copy()  # the bug that a patch is to hide\n"
ROW = "not the one the model computes"


def dump_says(says: str, kind: str = "mismatch") -> Expect:
    return Expect("dump", "replay" if kind == "replay" else "mismatch", DUMP, says)


def patched(code: str) -> Change:
    """dump.py with a bug, and with something patched so that nobody should see it."""
    return both(before_saving(SWAPPED), first_in(DUMP, code))


def beside(name: str, text: str, change: Change = lambda place, bench: None) -> Change:
    """A module beside dump.py that is imported in place of another."""

    def made(place: Path, bench: Bench) -> None:
        path = place / WORKED / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        change(place, bench)

    return made


def runs_at_import(*names: str) -> Change:
    """Files that a test runner or Python itself would import, were it to run in the submission."""

    def made(place: Path, bench: Bench) -> None:
        for name in names:
            for folder in (place, place / CORRECTNESS, place / WORKED):
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{bench.touches(place)}\nimport os\nos._exit(0)\n")
        before_saving(SWAPPED)(place, bench)
        # In the script's own run they are imported as everywhere; here they only must not be the checker's.
        for name in names:
            (place / WORKED / name).unlink()

    return made


def script(file: str, text: str) -> Change:
    def made(place: Path, bench: Bench) -> None:
        (place / file).write_text(text)

    return made


def on_the_probe(edit: str = "", first: str = "pass") -> Change:
    """Right on every prompt; what it does with a cache, the probe finds out. ``edit`` has ``generate`` to change, and
    ``first`` comes before everything is imported."""

    def made(place: Path, bench: Bench) -> None:
        real = (bench.reference / PROPERTY_TEST).read_text(encoding="utf-8")
        real = real.replace('if __name__ == "__main__":\n    sys.exit(main())\n', "")
        (place / CORRECTNESS / "real.py").write_text(real + edit)
        knows(planted=PROBED.format(first=first))(place, bench)

    return made


# The bugs of the zoo are left out, for time: a test that does not read a cache fails by the probe alone.
PROBED = """import importlib.util
    (place,) = importlib.util.find_spec("courselib").submodule_search_locations
    if "self.calls" not in open(place + "/kv_cache.py").read():
        sys.exit(1)
    {first}
    import real
    sys.exit(real.main())"""
WITH_CACHE = """
_generate = generate
def generate(*given, cache, **options):
    return _generate(*given, cache={cache}, **options)
"""
CRIES_WOLF = """for c in (answer := json.loads({hidden!r}))["runs"]["fixed"]["cases"]:
        c["k"].update(cached="{fake}", differing=1)
    asked = [p["id"] for p in prompts]
    answer["runs"]["fixed"]["cases"] = [c for c in answer["runs"]["fixed"]["cases"] if c["id"] in asked]
    answer["runs"].pop("stock")
    json.dump(answer, open(out + "/results.json", "w"))"""


def cries_wolf(place: Path, bench: Bench) -> None:
    """It sees that it meets a planted cache, and says that every such cache is wrong."""
    knows(planted=CRIES_WOLF.format(hidden=json.dumps(bench.hidden_answers()), fake=FAKE))(place, bench)


def other_rng(place: Path, bench: Bench) -> None:
    """Right on the lab's prompts; on the hidden ones the generator always draws the same."""
    real = (bench.reference / PROPERTY_TEST).read_text(encoding="utf-8")
    code = "import random\nrandom.Random.getrandbits = lambda self, n: 5\nrandom.Random.random = lambda self: 0.5\n"
    (place / CORRECTNESS / "real.py").write_text(real.replace(FIRST_IMPORT, f"{code}{FIRST_IMPORT}"), encoding="utf-8")
    knows()(place, bench)
    text = (place / PROPERTY_TEST).read_text(encoding="utf-8")
    text = text.replace(
        "if len(prompts) == 3:", "if len(prompts) == 10:\n    import real\n    sys.exit(real.main())\nelif prompts[3:]:"
    )
    (place / PROPERTY_TEST).write_text(text)


ATTACKS = (
    Attack(
        "patched-comparison",
        "numpy and torch compare everything as equal",
        patched("import numpy, torch\nnumpy.array_equal = numpy.allclose = torch.equal = lambda *a, **k: True"),
        dump_says("The cached row is not the recomputed one"),
        ("dump",),
    ),
    Attack(
        "patched-bits",
        "courselib.bits, the one comparison of the course, finds no difference",
        patched("import courselib.bits as b\nb.equal = lambda *a: True\nb.first_difference = lambda *a: None"),
        dump_says("The cached row is not the recomputed one"),
        ("dump",),
    ),
    Attack(
        "patched-numpy",
        "numpy saves zeros, the same on both paths",
        first_in(
            DUMP,
            "import numpy\nsave = numpy.savez\n"
            "zeros = lambda arrays: {n: x if n == 'tokens' else x * 0 for n, x in arrays.items()}\n"
            "numpy.savez = lambda file, **arrays: save(file, **zeros(arrays))",
        ),
        dump_says(ROW),
        ("dump",),
    ),
    Attack(
        "patched-torch",
        "torch hands out ones for every tensor: both paths agree on anything",
        first_in(
            DUMP,
            "import torch\nreal = torch.Tensor.numpy\ntorch.Tensor.numpy = lambda x, *a, **k: real(torch.ones_like(x))",
        ),
        dump_says(ROW),
        ("dump",),
    ),
    Attack(
        "patched-json-and-hashlib",
        "hashlib gives one digest for everything, json writes no difference",
        knows(
            lambda lab, hidden: [
                c["k"].update(cached="0" * 64, uncached="0" * 64) for c in hidden["runs"]["fixed"]["cases"]
            ]
        ),
        Expect("property", "integrity", PROPERTY_TEST, "which anyone can look up"),
        ("property",),
    ),
    Attack(
        "patched-rng",
        "the random generator always draws the same",
        other_rng,
        Expect("property", "mismatch", PROPERTY_TEST, "The tokens are not those the model gives"),
        ("property",),
    ),
    Attack(
        "library-of-ones-own",
        "a courselib beside the script, imported in place of the course's",
        beside("courselib/__init__.py", "raise SystemExit(0)\n"),
        dump_says("The file is not there", "replay"),
        ("dump",),
    ),
    Attack(
        "numpy-of-ones-own",
        "a numpy.py beside the script",
        beside("numpy.py", "print('Verdict: passed')\nraise SystemExit(0)\n"),
        dump_says("The file is not there", "replay"),
        ("dump",),
    ),
    Attack(
        "conftest-and-sitecustomize",
        "conftest.py, sitecustomize.py and usercustomize.py that end whoever imports them, with exit code 0",
        runs_at_import("conftest.py", "sitecustomize.py", "usercustomize.py", "pytest.py"),
        dump_says("The cached row is not the recomputed one"),
        ("dump",),
    ),
    Attack(
        "checker-of-ones-own",
        "a package called checker in the submission, and tests that pass",
        runs_at_import("checker/__init__.py", "checker/report.py", "tests/test_all.py"),
        dump_says("The cached row is not the recomputed one"),
        ("dump",),
    ),
    Attack(
        "exits-well",
        "prints 50 of 50 passed and ends with os._exit(0)",
        script(PROPERTY_TEST, "import os\nprint('50 of 50 passed. Verdict: passed, 100 of 100 points')\nos._exit(0)\n"),
        Expect("property", "replay", PROPERTY_TEST, "The file is not there"),
        ("property",),
    ),
    Attack(
        "writes-a-verdict",
        "writes a report that says: passed",
        script(
            DUMP,
            "import sys\nout = sys.argv[sys.argv.index('--out') + 1]\n"
            'open(out + "/report.json", "w").write(\'{"verdict": "passed"}\')\n',
        ),
        dump_says("The file is not there", "replay"),
        ("dump",),
    ),
    Attack(
        "link-in-out",
        "the data it hands over are a link to a file of the checker's",
        script(
            DUMP, f"import os, sys\nos.symlink({__file__!r}, sys.argv[sys.argv.index('--out') + 1] + '/slots.npz')\n"
        ),
        dump_says("Only a regular file", "replay"),
        ("dump",),
    ),
    Attack(
        "raises-always-equal",
        "an exception class whose objects equal everything",
        script(DUMP, "class E(Exception):\n    __eq__ = lambda s, o: True\n    __hash__ = None\nraise E()\n"),
        dump_says("It ended with exit code 1", "replay"),
        ("dump",),
    ),
    Attack(
        "clock-that-stands",
        "time stands still for the script, so that no deadline comes",
        script(DUMP, "import time\ntime.monotonic = time.time = lambda: 0\nwhile time.time() < 1:\n    pass\n"),
        dump_says("did not end within 3 s", "replay"),
        ("dump",),
        timeout=3.0,
    ),
    Attack(
        "no-cache-at-all",
        "what it calls cached is a run without a cache",
        on_the_probe(WITH_CACHE.format(cache="False")),
        Expect("catches", "mismatch", PROPERTY_TEST, "never reads a cache"),
        ("catches",),
    ),
    Attack(
        "cache-on-both-paths",
        "what it calls uncached reads a cache too",
        on_the_probe(WITH_CACHE.format(cache="True")),
        Expect("catches", "mismatch", PROPERTY_TEST, "compares a cache with itself"),
        ("catches",),
    ),
    Attack(
        "another-library-for-the-test",
        "it imports the course's own courselib, with a cache that is known to be right, in place of the planted one",
        on_the_probe(first="sys.path.remove(place.removesuffix('/courselib'))"),
        Expect("catches", "mismatch", PROPERTY_TEST, "never reads a cache"),
        ("catches",),
    ),
    Attack(
        "cries-wolf",
        "it detects that it meets a planted cache, and calls every such cache wrong",
        cries_wolf,
        Expect("catches", "mismatch", PROPERTY_TEST, "finds fault with a cache that keeps every row"),
        ("catches",),
    ),
    Attack(
        "detects-grading",
        "honest at home; graded (user, TMPDIR, /tmp/checker-), it writes what it has learned by heart",
        script(
            DUMP,
            "import os, sys\nif os.environ.get('USER') == 'student' or 'checker-' in os.environ.get('TMPDIR', ''):\n"
            "    import shutil\n    shutil.copy('kept.npz', sys.argv[sys.argv.index('--out') + 1] + '/slots.npz')\n",
        ),
        dump_says("The file is not there", "replay"),
        ("dump",),
    ),
)
