"""Right, forged, broken and honestly wrong submissions of lab 01, each refused for its own reason."""

import shutil

import pytest

from checker.lab01.reading import read_cache
from checker.publish import COPIED, ROOT
from tests.checker.submissions import FAKE, edit, findings, points, rewrite, run, the_finding

CACHE = "kv_cache.py"
CODE = ("append-read", "refusals", "forgetting", "generate", "pages")
K_ROW = "            K[b, :, start:end] = k[b, :, :n]\n"
SEEN = "        K, V = self.data[layer, :, :, :, :S]\n"


def exercise(submission):
    run("exercise.py", folder=submission)


def only(*tasks):
    return [option for task in tasks for option in ("--only", task)]


# ---- the controls ----------------------------------------------------------------------------------------------------


def test_the_solution_passes(check, reference):
    code, report = check(reference)
    assert (code, report.verdict, report.score.points) == (0, "passed", 100)
    assert report.evidence.stored_bytes == "compared"
    claims = [claim for task in report.tasks for claim in task.claims]
    assert [claim.standing for claim in claims].count("verified") == len(claims) - 1 == 5


def test_the_starter_earns_nothing_and_is_accused_of_nothing(check, started):
    code, report = check(started)
    assert (code, report.verdict, report.score.points) == (1, "not passed", 0)
    assert {task.points for task in report.tasks} == {0}
    for task, number in zip(CODE, (1, 3, 4, 1, 6), strict=True):
        assert the_finding(report, task).message.startswith(f"TODO {number} is still open.")
    assert "TODO 1 and 2" in the_finding(report, "results").message


def test_a_folder_with_the_name_of_the_driver_is_in_nobody_s_way(check, submission):
    (submission / "cases.py").unlink()
    (submission / "cases.py").mkdir()
    (submission / "cases.py" / "x.py").write_text("")
    code, report = check(submission, *only("append-read"))
    assert (code, report.verdict) == (0, "passed")


def test_without_pages_ninety_points_are_left(check, submission, started):
    """The starter's pages in the place of the solution's."""
    parts = [(folder / CACHE).read_text().split("class PagedKVCache") for folder in (submission, started)]
    (submission / CACHE).write_text(f"{parts[0][0]}class PagedKVCache{parts[1][1]}")
    exercise(submission)
    code, report = check(submission)
    assert (code, report.verdict, report.score.points) == (1, "not passed", 90)
    assert the_finding(report, "pages").message.startswith("TODO 6 is still open.")


def test_half_done_earns_its_part(check, submission):
    """append and read for one sequence, and for a batch in step; no count."""
    rewrite(
        submission / CACHE, "        count = checked(K, k, v, count)\n", "        count = [k.shape[2]] * len(cursors)\n"
    )
    exercise(submission)
    code, report = check(submission)
    assert code == 1
    earned = {task.id: task.points for task in report.tasks}
    assert 0 < earned["append-read"] < 25
    assert 0 < earned["forgetting"] < 15
    assert 0 < earned["generate"] < 20
    assert earned["results"] == earned["manifest"] == 5, "the files say what this cache gives"
    assert all(f.kind == "mismatch" for task in report.tasks for f in task.findings)
    first = findings(report, "append-read")[0]
    assert report.tasks[0].notes == ["step by step: python exercise.py --show a4"]
    assert "a cache in which count is ignored: padding is kept like any row, and moves the cursor on." in first.message


@pytest.mark.parametrize("path", [path for path in COPIED if path.startswith("labs/01")])
def test_what_students_run_is_what_the_checker_runs(path):
    assert (ROOT / path).read_bytes() == (ROOT / COPIED[path]).read_bytes(), f"{path}: python -m checker.publish"


# ---- with the model --------------------------------------------------------------------------------------------------


