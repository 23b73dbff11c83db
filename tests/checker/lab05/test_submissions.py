"""Right, forged, broken and honestly wrong submissions of lab 05, each refused for its own reason."""

import shutil

import pytest

from checker.lab05.variants import OPS, VARIANTS, candidates, source
from tests.checker.submissions import FAKE, edit, findings, rewrite, the_finding

ROOT_OPS = {"matmul": "matmul", "log_softmax": "log-softmax", "mean": "mean"}


# ---- the controls ----------------------------------------------------------------------------------------------------


def test_the_solution_passes(check, reference):
    code, report = check(reference)
    assert (code, report.verdict, report.score.points) == (0, "passed", 100)
    assert report.evidence.stored_bytes == "compared"
    (note,) = [note for task in report.tasks for note in task.notes]
    assert note == f"{len(VARIANTS)} of {len(VARIANTS)} planted kernels caught"


def test_the_starter_fails_and_is_accused_of_nothing(check, started):
    code, report = check(started)
    assert (code, report.verdict, report.score.points) == (1, "not passed", 0)
    assert all(task.status == "failed" for task in report.tasks)
    missed = [f for f in findings(report, "test-catches") if f.message.startswith("Your test lets a kernel pass")]
    assert len(missed) > len(VARIANTS) / 2
    for number, task in enumerate(("matmul", "log-softmax", "mean"), start=1):
        assert the_finding(report, task).message.startswith(f"TODO {number} is still open")
    assert all("TODO 4" in f.message for f in findings(report, "registered"))
    assert findings(report, "test-catches")[0].found == "TODO 5, 6, 7"


# ---- kernels that are not invariant, handed in -----------------------------------------------------------------------


@pytest.mark.parametrize("i", range(len(candidates(0))))
def test_planted_kernels_are_refused_for_their_bytes(check, submission, i):
    """The checker's own comparison, on the kernels that a student's test is tried on: caught there, and only there."""
    candidate = candidates(0)[i]
    _, registration = (submission / "kernels.py").read_text().split("# ---- behind PyTorch's own names")
    imports = "import warnings\nfrom collections.abc import Iterator\nfrom contextlib import contextmanager\n"
    imports += "from torch import Tensor\n"
    (submission / "kernels.py").write_text(f"{source(candidate)}\n{imports}\n#{registration}")
    asked = [option for op in OPS for option in ("--only", ROOT_OPS[op])]
    code, report = check(submission, *asked)
    assert code == 1
    for op in OPS:
        wrong = [f for f in findings(report, ROOT_OPS[op]) if "In the source" not in f.message]
        assert bool(wrong) == (candidate[op] is not None), (op, candidate[op], wrong)
        assert all(f.kind == "mismatch" for f in wrong)


def test_kernels_that_are_off_are_told_how_far(check, submission):
    rewrite(submission / "kernels.py", "tl.sum(total, 0) / D", "tl.sum(total, 0) / (D + 1)")
    code, report = check(submission, "--only", "mean")
    found = findings(report, "mean")
    assert code == 1
    assert all("farther from float64" in f.message and "Higham" in f.expected for f in found)
    assert found[0].where.startswith("mean h08 (float32, rows of ")
    assert ", within " in found[0].expected


def test_a_tail_that_is_not_masked_is_found(check, submission):
    tail = "mask=start + lanes < D, other="
    rewrite(submission / "kernels.py", f'{tail}float("-inf"))', f"{tail}0.0)", n=2)
    code, report = check(submission, "--only", "log-softmax")
    assert code == 1
    assert all("farther from float64" in f.message for f in findings(report, "log-softmax"))


