"""Right, forged, broken and honestly wrong submissions of lab 03, each refused for its own reason."""

import shutil

import pytest

from checker.lab03 import cases
from tests.checker.submissions import FAKE, edit, findings, points, rewrite, the_finding

# ---- the controls ----------------------------------------------------------------------------------------------------


def test_the_solution_passes(check, reference):
    code, report = check(reference)
    assert (code, report.verdict, report.score.points) == (0, "passed", 100)


def test_the_starter_fails_and_is_accused_of_nothing(check, started):
    code, report = check(started)
    assert (code, report.verdict, report.score.points) == (1, "not passed", 0)
    assert {task.status for task in report.tasks} == {"failed", "not run"}
    said = " ".join(finding.message for task in report.tasks for finding in task.findings)
    for todo in (
        "TODO 1 to 4",
        "TODO 1, 2, 3 of costs.py",
        "TODO 5 of fit.py",
        "TODO 6 of fit.py",
        "TODO 8 of plot.py",
    ):
        assert todo in said


def test_nothing_but_code_is_told_what_is_missing(check, reference, tmp_path):
    for file in reference.glob("*.py"):
        shutil.copy(file, tmp_path)
    code, report = check(tmp_path)
    assert code == 1
    missing = {f.file: f.message for t in report.tasks for f in t.findings if f.kind == "missing"}
    assert set(missing) == {"results.json", "manifest.json", "analysis.json", "curves.png", "README.md"}
    assert "measure.py writes it" in missing["results.json"]
    assert "analyse.py writes it" in missing["curves.png"]
    assert points(report, "costs") == 25, "the formulas are right, whatever else is there"


# ---- costs.py and fit.py: test_mistakes.py has more ------------------------------------------------------------------


def test_a_mistake_is_told_and_costs_its_part(check, submission):
    rewrite(submission / "costs.py", '2 if c.activation == "swiglu" else 1', "1")
    code, report = check(submission, "--only", "costs", mended=True)
    found = findings(report, "costs")
    assert (code, points(report, "costs")) == (1, 15)
    assert [f.where.split(",")[0] for f in found] == ["flops", "weight_bytes"]
    assert all("SwiGLU is counted with one matrix" in f.message for f in found)


def test_a_generation_is_judged_once_its_passes_are_right(check, submission):
    rewrite(submission / "costs.py", "prompt + new - 1, size", "prompt + new, size")
    code, report = check(submission, "--only", "generation", mended=True)
    assert (code, points(report, "costs"), points(report, "generation")) == (1, 25, 8)
    assert "the last new token is counted" in the_finding(report, "generation").message


def test_a_fit_that_is_wrong_costs_its_part(check, submission):
    rewrite(submission / "fit.py", "samples[warmup:]", "samples")
    code, report = check(submission, "--only", "fit", mended=True)
    assert (code, points(report, "fit")) == (1, 10)
    assert "the warm-up are counted too" in the_finding(report, "fit").message


def test_formulas_that_stop_are_told_the_line(check, submission):
    rewrite(submission / "costs.py", "return c.dim * c.vocab_size", "return c.dim * c.vocabulary")
    lines = (submission / "costs.py").read_text().splitlines()
    (line,) = (i for i, text in enumerate(lines, start=1) if "c.vocabulary" in text)
    _, report = check(submission, "--only", "costs", mended=True)
    fault = the_finding(report, "costs")
    assert (fault.kind, fault.file) == ("replay", "costs.py")
    assert fault.where == f"line {line}, in its run on the lab's cases and hidden ones"
    assert "vocabulary" in fault.found


@pytest.mark.parametrize("file", ["costs.py", "fit.py", "plot.py"])
def test_code_that_is_not_there(check, submission, file):
    (submission / file).unlink()
    task = {"costs.py": "costs", "fit.py": "fit", "plot.py": "figure"}[file]
    code, report = check(submission, "--only", task)
    fault = the_finding(report, task)
    assert (code, fault.kind, fault.file) == (1, "missing", file)


# ---- results.json, manifest.json -------------------------------------------------------------------------------------


def first(document):
    return document["costs"]["steps"][0]


