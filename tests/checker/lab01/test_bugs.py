"""Every mistake that the checker claims to know is planted into the solution's cache, and known again by its words."""

import pytest

from checker.lab01 import cases, reference
from checker.lab01.bugs import BUGS
from checker.lab01.judge import judge
from checker.lab01.playing import digest, play
from checker.lab01.schemas import Ask
from checker.lab02.zoo.alone import ALONE
from checker.lab02.zoo.extended import EXTENDED
from checker.lab02.zoo.mutant import CACHE, Planted, patched
from checker.publish import ROOT

HIDDEN_SEED = 7
ASKS = [Ask.model_validate(case) for case in (*cases.lab_cases(), *cases.hidden_cases(HIDDEN_SEED))]
LAB = [ask for ask in ASKS if ask.cache == "contiguous" and not ask.id.startswith("h")]
CONTIGUOUS = [*LAB, *(ask for ask in ASKS if ask.id in ("ha2", "ha6", "hb0", "hb9", "hc2", "hc5"))]
SOLUTION = (ROOT / "labs/01/solution/kv_cache.py").read_text(encoding="utf-8")
COURSELIBS = (ROOT / "src/courselib/kv_cache.py").read_text(encoding="utf-8").replace("from .minigpt", "from minigpt")

# ---- lines of the solution, and what becomes of them -----------------------------------------------------------------

ROWS = "            K[b, :, start:end] = k[b, :, :n]\n            V[b, :, start:end] = v[b, :, :n]\n"
WRITES = "        for b, n in enumerate(count):\n            start, end = cursors[b], cursors[b] + n\n"
MOVED = "            cursors[b] = end\n"
CURSORS = "self.cursors = [[0] * batch for _ in range(n_layers)]  # of"
CHECKED = "        count = checked(K, k, v, count)\n"
ROOM = """        for b, n in enumerate(count):
            if cursors[b] + n > K.shape[2]:
                raise ValueError(f"sequence {b} holds {cursors[b]} of {K.shape[2]} slots: no room for {n} more")
"""
SEEN = "        S = max(self.cursors[layer])\n        K, V = self.data[layer, :, :, :, :S]\n"
TRUNCATED = "self.cursors = [[n] * len(cursors) for cursors in self.cursors]"
RESET = "self.cursors = [[0] * len(cursors) for cursors in self.cursors]"
WIPED = "        self.data[..., n:, :] = 0\n"
ONE_CURSOR = (
    (CURSORS, "self.cursors = [[0] * batch] * n_layers  # of"),
    (TRUNCATED, "self.cursors = [[n] * len(self.first)] * len(self.cursors)"),
    (RESET, "self.cursors = [[0] * len(self.first)] * len(self.cursors)"),
)


def rows(k="k[b, :, :n]", v="v[b, :, :n]", at="start:end"):
    return (ROWS, f"            K[b, :, {at}] = {k}\n            V[b, :, {at}] = {v}\n")


def line(text, indent=12):
    return f"{' ' * indent}{text}\n"


PLANTED = {  # bug -> edits of the solution
    "ahead": [rows(at="start + 1 : end + 1")],
    "moved-first": [rows(at="end : end + n")],
    "one-short": [(MOVED, line("cursors[b] = start + max(n - 1, 0)"))],
    "never-moved": [(MOVED, "")],
    "counts-calls": [(MOVED, line("cursors[b] = start + 1"))],
    "one-cursor": [*ONE_CURSOR],
    "moved-by-layer-0": [*ONE_CURSOR, (MOVED, line("cursors[b] = end if layer == 0 else start"))],
    "moved-by-the-last": [
        *ONE_CURSOR,
        (MOVED, line("cursors[b] = end if layer == len(self.cursors) - 1 else start")),
    ],
    "layer-0-written": [("K, V = self.data[layer]\n", "K, V = self.data[0]\n")],
    "layer-0-read": [("K, V = self.data[layer, :,", "K, V = self.data[0, :,")],
    "read-swapped": [("K, V = self.data[layer, :,", "V, K = self.data[layer, :,")],
    "stored-swapped": [("K, V = self.data[layer]\n", "V, K = self.data[layer]\n")],
    "keys-twice": [rows(v="k[b, :, :n]")],
    "heads-reversed": [rows(k="k[b, :, :n].flip(0)", v="v[b, :, :n].flip(0)")],
    "sequence-0-for-all": [rows(k="k[0, :, :n]", v="v[0, :, :n]")],
    "kept-tensors": [
        (ROWS, line("self.waiting = [*getattr(self, 'waiting', []), (layer, b, start, n, k, v)]")),
        (
            SEEN,
            line("for at, b, start, n, *pair in getattr(self, 'waiting', []):", 8)
            + line("for i, x in enumerate(pair):")
            + line("self.data[at, i, b, :, start : start + n] = x[b, :, :n]", 16)
            + SEEN,
        ),
    ],
    "where-the-first-stands": [
        (WRITES, line("before = list(cursors)", 8) + WRITES),
        rows(at="before[0] : before[0] + n"),
    ],
    "where-the-longest-stands": [
        (WRITES, line("longest = max(cursors)", 8) + WRITES),
        rows(at="longest : longest + n"),
    ],
    "count-ignored": [(CHECKED, CHECKED + line("count = [k.shape[2]] * len(count)", 8))],
    "padding-written": [
        (
            ROWS,
            line("T = min(k.shape[2], K.shape[2] - start)")
            + line("K[b, :, start : start + T], V[b, :, start : start + T] = k[b, :, :T], v[b, :, :T]"),
        ),
    ],
    "as-long-as-the-first": [(SEEN, SEEN.replace("max(self.cursors[layer])", "self.cursors[layer][0]"))],
    "as-long-as-the-shortest": [(SEEN, SEEN.replace("max(", "min("))],
    "all-slots": [(SEEN, SEEN.replace("max(self.cursors[layer])", "self.data.shape[4]"))],
    "one-slot-less": [(SEEN, SEEN.replace("max(self.cursors[layer])", "max(max(self.cursors[layer]) - 1, 0)"))],
    "wraps": [
        (ROOM, ""),
        (
            ROWS,
            line("for t in range(n):")
            + line("slot = (start + t) % K.shape[2]", 16)
            + line("K[b, :, slot], V[b, :, slot] = k[b, :, t], v[b, :, t]", 16),
        ),
    ],
    "dropped": [(ROOM, line("count = [min(n, K.shape[2] - c) for n, c in zip(count, cursors)]", 8))],
    "half-refused": [
        (ROOM, ""),
        (ROWS, line("if end > K.shape[2]:") + line("raise ValueError('no room')", 16) + ROWS),
    ],
    "reset-keeps-rows": [("        self.data.zero_()\n", "")],
    "reset-keeps-cursors": [(RESET, "pass")],
    "reset-forgets-layers": [(RESET, "self.cursors[0] = [0] * len(self.first)")],
    "reset-keeps-first": [("        self.first = [0] * len(self.first)\n", "")],
    "truncate-keeps-rows": [(WIPED, "")],
    "truncate-keeps-cursors": [(TRUNCATED, "pass")],
    "truncate-forgets-layers": [(TRUNCATED, "self.cursors[0] = [n] * len(self.first)")],
    "truncate-one-more": [(WIPED, WIPED.replace("n:", "n + 1 :"))],
    "truncate-one-less": [(WIPED, WIPED.replace("n:", "max(n - 1, 0) :"))],
    "truncate-takes-n": [(WIPED, line("n = min(self.lengths) - n", 8) + WIPED)],
    "padding-alone-is-kept": [("max(self.first) <= n", "0 <= n")],
}