def test_kernels_that_stop_with_an_error(check, submission):
    rewrite(submission / "kernels.py", "import warnings", "from warnings import warnings_of_nobody")
    code, report = check(submission, "--only", "matmul", "--only", "registered")
    assert code == 1
    for task in ("matmul", "registered"):
        found = the_finding(report, task)
        assert (found.kind, found.file) == ("replay", "kernels.py")
        assert "exit code 1" in found.message
    assert "warnings_of_nobody" in report.evidence.replayed[0].output_tail


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("[1 if d in gone else x.shape[d] for d in range(x.ndim)] if keepdim else ", "", "gave float32 (1,) inside"),
        (
            "y = torch.empty(rows.shape[0], dtype=x.dtype",
            "y = torch.empty(rows.shape[0], dtype=torch.float64",
            "float64",
        ),
    ],
)
def test_a_mean_of_another_shape_or_dtype_than_pytorchs(check, submission, old, new, found):
    rewrite(submission / "kernels.py", old, new)
    code, report = check(submission, "--only", "mean")
    fault = the_finding(report, "mean")
    assert (code, fault.kind, fault.file) == (1, "replay", "kernels.py")
    assert fault.found.startswith("torch.mean(")
    assert found in fault.found


def test_an_error_inside_a_kernel_is_placed_there(check, submission):
    rewrite(submission / "kernels.py", "acc = tl.dot(a_tile,", "acc = tl.dot(tile,")
    lines = (submission / "kernels.py").read_text().splitlines()
    (line,) = (i for i, text in enumerate(lines, start=1) if "tl.dot(tile," in text)
    _, report = check(submission, "--only", "matmul")
    fault = the_finding(report, "matmul")
    assert (fault.file, fault.where) == ("kernels.py", f"line {line}, in its run on hidden cases")
    assert "name 'tile' is not defined" in fault.found


def test_a_test_that_stops_is_told_once(check, submission):
    rewrite(submission / "invariance_test.py", "found = [result for", "found = [nothing for")
    _, report = check(submission, "--only", "test-catches")
    fault = the_finding(report, "test-catches")
    assert (fault.file, fault.found) == ("invariance_test.py", "NameError: name 'nothing' is not defined")
    assert sum(bool(run.output_tail) for run in report.evidence.replayed) == 1


# ---- kernels for show -----------------------------------------------------------------------------------------------


LAUNCH = "        mean_kernel[(rows.shape[0],)](rows, y, D, _block(D))\n"


@pytest.mark.parametrize(
    "then", [f"{LAUNCH}        y.copy_(total / D)\n", "        mean_kernel[(rows.shape[0],)](total / D, y, 1, 1)\n"]
)
def test_a_result_that_is_not_its_kernels(check, submission, then):
    """Additions one after the other, which no reading finds; written over what the kernel wrote, or copied by it."""
    own = "        total = rows[:, 0].float()\n        for k in range(1, D):\n            total = total + rows[:, k]\n"
    rewrite(submission / "kernels.py", LAUNCH, own + then)
    code, report = check(submission, "--only", "mean")
    found = findings(report, "mean")
    assert code == 1
    assert len(found) == 4  # the hidden cases of mean
    assert all(f.message.startswith("The launcher computes.") for f in found)
    assert all("as when everything can read the numbers" in f.expected for f in found)


def test_a_launcher_that_looks_at_its_numbers_is_an_honest_one(check, submission):
    rewrite(
        submission / "kernels.py", LAUNCH, f"{LAUNCH}        assert y.isfinite().all() or not rows.isfinite().all()\n"
    )
    rewrite(
        submission / "kernels.py", "    y = torch.empty(rows.shape[0],", "    y = torch.nan * torch.ones(rows.shape[0],"
    )
    code, _ = check(submission, "--only", "mean")
    assert code == 0


def test_nothing_beside_the_kernels_is_run(check, submission):
    """A numpy of one's own, and a helper: measure.py meets neither."""
    (submission / "numpy.py").write_text("raise SystemExit(0)\n")
    (submission / "notes.py").write_text("1 / 0\n")
    assert check(submission, "--only", "mean", "--only", "registered")[0] == 0
    rewrite(submission / "kernels.py", "import warnings", "import warnings\n\nimport notes")
    code, report = check(submission, "--only", "mean")
    fault = the_finding(report, "mean")
    assert (code, fault.kind, fault.found) == (1, "mismatch", "import notes")