FORGED = {
    "a sample mended": (lambda d: d["points"][3]["samples_ns"].__setitem__(2, 0), "schema", "points[3].samples_ns[2]"),
    "a negative one": (lambda d: d["points"][3]["samples_ns"].__setitem__(2, -5), "schema", "points[3].samples_ns[2]"),
    "a sample less": (lambda d: d["points"][3]["samples_ns"].pop(), "mismatch", "points[3].samples_ns"),
    "a point less": (lambda d: d["points"].pop(3), "mismatch", "points[3]"),
    "the last point less": (lambda d: d["points"].pop(), "mismatch", "points"),
    "all equal": (lambda d: d["points"][3].update(samples_ns=[5000] * 6), "mismatch", "points[3].samples_ns"),
    "copied": (
        lambda d: d["points"][4].update(samples_ns=d["points"][3]["samples_ns"]),
        "mismatch",
        "points[4].samples_ns",
    ),
    "no warm-up": (lambda d: d.update(warmup=0), "mismatch", "warmup"),
    "another case": (lambda d: first(d).update(T=9), "mismatch", "costs.steps[0].T"),
    "another shape": (lambda d: first(d)["shape"].update(n_layers=5), "mismatch", "costs.steps[0].shape"),
    "a case less": (lambda d: d["costs"]["generations"].pop(), "mismatch", "costs.generations"),
    "another count": (lambda d: first(d)["counted"].update(flops=7), "mismatch", "costs.steps[0].counted.flops"),
    "another summary": (lambda d: d["summary"].update(samples=7), "mismatch", "summary.samples"),
    "a number of before": (lambda d: first(d)["formula"].update(flops=7), "mismatch", "costs.steps[0].formula.flops"),
}


@pytest.mark.parametrize("how", FORGED)
def test_a_results_json_that_measure_did_not_write(check, submission, how):
    change, kind, where = FORGED[how]
    edit(submission / "results.json", change)
    code, report = check(submission, "--only", "results")
    found = [(f.kind, f.where) for f in findings(report, "results")]
    assert code == 1, "nobody is accused"
    assert (kind, where) in found


ODD = {
    "a series less": lambda d: d.update(points=[p for p in d["points"] if p["cache"]]),
    "all for warming up": lambda d: d.update(warmup=1000),
    "one point, again and again": lambda d: d.update(points=[d["points"][0]] * 24),
    "absurd times": lambda d: d["points"][0].update(samples_ns=[10**19] * 5 + [1]),
}


@pytest.mark.parametrize("how", ODD)
def test_odd_results_are_refused_and_the_rest_is_judged_all_the_same(check, submission, how):
    edit(submission / "results.json", ODD[how])
    code, report = check(submission)
    assert code == 1
    assert findings(report, "results") or how == "absurd times"
    assert findings(report, "analysis")
    assert points(report, "costs") == 25


def test_times_of_another_machine_are_nobodys_business(check, submission, analysed):
    def slower(document):
        for point in document["points"]:
            point["samples_ns"] = [7 * sample + i for i, sample in enumerate(point["samples_ns"])]

    edit(submission / "results.json", slower)
    edit(submission / "manifest.json", lambda d: d["config"].update(seconds=7 * d["config"]["seconds"] + 1))
    analysed(submission)
    code, report = check(submission)
    assert (code, report.score.points) == (0, 100)


@pytest.mark.parametrize(("mended", "code", "kind"), [(False, 4, "integrity"), (True, 1, "mismatch")])
def test_numbers_that_costs_py_does_not_give(check, submission, mended, code, kind):
    """The right ones, in a file that was written after the code which gives others."""
    rewrite(submission / "costs.py", "return products + 4 *", "return products + 2 *")
    found_code, report = check(submission, "--only", "results", mended=mended)
    found = findings(report, "results")
    assert found_code == code
    assert {f.kind for f in found} == {kind}
    assert all(f.where.endswith(".formula.flops") for f in found)


def test_a_summary_that_flatters_what_costs_py_gives(check, started, tmp_path):
    submission = shutil.copytree(started, tmp_path / "forged")
    edit(submission / "results.json", lambda d: d["summary"].update(values_equal=51))
    edit(submission / "manifest.json", lambda d: d["results_summary"].update(values_equal=51))
    code, report = check(submission, "--only", "results", "--only", "manifest")
    assert code == 4
    assert {f.where for f in findings(report, "results") if f.kind == "integrity"} == {"summary.values_equal"}
    assert {f.where for f in findings(report, "manifest")} == {"results_summary.values_equal"}