PARTING = {  # an edit of the solution; what is said of a generation, and where
    "writes over slot 3 at slot 9": (
        K_ROW,
        f"{K_ROW}            if start == 9:\n                K[b, :, 3] = k[b, :, 0]\n",
        "In its place stands a row of another place: K, layer 0",
        "slot 3",
    ),
    "K for V past slot 8": (
        SEEN,
        f"{SEEN}        if S > 8:\n            K, V = V, K\n",
        "In its place stands a row of another place: V, layer 0",
        "slot 0",
    ),
    "an empty slot among the others": (
        SEEN,
        f"{SEEN}        K = K.clone()\n        K[:, :, 1:2] = self.data[layer, 0, :, :, -1:]\n",
        "what every slot was filled with before",
        "slot 1",
    ),
    "a cursor beside its place after truncate": (
        "        self.cursors = [[n]",
        "        self.cursors = [[n + 1]",
        "ended with an exception",
        "hg6",
    ),
}


@pytest.mark.parametrize("kind", PARTING)
def test_generations_are_told_where_they_part(check, submission, kind):
    old, new, says, hit = PARTING[kind]
    rewrite(submission / CACHE, old, new)
    _, report = check(submission, *only("generate"))
    found = findings(report, "generate")
    assert any(says in f.message and hit in f.where for f in found), [(f.where, f.message) for f in found]


def test_a_cache_that_keeps_its_rows_beside_data_is_seen_by_the_poke(check, submission):
    """Everything is right, and is in data too; but read answers from rows that are kept twice."""
    twice = """            if not hasattr(self, "beside"):
                self.beside = self.data.clone()
            self.beside[layer, :, b, :, start:end] = torch.stack([k[b, :, :n], v[b, :, :n]])
"""
    rewrite(submission / CACHE, K_ROW, twice + K_ROW)
    rewrite(submission / CACHE, SEEN, SEEN + "        K, V = getattr(self, 'beside', self.data)[layer, :, :, :, :S]\n")
    _, report = check(submission, *only("append-read", "generate"))
    assert points(report, "append-read") == 25, "no script sees it"
    found = findings(report, "generate")
    assert {f.where.split(" ")[0] for f in found} == {"g7", "g8", "hg7", "hg8"}
    for f in found:
        assert f.message.startswith("A row of data was overwritten, and attention did not read what stands there now.")
        assert "It read the old row: read() hands out something that is kept beside data." in f.message
        assert f.expected == "0x40000000"


# ---- whose cache is it? ----------------------------------------------------------------------------------------------

THEIRS = {
    "imported": "from courselib.kv_cache import KVCache\n",
    "subclassed": "import courselib.kv_cache\nclass KVCache(courselib.kv_cache.KVCache):\n    pass\n",
    "from the package": "from courselib import kv_cache\nKVCache = kv_cache.KVCache\n",
    "from where it was imported": "from courselib.minigpt import KVCache\n",
    "by name": "import importlib\nKVCache = importlib.import_module('courselib.kv_cache').KVCache\n",
    "by __import__": "KVCache = __import__('courselib.kv_cache').kv_cache.KVCache\n",
    "transformers": "from transformers import DynamicCache as KVCache\n",
    "executed": "import pathlib\nexec(pathlib.Path('x').read_text())\n",
    "copied": (ROOT / "src/courselib/kv_cache.py").read_text(encoding="utf-8").replace("from .minigpt", "from torch"),
}


@pytest.mark.parametrize("how", THEIRS)
def test_a_cache_of_somebody_else_s_earns_nothing(check, submission, how):
    (submission / CACHE).write_text(THEIRS[how])
    code, report = check(submission, *only(*CODE))
    assert (code, report.score.points) == (1, 0)
    assert all(findings(report, task)[0].kind == "mismatch" for task in CODE)
    assert not report.evidence.replayed, "it was not even run"


