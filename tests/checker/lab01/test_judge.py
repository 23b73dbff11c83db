"""What is said of a cache that is wrong: which operation, which word, whose row. A cache for each rule breaks it."""

import numpy as np
import pytest

from checker.lab01 import cases, reference
from checker.lab01.judge import judge
from checker.lab01.playing import Step, play
from checker.lab01.schemas import Ask
from checker.publish import ROOT

SOLUTION = (ROOT / "labs/01/solution/kv_cache.py").read_text(encoding="utf-8")
ASKS = {case["id"]: Ask.model_validate(case) for case in (*cases.lab_cases(), *cases.hidden_cases(7))}
PAGED = [ask for ask in ASKS.values() if ask.cache == "paged"]

# Lines of the solution that stand there once.
K_ROW, V_ROW = ("{}[b, :, start:end] = {}[b, :, :n]".format(*kv) for kv in ("Kk", "Vv"))
MOVED = "            cursors[b] = end\n"
SEEN = "        K, V = self.data[layer, :, :, :, :S]\n"
RETURNED = "        return K, V\n"
CHECKED = "        count = checked(K, k, v, count)\n"


def changed(*edits):
    source = SOLUTION
    for old, new in edits:
        assert source.count(old) == 1, f"{source.count(old)} places read {old!r}"
        source = source.replace(old, new)
    return source


@pytest.fixture
def found(played):
    """found(case, *edits): the finding on the solution's cache with those edits."""

    def found(name, *edits):
        return judge(ASKS[name], played(changed(*edits), ASKS[name]))

    return found


# ---- the rows --------------------------------------------------------------------------------------------------------


def test_the_first_wrong_word_is_named_with_its_place_and_both_words(found):
    word = int(play(ASKS["a4"], reference.of)[4].arrays[1][1, 1, 0, 2])
    one_bit = (SEEN, f"{SEEN}        V = V.clone()\n        V.view(torch.int32)[1, 1, 0, 2] ^= layer\n")
    fault = found("a4", one_bit)
    assert (fault.kind, fault.file) == ("mismatch", "kv_cache.py")
    assert fault.where == "a4, operation 4 of 19, read(1): V, layer 1, sequence 1, head 1, slot 0, dim 2"
    assert fault.expected == f"0x{word:08x}"
    assert fault.found == f"0x{word ^ 1:08x}, 1 ULP apart; 1 of 56 words differ"
    assert "Such a row was never handed to append." in fault.message
    assert fault.rows.name == "V, layer 1, sequence 1, head 1, slot 0"


@pytest.mark.parametrize(
    ("instead", "says"),
    [
        (f"{K_ROW}.flip(1)", "a row that operation 2 gave: k for layer 0, sequence 0, head 0, row 1."),
        ("pass", "what every slot was filled with before: nothing was written there."),
        (K_ROW.replace("k[b, :, :n]", "0"), "In its place stand zeros"),
        (f"{K_ROW}.half()", "Such a row was never handed to append."),
    ],
)
def test_whose_row_it_is(found, instead, says):
    assert says in found("a2", (K_ROW, instead)).message


def test_a_cache_that_keeps_tensors_and_not_rows(found):
    kept = (K_ROW, f"self.kept = k\n            {K_ROW}")
    says = "what k and v were overwritten with when append had returned"
    assert says in found("a0", kept, (SEEN, f"{SEEN}        K = self.kept\n")).message


def test_what_is_behind_a_cursor_means_nothing_in_a_read_and_something_in_data(found):
    behind = "for b, n in enumerate(self.cursors[layer]):\n            K[b, :, n:] = 7\n"
    assert found("a4", (RETURNED, f"        K = K.clone()\n        {behind}{RETURNED}")) is None
    assert "data does not hold what it should." in found("a5", (RETURNED, f"        {behind}{RETURNED}")).message


def test_views_that_are_handed_out_again_and_again_are_as_good(found):
    """read() gives the same tensors each time, over memory that later writes change: no earlier answer changes."""
    kept = f"""        self.views = getattr(self, "views", dict())
        if (layer, S) in self.views:
            return self.views[layer, S]
{SEEN}        self.views[layer, S] = K, V
"""
    assert [found(name, (SEEN, kept)) for name in ("a1", "a3", "a4", "c0", "c1")] == [None] * 5


