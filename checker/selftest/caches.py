"""Lab 01: caches of somebody else's, caches that keep their rows elsewhere, files of another cache; and honest ones."""

from __future__ import annotations

from pathlib import Path

from checker.report import Kind
from checker.selftest.bench import ROOT, Bench
from checker.selftest.changes import both, raw, reformatted, replace_text
from checker.selftest.trial import Attack, Change, Expect

CACHE, RESULTS = "kv_cache.py", "results.json"
ROWS, CODE = ("append-read",), ("append-read", "refusals", "forgetting", "generate", "pages")
K_ROW = "            K[b, :, start:end] = k[b, :, :n]\n"
SEEN = "        K, V = self.data[layer, :, :, :, :S]\n"
TOP = "from collections.abc import Sequence\n"
BACKWARDS = replace_text(CACHE, K_ROW, K_ROW.replace("k[b, :, :n]", "k[b, :, :n].flip(0)"))
BESIDE = """            if not hasattr(self, "beside"):
                self.beside = self.data.clone()
            self.beside[layer, :, b, :, start:end] = torch.stack([k[b, :, :n], v[b, :, :n]])
"""
WRITES_ANSWERS = """import atexit, pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
atexit.register(lambda: (out / "answers.json").write_text('{"cases": {}}'))
"""


def copied(place: Path, bench: Bench) -> None:
    (place / CACHE).write_bytes((ROOT / "src/courselib/kv_cache.py").read_bytes())


def right_on_the_labs_shapes(place: Path, bench: Bench) -> None:
    """On every other shape the K rows of a head stand backwards."""
    from checker.lab01 import cases

    names = ("batch", "kv_heads", "slots", "head_dim")
    shapes = {tuple(case[name] for name in names) for case in cases.lab_cases()}
    row = f"k[b, :, :n] if tuple(K.shape) in {shapes!r} else k[b, :, :n].flip(0)"
    replace_text(CACHE, K_ROW, K_ROW.replace("k[b, :, :n]", row))(place, bench)


def _attack(
    name: str, what: str, change: Change, says: str, kind: Kind = "mismatch", file: str = CACHE, part: bool = False
) -> Attack:
    task = "results" if file == RESULTS else "append-read"
    expect = Expect(task, kind, file, says, part)
    return Attack(name, what, change, expect, (task,), lab="01")


ATTACKS = (
    _attack(
        "cache-of-the-course",
        "courselib's own cache, imported",
        raw(CACHE, b"from courselib.kv_cache import KVCache, PagedKVCache\n"),
        "The cache is yours to write",
    ),
    _attack(
        "cache-by-name",
        "the same, by a name that is put together",
        raw(
            CACHE,
            b"import builtins\nKVCache = vars(builtins)['__imp' + 'ort__']('courselib.kv_cache').kv_cache.KVCache\n",
        ),
        "line 2, in its run on the lab's cases and hidden ones",
        kind="replay",
    ),
    _attack(
        "cache-from-memory",
        "the same, from where Python keeps what was imported",
        raw(CACHE, b"import sys\nKVCache = sys.modules['courselib.kv_cache'].KVCache\n"),
        "line 2, in its run on the lab's cases and hidden ones",
        kind="replay",
    ),
    _attack("cache-copied", "the same, copied", copied, "courselib's own append, copied"),
    Attack(
        "rows-beside-the-cache",
        "what is in data is right, and read answers from rows that are kept beside it",
        both(
            replace_text(CACHE, K_ROW, BESIDE + K_ROW),
            replace_text(CACHE, SEEN, f"{SEEN}        K, V = getattr(self, 'beside', self.data)[layer, :, :, :, :S]\n"),
        ),
        Expect("generate", "mismatch", CACHE, "attention did not read what stands there now", part=True),
        ("generate",),
        lab="01",
    ),
    _attack(
        "right-on-the-labs-shapes",
        "right on the shapes of the lab's cases, and on no others",
        right_on_the_labs_shapes,
        "ha0, operation 3",
        part=True,
    ),
    _attack(
        "answers-written-over",
        "the cache writes the answers itself, when exercise.py has ended",
        replace_text(CACHE, TOP, f"{TOP}{WRITES_ANSWERS}"),
        "answers.json",
        kind="replay",
    ),
    _attack(
        "results-of-another-cache",
        "results.json of a sound cache, beside one whose rows stand backwards",
        BACKWARDS,
        "does not make it",
        kind="integrity",
        file=RESULTS,
    ),
)

CONTROLS = (
    Attack(
        "cache-reformatted",
        "lab 01: the solution, written anew",
        reformatted(CACHE),
        None,
        (*CODE, "results"),
        lab="01",
    ),
)

MISTAKES = (
    Attack(
        "count-ignored",
        "lab 01: padding is kept like any row",
        replace_text(
            CACHE, "        count = checked(K, k, v, count)\n", "        count = [k.shape[2]] * len(cursors)\n"
        ),
        Expect("append-read", "mismatch", CACHE, "a cache in which count is ignored", part=True),
        ROWS,
        lab="01",
    ),
    Attack(
        "cache-mended-since",
        "lab 01: the cache was changed, and exercise.py not run again",
        BACKWARDS,
        Expect("results", "mismatch", RESULTS, "Your code was changed after the file was written"),
        ("results",),
        mended=True,
        lab="01",
    ),
)