MANIFESTS = {
    "other repeats": (lambda d: d["config"].update(repeats=3), "config.repeats"),
    "two threads": (lambda d: d["config"].update(threads=2), "config.threads"),
    "other counts": (lambda d: d["results_summary"].update(points=7), "results_summary.points"),
    "faster than its samples": (lambda d: d["config"].update(seconds=0.001), "config.seconds"),
    "no day": (lambda d: d.update(date="2026-02-30"), "date"),
}


@pytest.mark.parametrize("how", MANIFESTS)
def test_a_manifest_of_something_else(check, submission, how):
    change, where = MANIFESTS[how]
    edit(submission / "manifest.json", change)
    code, report = check(submission, "--only", "manifest")
    assert (code, the_finding(report, "manifest").where) == (1, where)


# ---- fit.py, analysis.json -------------------------------------------------------------------------------------------


def test_a_range_of_ones_own_is_fine(check, submission, analysed):
    rewrite(submission / "fit.py", '"length": (256, 4096), "batch": (1, 16)', '"length": (100, 2500), "batch": (2, 8)')
    analysed(submission)
    code, report = check(submission, "--only", "analysis", "--only", "prediction")
    assert (code, report.score.points) == (0, 15 + 5 + 25 + 10)


def test_a_range_of_two_points(check, submission, analysed):
    rewrite(submission / "fit.py", '"batch": (1, 16)', '"batch": (1, 2)')
    analysed(submission)
    code, report = check(submission, "--only", "analysis")
    assert code == 1
    assert {f.where for f in findings(report, "analysis")} == {"fits[2].low", "fits[3].low"}


ANALYSES = {
    "another exponent": (lambda d: d["fits"][1].update(exponent=1.5), "fits[1].exponent"),
    "rounded": (lambda d: d["fits"][1].update(exponent=round(d["fits"][1]["exponent"], 3)), "fits[1].exponent"),
    "another prefactor": (lambda d: d["fits"][1].update(prefactor_ns=1.5), "fits[1].prefactor_ns"),
    "no exponent": (lambda d: d["fits"][1].update(exponent=None), "fits[1].exponent"),
    "another range": (lambda d: d["fits"][1].update(low=64), "fits[1].exponent"),
    "another median": (lambda d: d["fits"][0]["medians_ns"].__setitem__(2, 5.0), "fits[0].medians_ns[2]"),
    "a median less": (lambda d: d["fits"][0]["medians_ns"].pop(), "fits[0].medians_ns"),
    "of other results": (lambda d: d.update(results_sha256=FAKE), "results_sha256"),
    "a fit less": (lambda d: d["fits"].pop(), "fits"),
}


@pytest.mark.parametrize("how", ANALYSES)
def test_an_analysis_that_is_not_of_its_samples(check, submission, how):
    change, where = ANALYSES[how]
    edit(submission / "analysis.json", change)
    code, report = check(submission, "--only", "analysis")
    assert code == 1, "nobody is accused"
    assert where in {f.where for f in findings(report, "analysis")}


def test_samples_that_were_mended_after_the_analysis(check, submission):
    edit(submission / "results.json", lambda d: d["points"][3]["samples_ns"].__setitem__(2, 123_456))
    code, report = check(submission, "--only", "analysis")
    assert (code, the_finding(report, "analysis").where) == (1, "results_sha256")


# ---- plot.py, curves.png ---------------------------------------------------------------------------------------------


def test_a_figure_of_ones_own_results_only(check, submission):
    """The x are written down: right for these results, and for no others."""
    mine = f"{list(cases.LENGTHS)} if letter == 'n' else {list(cases.BATCHES)}"
    typed = f"x = ({mine})[:len(points)] + list(range(5000, 5020))\n            x = x[:len(points)]"
    rewrite(submission / "plot.py", "x = [p[letter] for p in points]", typed)
    code, report = check(submission, "--only", "figure")
    found = findings(report, "figure")
    assert code == 1
    assert found
    assert all(f.where.startswith("hidden results") for f in found)
    assert points(report, "figure") == 0