ANOTHER_KIND = {
    "one tensor": (RETURNED, "        return K\n", "no exception", "It ended with an exception."),
    "lists": (RETURNED, "        return K.tolist(), V.tolist()\n", "no exception", "It ended with an exception."),
    "dtype": (RETURNED, "        return K.double(), V\n", "(1, 1, 1, 4), 32 bits each", "K has another shape"),
    "shape": (RETURNED, "        return K, V[0]\n", "(1, 1, 1, 4), 32 bits each", "V has another shape"),
    "no cache": ("self.data = torch.zeros(", "self.data = torch.zero(", "no exception", "It ended with an exception."),
}


@pytest.mark.parametrize("kind", ANOTHER_KIND)
def test_answers_of_another_kind(found, kind):
    old, new, expected, says = ANOTHER_KIND[kind]
    fault = found("a0", (old, new))
    assert fault.expected == expected
    assert says in fault.message


def test_lengths_that_are_not(played):
    source = SOLUTION + "\n\nclass KVCache(KVCache):\n    lengths = [0]\n"
    fault = judge(ASKS["a0"], played(source, ASKS["a0"]))
    assert (fault.where, fault.expected, fault.found) == ("a0, operation 3 of 12, lengths", "[1]", "[0]")


def test_an_exception_is_told_with_its_line(found):
    edit = ("S = max(self.cursors[layer])\n" + SEEN, "S = self.nobody\n" + SEEN)
    line = changed(edit).splitlines().index("        S = self.nobody") + 1
    assert found("a0", edit).found == (
        f"AttributeError: 'KVCache' object has no attribute 'nobody' (kv_cache.py, line {line})"
    )


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["b2", "b3", "b4", "b5"])
def test_what_pytorch_lets_through_or_refuses_in_its_own_words(found, name):
    fault = found(name, (CHECKED, "        count = [k.shape[2]] * len(cursors) if count is None else count\n"))
    assert fault.expected in ("ValueError", "TypeError")
    assert "This is to be refused" in fault.message


def test_another_exception_is_told_apart(found):
    fault = found("b4", ('raise TypeError(f"{name} must', 'raise ValueError(f"{name} must'))
    assert (fault.expected, fault.found.split(":")[0]) == ("TypeError", "ValueError")
    assert "refused with another exception" in fault.message


def test_a_subclass_will_do(played):
    source = changed(('raise ValueError(f"count must', 'raise NoRoomError(f"count must'))
    source += "\n\nclass NoRoomError(ValueError):\n    pass\n"
    assert judge(ASKS["b5"], played(source, ASKS["b5"])) is None


def test_a_refusal_that_has_written_is_found_in_data(found):
    fault = found("b0", (CHECKED, f"{CHECKED}        K[0, :, -1] = k[0, :, -1]\n"))
    assert "data does not hold what it should." in fault.message


def test_a_refusal_that_has_moved_a_cursor_is_found(found):
    refused = 'raise ValueError(f"sequence {b} holds'
    assert "another shape" in found("b0", (refused, f"cursors[2] += 1\n                {refused}")).message


# ---- pages -----------------------------------------------------------------------------------------------------------