@pytest.mark.parametrize(
    "line",
    [
        "import sys; KVCache = sys.modules['courselib.kv_cache'].KVCache",
        "import sys; KVCache = sys.modules['courselib'].kv_cache.KVCache",
        "import sys; KVCache = sys.modules['courselib.generate'].KVCache",
        "import builtins; KVCache = vars(builtins)['__imp' + 'ort__']('courselib.kv_cache').kv_cache.KVCache",
    ],
)
def test_what_reading_does_not_see_is_out_of_reach_when_it_runs(check, submission, line):
    (submission / CACHE).write_text(line)
    assert list(read_cache(line)) == []
    code, report = check(submission, *only("append-read"))
    fault = the_finding(report, "append-read")
    assert (code, report.score.points, fault.kind, fault.file) == (1, 0, "replay", CACHE)
    assert fault.where.startswith("line 1, in its run on the lab's cases and hidden ones")


def test_the_solution_imports_nothing_of_that_kind():
    assert list(read_cache((ROOT / "labs/01/solution" / CACHE).read_text())) == []
    assert list(read_cache((ROOT / "labs/01/starter" / CACHE).read_text())) == []


# ---- code that gives nothing to compare ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("def KVCache(:\n", "malformed", None),
        ("import torch_of_nobody\n", "mismatch", "torch_of_nobody"),
        ("1 / 0\n", "replay", "ZeroDivisionError: division by zero"),
        ("import os\nos._exit(0)\n", "replay", "nothing there"),
    ],
)
def test_a_file_that_does_not_run(check, submission, text, kind, found):
    (submission / CACHE).write_text(text)
    code, report = check(submission, *only("append-read"))
    fault = the_finding(report, "append-read")
    assert (code, fault.kind, fault.found, fault.file) == (1, kind, found, CACHE)


def test_no_cache_at_all(check, submission):
    (submission / CACHE).unlink()
    code, report = check(submission, *only("append-read", "results"))
    assert code == 1
    assert {findings(report, task)[0].kind for task in ("append-read", "results")} == {"missing"}


def test_classes_that_are_not_there_are_wrong_from_operation_0(check, submission):
    (submission / CACHE).write_text("import torch\n")
    code, report = check(submission, *only("append-read", "pages"))
    assert (code, report.score.points) == (1, 0)
    found = findings(report, "append-read")[0]
    assert found.where == "a0, operation 0 of 12, __init__"
    assert "has no attribute 'KVCache'" in found.found


def test_a_cache_that_fills_itself_with_nan(check, submission):
    rewrite(submission / CACHE, SEEN, f"        self.data[layer, :, :, :, :S] = float('nan')\n{SEEN}")
    code, report = check(submission, *only(*CODE[:4]))
    assert (code, report.score.points) == (1, 0)
    assert "NaN" not in report.model_dump_json(), "and the report is JSON"


def test_answers_that_the_cache_writes_itself(check, submission):
    """Before exercise.py writes, they are written over. After it, they are no answers."""
    top = "from collections.abc import Sequence\n"
    now = """import pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
def write():
    (out / "answers.json").write_text('{"cases": {}}')
"""
    rewrite(submission / CACHE, top, f"{top}{now}write()\n")
    code, report = check(submission, *only("append-read"))
    assert (code, report.score.points) == (0, 25)
    rewrite(submission / CACHE, "write()\n\n", "import atexit\natexit.register(write)\n\n")
    code, report = check(submission, *only("append-read"))
    assert (code, the_finding(report, "append-read").kind) == (1, "replay")


def test_more_than_any_case_can_hold_is_not_unpacked(check, submission):
    rewrite(submission / CACHE, "        return K, V\n", "        return torch.zeros(1, 1, 99_999, 99), V\n")
    code, report = check(submission, *only("append-read"))
    assert (code, the_finding(report, "append-read").kind) == (1, "replay")


# ---- results.json, manifest.json -------------------------------------------------------------------------------------


def flatter(document):
    """As the solution's, where the cache is the starter's."""
    for generation in document["generations"]:
        generation.update(stopped=None, differing=0, compared=100)
    document["summary"].update(generations_equal=8, rows_differing=0, rows_compared=800, rows_read=5000)