def test_a_rule_that_is_broken_costs_a_part(check, submission):
    rewrite(submission / "plot.py", '        axes.set_yscale("log")\n', "")
    code, report = check(submission, "--only", "figure")
    fault = the_finding(report, "figure")
    assert (code, points(report, "figure")) == (1, 15 * 6 // 7)
    assert fault.where == 'your results, length, "with a cache", y'


def test_a_picture_that_is_none(check, submission):
    (submission / "curves.png").write_bytes(b"GIF89a" + b"\0" * 100)
    code, report = check(submission, "--only", "figure")
    assert (code, the_finding(report, "figure").kind) == (1, "malformed")


def test_a_picture_for_ants(check, submission):
    data = bytearray((submission / "curves.png").read_bytes())
    data[16:20] = (60).to_bytes(4, "big")
    (submission / "curves.png").write_bytes(data)
    code, report = check(submission, "--only", "figure")
    assert (code, the_finding(report, "figure").found) == (1, "60 pixels")


# ---- prediction.json -------------------------------------------------------------------------------------------------

PREDICTIONS = {
    "GB": (lambda d: d["large"].update(cache_gib=4.294967296), "large.cache_gib", "it is in GB, of 10^9 bytes"),
    "GB, rounded": (lambda d: d["large"].update(cache_gib=4.29), "large.cache_gib", "it is in GB, of 10^9 bytes"),
    "a slot more": (
        lambda d: d["large"].update(kv_bytes_read=4294967296 + 131072),
        "large.kv_bytes_read",
        "32,768 slots are held before",
    ),
    "float32": (lambda d: d["large"].update(cache_bytes=2 * 4294967296), "large.cache_bytes", "in bfloat16 it has 2"),
    "no head": (
        lambda d: d["large"].update(flops=32189186048 - 2 * 4096 * 128256),
        "large.flops",
        "the head is left out",
    ),
    "MiniGPT": (lambda d: d["large"].update(weight_bytes=2727424 // 2), "large.weight_bytes", "it is of MiniGPT"),
    "about": (lambda d: d["large"].update(flops=32_000_000_000), "large.flops", ""),
    "nanoseconds": (
        lambda d: d["seconds"]["cached"].update(by_fit=d["seconds"]["cached"]["by_fit"] * 1e9),
        "seconds.cached.by_fit",
        "it is in nanoseconds",
    ),
    "swapped": (
        lambda d: d["seconds"]["cached"].update(d["seconds"]["uncached"]),
        "seconds.cached.by_fit",
        "are swapped",
    ),
    "the two ways": (
        lambda d: d["seconds"]["cached"].update(by_flops=d["seconds"]["cached"]["by_fit"]),
        "seconds.cached.by_flops",
        "by_fit and by_flops are swapped",
    ),
    "typed": (lambda d: d["seconds"]["uncached"].update(by_flops=60), "seconds.uncached.by_flops", ""),
    "none": (lambda d: d["seconds"]["uncached"].update(by_flops=None), "seconds.uncached.by_flops", ""),
}


@pytest.mark.parametrize("how", PREDICTIONS)
def test_a_prediction_that_does_not_follow(check, submission, how):
    change, where, words = PREDICTIONS[how]
    edit(submission / "prediction.json", change)
    code, report = check(submission, "--only", "prediction")
    found = {f.where: f for f in findings(report, "prediction")}
    assert code == 1
    assert words in found[where].message
    assert points(report, "prediction") == 10 * (9 - len(found)) // 9
    if not words:
        assert "It is exactly" not in found[where].message


def test_a_prediction_with_two_decimals_of_a_gib(check, submission):
    edit(submission / "prediction.json", lambda d: d["large"].update(cache_gib=4))
    assert check(submission, "--only", "prediction")[0] == 0


# ---- README.md -------------------------------------------------------------------------------------------------------


def test_a_readme_that_leaves_things_out(check, submission):
    (submission / "README.md").write_text("word " * 130)
    code, report = check(submission, "--only", "writing")
    assert code == 1
    assert len(findings(report, "writing")) == 3


def test_a_readme_in_spanish(check, submission):
    (submission / "README.md").write_text(
        "El exponente fue 0,2 con caché. A 32 768 posiciones cuesta 8 ms; la predicción falla en otra máquina. "
        + "palabra " * 120
    )
    assert check(submission, "--only", "writing")[0] == 0