# ---- registered() ----------------------------------------------------------------------------------------------------


def test_an_override_left_behind_by_an_exception_is_found(check, submission):
    made = 'torch.library.Library("aten", "IMPL")'
    rewrite(submission / "kernels.py", made, f"{made}\n    globals().setdefault('kept', []).append(library)")
    rewrite(submission / "kernels.py", "    finally:\n", "    except ZeroDivisionError:\n        pass\n    else:\n")
    code, report = check(submission, "--only", "registered")
    assert code == 1
    assert {f.where.split(" ", 1)[1] for f in findings(report, "registered")} >= {
        "after an exception inside registered()"
    }


def test_one_name_that_is_not_registered_is_named(check, submission):
    impl = '            library.impl("_log_softmax"'
    rewrite(submission / "kernels.py", impl, impl.replace("library", "# library"))
    code, report = check(submission, "--only", "registered", "--only", "log-softmax")
    assert code == 1
    assert the_finding(report, "registered").where == "torch.log_softmax inside registered()"
    assert "No kernel was launched" in findings(report, "log-softmax")[0].message


# ---- results.json ----------------------------------------------------------------------------------------------------


def claim_equal(document):
    for case in document["cases"]:
        case["differing"] = 0
    document["summary"].update(cases_equal=len(document["cases"]), rows_differing=0)


@pytest.mark.parametrize(("mended", "code", "kind"), [(False, 4, "integrity"), (True, 1, "mismatch")])
def test_a_claim_of_equal_rows_that_the_kernels_do_not_bear_out(check, started, tmp_path, mended, code, kind):
    submission = shutil.copytree(started, tmp_path / "forged")
    edit(submission / "results.json", claim_equal)
    edit(submission / "manifest.json", lambda d: d["results_summary"].update(cases_equal=9, rows_differing=0))
    found_code, report = check(submission, "--only", "results", mended=mended)
    assert found_code == code
    worse = [f for f in findings(report, "results") if f.where.endswith(".differing")]
    assert worse
    assert {f.kind for f in worse} == {kind}


def test_a_summary_that_flatters_its_cases(check, started, tmp_path):
    submission = shutil.copytree(started, tmp_path / "forged")
    edit(submission / "results.json", lambda d: d["summary"].update(rows_differing=0))
    code, report = check(submission, "--only", "results")
    assert code == 4
    assert "summary.rows_differing" in {f.where for f in findings(report, "results") if f.kind == "integrity"}


def test_a_digest_of_an_earlier_run_is_a_mistake(check, submission):
    edit(submission / "results.json", lambda d: d["cases"][1]["sha256"].__setitem__(2, FAKE))
    code, report = check(submission, "--only", "results")
    found = the_finding(report, "results")
    assert (code, found.kind, found.where, found.found) == (1, "mismatch", "cases[1].sha256[2]", FAKE)


def on_a_gpu(document):
    document["config"].update(device="cuda", device_name="Tesla T4", arithmetic=None)


OTHER = {
    "gpu": on_a_gpu,
    "triton": lambda d: d["versions"].update(triton="3.2.0"),
    "processor": lambda d: d["config"].update(arithmetic=FAKE),
}


@pytest.mark.parametrize("where", OTHER)
def test_bytes_made_on_something_else_are_counted_and_not_compared(check, submission, where):
    edit(submission / "manifest.json", OTHER[where])
    edit(submission / "results.json", lambda d: d["cases"][1]["sha256"].__setitem__(2, FAKE))
    if where == "gpu":
        edit(submission / "results.json", lambda d: d.update(device="cuda"))
    code, report = check(submission, "--only", "results", "--only", "manifest")
    assert (code, report.evidence.stored_bytes) == (0, "not compared")
    edit(submission / "results.json", lambda d: d["cases"][1].update(differing=3))
    code, report = check(submission, "--only", "results")
    assert code == 1
    assert "cases[1].differing" in {f.where for f in findings(report, "results")}