TAKEN = "            self.tables[b] += [self.free.pop() for _ in range(missing[b])]\n"
NO_PAGE = "        if sum(missing) > len(self.free):\n"
FREED = "        self.free += self.tables[b]\n"
PLACE = "page, slot = divmod(cursors[b] + t, size)\n"
ONE, ROWS = "A page belongs to one sequence, or it is free", "read() does not give the rows that were appended."
BROKEN_PAGES = {
    "never free again": (FREED, "", ONE),
    "free and held": ("        self.tables[b] = []\n", "", ONE),
    "handed out twice": (TAKEN, TAKEN.replace("self.free.pop()", "self.free[0]"), ROWS),
    "made up": (TAKEN, TAKEN.replace("self.free.pop()", "-self.free.pop()"), ONE),
    "one too many": ("max(-(-end // size) -", "max(end // size + 1 -", "another number of pages than its slots need."),
    "taken, then refused": (
        NO_PAGE,
        f"{NO_PAGE}            self.tables[0].append(self.free.pop())\n",
        "another number",
    ),
    "too few are no matter": (NO_PAGE, "        if False:\n", "refused with another exception."),
    "each sequence is asked alone": (NO_PAGE, NO_PAGE.replace("sum(", "max("), "refused with another exception."),
    "another place in the page": (PLACE, f"{PLACE}                slot = size - 1 - slot\n", ROWS),
    "pages in another order": ("zip(self.tables[b], range", "zip(sorted(self.tables[b]), range", ROWS),
    "one layer for all": ("self.pool[page, layer, :", "self.pool[page, 0, :", ROWS),
    "remembers the released": ("            cursors[b] = 0\n", "            pass\n", "has another shape"),
}


def test_the_solution_s_pages_are_right(found):
    assert [found(ask.id) for ask in PAGED] == [None] * len(PAGED)


@pytest.mark.parametrize("kind", BROKEN_PAGES)
def test_broken_pages_are_found(found, kind):
    old, new, says = BROKEN_PAGES[kind]
    faults = [fault for ask in PAGED if (fault := found(ask.id, (old, new)))]
    assert any(says in fault.message for fault in faults), [fault.message for fault in faults]


def test_a_page_s_holders_are_named(found):
    fault = found("d0", (FREED, ""), ("            self.release(b)", "            self.release(b % 2)"))
    assert fault is None, "nothing is released in this case"
    fault = found("d1", ("        self.tables[b] = []\n", ""))
    assert fault.where.startswith("d1, operation ")
    assert ", tables, free, pool: page " in fault.where
    assert fault.expected == "in one of them, once"
    assert fault.found == "tables[0], free"


def test_pages_that_change_hands_in_a_refusal(played):
    """Two pages of one sequence are swapped, with their rows: nothing else shows it."""
    swap = """
            a, b = self.tables[0][:2]
            self.pool[[a, b]] = self.pool[[b, a]]
            self.tables[0][:2] = [b, a]
"""
    source = changed((NO_PAGE, NO_PAGE + swap.removeprefix("\n")))
    assert "pages have changed hands all the same." in judge(ASKS["d2"], played(source, ASKS["d2"])).message


# ---- what is asked ---------------------------------------------------------------------------------------------------


def test_hidden_cases_follow_from_their_seed():
    assert cases.hidden_cases(7) == cases.hidden_cases(7) != cases.hidden_cases(8)
    assert cases.hidden_generations(7) == cases.hidden_generations(7) != cases.hidden_generations(8)


def test_every_case_of_many_seeds_asks_what_its_block_is_about():
    for seed in range(40):
        for ask in map(Ask.model_validate, cases.hidden_cases(seed)):
            steps = play(ask, reference.of)
            refused = [step.raised for step in steps if step.raised]
            assert set(refused) <= {"ValueError", "TypeError"}
            assert len(refused) in {"A": [0], "B": [1], "C": [0, 1, 2], "D": [1]}[ask.block]
            assert max(max(cursors) for step in steps for cursors in step.cursors) <= ask.slots * (ask.pages or 1)
            if ask.block == "A":
                assert min(steps[-1].cursors[0]) == ask.slots, "to the brim"


def test_words_are_of_many_kinds():
    for dtype, floats in (("float32", np.float32), ("float16", np.float16)):
        x = cases.words(3, 4, 0, [40, 50], dtype).view(floats).astype(np.float64)
        assert np.isnan(x).any()
        assert np.isinf(x).any()
        assert np.signbit(x[x == 0]).all()
        assert (x == 0).any()
        assert len(np.unique(x)) > 1500


def test_a_cache_that_cannot_be_made_is_wrong_from_the_start():
    ask = ASKS["a0"]
    fault = judge(ask, [Step("AttributeError", "no cache")] * len(ask.ops))
    assert (fault.where, fault.found) == ("a0, operation 0 of 12, __init__", "no cache")