def changed(*edits):
    """The solution with each old text, which stands in it once, replaced."""
    source = SOLUTION
    for old, new in edits:
        assert source.count(old) == 1, f"{source.count(old)} places read {old!r}"
        source = source.replace(old, new)
    return source


def faults(played, source, asks=CONTIGUOUS):
    return [found for ask in asks if (found := judge(ask, played(source, ask)))]


def test_every_known_bug_is_planted_here_and_no_other():
    assert list(PLANTED) == [bug.id for bug in BUGS]
    assert len({bug.behaviour for bug in BUGS}) == len(BUGS)


def test_of_the_solution_nothing_is_said(played):
    assert faults(played, SOLUTION, ASKS) == []


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.id)
def test_a_planted_bug_is_named_and_taken_for_no_other(played, bug):
    found = faults(played, changed(*PLANTED[bug.id]))
    assert {other.id for other in BUGS for f in found if f"in which {other.behaviour}." in f.message} == {bug.id}
    labs = [fault for fault in found if not fault.where.startswith("h")]
    assert any("Every answer of this case is" in fault.message for fault in labs), "it explains one of the lab's cases"


def test_one_bit_off_and_it_is_no_bug_that_is_known(played):
    """The control: all that a bug gives, but for one bit of each word that is read."""
    source = changed(*PLANTED["padding-written"])
    for ask in LAB:
        steps = played(source, ask)
        for step, op in zip(steps, ask.ops, strict=True):
            if op["do"] == "read":
                step.arrays[0][...] ^= 1
        assert "in which" not in judge(ask, steps).message


def test_two_bugs_at_once_are_no_bug_that_is_known(played):
    source = changed(*PLANTED["keys-twice"], *PLANTED["as-long-as-the-shortest"])
    a3, a4 = (next(ask for ask in LAB if ask.id == name) for name in ("a3", "a4"))
    assert "in which k is stored in V's place too." in judge(a3, played(source, a3)).message  # equal lengths
    assert "in which" not in judge(a4, played(source, a4)).message


def test_a_bug_beside_another_is_told_as_far_as_it_explains(played):
    """Heads reversed, and a second fault in truncate, which comes after it."""
    (c0,) = (ask for ask in LAB if ask.id == "c0")
    found = judge(c0, played(changed(*PLANTED["heads-reversed"], *PLANTED["truncate-keeps-cursors"]), c0))
    truncated = next(n for n, op in enumerate(c0.ops) if op["do"] == "truncate")
    assert f"As far as operation {truncated}, every answer" in found.message
    assert "a cache in which the heads are stored in the opposite order." in found.message


# ---- the bugs of lab 02's zoo, as submissions ------------------------------------------------------------------------

IN_THE_CACHE = [m for m in (*ALONE, *EXTENDED) if all(edit.file == CACHE for edit in m.edits)]
OUT_OF_REACH = {  # they begin at a length that no script of this lab comes to
    "overwrites-after-64",
    "sixteen-bits-after-16",
    "full-at-200",
}


def test_courselib_s_cache_gives_the_right_answers(played):
    assert faults(played, COURSELIBS) == []


@pytest.mark.parametrize("mutant", IN_THE_CACHE, ids=lambda mutant: mutant.id)
def test_the_zoo_s_caches_are_found_out(played, mutant):
    planted = Planted(mutant, layer=1, head=1, slot=5)
    found = faults(played, patched(planted, CACHE, COURSELIBS))
    assert bool(found) == (mutant.id not in OUT_OF_REACH)


def test_the_reference_s_digest_is_the_one_that_exercise_writes(played, driver):
    for ask in CONTIGUOUS:
        entry = driver.entry_of(ask.model_dump(), [vars(step) for step in played(SOLUTION, ask)])
        assert entry["sha256"] == digest(play(ask, reference.of))