@pytest.mark.parametrize(("mended", "code", "kind"), [(False, 4, "integrity"), (True, 1, "mismatch")])
def test_results_that_the_cache_does_not_bear_out(check, started, tmp_path, mended, code, kind):
    submission = shutil.copytree(started, tmp_path / "forged")
    edit(submission / "results.json", flatter)
    found_code, report = check(submission, *only("results"), mended=mended)
    assert found_code == code
    stopped = [f for f in findings(report, "results") if f.where.endswith(".stopped")]
    assert len(stopped) == 10
    assert {f.kind for f in stopped} == {kind}


@pytest.mark.parametrize(("mended", "code"), [(False, 4), (True, 1)])
def test_the_solution_s_digests_beside_another_cache(check, submission, mended, code):
    """results.json is right, and this cache does not give it: it is somebody else's file, or an earlier cache's."""
    rewrite(submission / CACHE, K_ROW, K_ROW.replace("k[b, :, :n]", "k[b, :, :n].flip(0)"))
    found_code, report = check(submission, *only("results"), mended=mended)
    assert found_code == code
    digests = [f for f in findings(report, "results") if f.where.endswith(".sha256")]
    assert digests
    assert {f.kind for f in digests} == {"mismatch" if mended else "integrity"}


def test_a_digest_of_an_earlier_run_is_a_mistake(check, submission):
    edit(submission / "results.json", lambda d: d["cases"][2].update(sha256=FAKE))
    edit(submission / "results.json", lambda d: d["generations"][3]["v"].__setitem__(1, FAKE))
    code, report = check(submission, *only("results"))
    assert code == 1
    assert [(f.kind, f.where) for f in findings(report, "results")] == [
        ("mismatch", "cases[2].sha256"),
        ("mismatch", "generations[3].v"),
    ]


def test_a_file_that_is_worse_than_its_cache_accuses_nobody(check, submission, started):
    shutil.copy(started / "results.json", submission)
    code, report = check(submission, *only("results"))
    assert code == 1
    assert {f.kind for f in findings(report, "results")} == {"mismatch"}


@pytest.mark.parametrize("file", ["results.json", "manifest.json"])
def test_a_summary_that_is_not_its_entries_(check, submission, file):
    where = "summary" if file == "results.json" else "results_summary"
    edit(submission / file, lambda d: d[where].update(rows_read=7, pokes_seen=1))
    code, report = check(submission, *only("results"))
    assert code == 1
    assert {f.where for f in findings(report, "results")} == {f"{where}.rows_read", f"{where}.pokes_seen"}


def test_generations_under_another_promise_are_counted_and_not_compared(check, submission):
    edit(submission / "manifest.json", lambda d: d["config"].update(order="fixed-order/2"))
    edit(submission / "results.json", lambda d: d["generations"][3]["v"].__setitem__(1, FAKE))
    code, report = check(submission, *only("results"))
    assert (code, report.evidence.stored_bytes) == (0, "not compared")
    edit(submission / "results.json", lambda d: d["cases"][2].update(sha256=FAKE))
    assert check(submission, *only("results"))[0] == 1, "a case's words are the same under any"


def test_another_lab_s_cases(check, submission):
    edit(submission / "results.json", lambda d: d["cases"].pop())
    edit(submission / "manifest.json", lambda d: d["config"].update(n_cases=21))
    code, report = check(submission, *only("results", "manifest"))
    assert code == 1
    assert the_finding(report, "results").where == "cases"
    assert the_finding(report, "manifest").where == "config.n_cases"


def test_a_manifest_of_another_shape(check, submission):
    edit(submission / "manifest.json", lambda d: d["config"].pop("order"))
    code, report = check(submission, *only("manifest"))
    assert (code, the_finding(report, "manifest").kind) == (1, "schema")


# ---- writing ---------------------------------------------------------------------------------------------------------


def test_a_readme_that_leaves_things_out(check, submission):
    (submission / "README.md").write_text("word " * 90)
    code, report = check(submission, *only("writing"))
    assert (code, len(findings(report, "writing"))) == (1, 3)


def test_a_readme_in_spanish(check, submission):
    shutil.copy(ROOT / "tests/checker/spanish/01-README.md", submission / "README.md")
    assert check(submission, *only("writing"))[0] == 0