def test_cases_that_are_not_the_labs(check, submission):
    edit(submission / "results.json", lambda d: d["cases"][0].update(length=64))
    code, report = check(submission, "--only", "results")
    assert (code, the_finding(report, "results").where) == (1, "cases[0].length")


# ---- invariance_test.py ----------------------------------------------------------------------------------------------


def test_that_says(differing):
    """An invariance_test.py that runs nothing."""
    return f"""import hashlib, json, pathlib, sys
def option(name, default):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default
first = {{"company": "any", "length": 1, "place": 0, "column": 0, "alone": "0000", "together": "0001", "ulps": 1}}
ops = {{"comparisons": 10, "differing": {differing}, "first": first if {differing} else None}}
kernels = pathlib.Path(option("--kernels", "kernels.py")).read_bytes()
answer = {{"schema": "lab05.invariance/1", "kernels_sha256": hashlib.sha256(kernels).hexdigest(), "device": "cpu",
           "ops": dict.fromkeys(("matmul", "log_softmax", "mean"), ops)}}
pathlib.Path(option("--out", "."), "invariance.json").write_text(json.dumps(answer))
"""


test_that_says.__test__ = False


@pytest.mark.parametrize(("differing", "message"), [(0, "lets a kernel pass"), (1, "finds fault with a kernel")])
def test_a_test_that_says_the_same_of_every_kernel(check, submission, differing, message):
    (submission / "invariance_test.py").write_text(test_that_says(differing))
    code, report = check(submission, "--only", "test-catches", mended=True)
    about = [f for f in findings(report, "test-catches") if message in f.message]
    n = 6 * len(OPS) - len(VARIANTS)
    assert (code, len(about)) == (1, n if differing else len(VARIANTS))
    assert all(not any(v.name in f.message for v in VARIANTS) for f in about), "a behaviour is told, not a name"


def test_a_test_that_knows_what_is_planted_and_does_not_look(check, submission):
    differing = "bool(re.search(rf'^{op} = ', kernels.decode(), re.M))"
    text = test_that_says(1).replace("import hashlib", "import re, hashlib")
    ops = f"{{op: {{**ops, 'differing': {differing}, 'first': first if {differing} else None}}"
    names = '("matmul", "log_softmax", "mean")'
    wrong = text.replace(f"dict.fromkeys({names}, ops)", f"{ops} for op in {names}}}").replace("True", "1")
    assert wrong != text
    (submission / "invariance_test.py").write_text(wrong.replace("bool(", "int(bool(").replace("re.M))", "re.M)))"))
    code, report = check(submission, "--only", "test-catches", mended=True)
    about = [f for f in findings(report, "test-catches") if "has not seen it differ" in f.message]
    assert (code, len(about)) == (1, len(VARIANTS))
    assert {f.found for f in about} == {"0 calls, and no row that came out in two ways"}
    assert {f.kind for f in findings(report, "test-catches")} == {"mismatch"}


def test_invariance_json_of_other_kernels(check, submission):
    edit(submission / "invariance.json", lambda d: d.update(kernels_sha256=FAKE))
    code, report = check(submission, "--only", "test-catches")
    assert (code, the_finding(report, "test-catches").where) == (1, "kernels_sha256")


def test_a_claim_that_the_test_itself_does_not_make(check, submission):
    (submission / "invariance_test.py").write_text(test_that_says(1))
    edit(submission / "invariance.json", lambda d: d["ops"]["mean"].update(comparisons=10))
    code, report = check(submission, "--only", "test-catches")
    assert code == 4
    accused = [f for f in findings(report, "test-catches") if f.kind == "integrity"]
    assert {f.where for f in accused} == {f"ops.{op}.differing" for op in OPS}


# ---- writing ---------------------------------------------------------------------------------------------------------


def test_a_readme_that_leaves_things_out(check, submission):
    (submission / "README.md").write_text("word " * 130)
    code, report = check(submission, "--only", "writing")
    assert code == 1
    assert len(findings(report, "writing")) == 3
