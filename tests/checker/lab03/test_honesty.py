"""Honest figures pass, whatever their taste; and each way to draw a lie, or a riddle, is told what it is."""

import importlib.util
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from checker.lab03 import drawn, hidden
from checker.lab03.honesty import RULES, judged, unit_of
from checker.lab03.schemas import Figure, Scale
from checker.publish import ROOT

SOLUTION = ROOT / "labs/03/solution"
PLOT = (SOLUTION / "plot.py").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def off_screen():
    before = mpl.get_backend()
    mpl.use("agg")
    yield
    plt.close("all")
    mpl.use(before)


@pytest.fixture
def judge(monkeypatch):
    """judge(changes, seed) -> (series that are not shown, rules that are broken) of the solution's plot.py, changed."""
    spec = importlib.util.spec_from_file_location("fit", SOLUTION / "fit.py")
    fit = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fit)
    monkeypatch.setitem(sys.modules, "fit", fit)

    def judge(*changes, seed=7, which=0):
        source = PLOT
        for old, new in changes:
            assert source.count(old) >= 1, old
            source = source.replace(old, new)
        points = hidden.results(seed)[which]
        results = {"warmup": hidden.WARMUP, "points": [point.model_dump() for point in points]}
        module = {}
        exec(compile(source, "plot.py", "exec"), module)
        data = drawn.figure_as_data(module["draw"](results))
        return judged(Figure.model_validate(data), points, hidden.WARMUP, "here")

    return judge


MS, LEGEND = "/ 1e6", "axes.legend()"
LINE = "axes.plot(x, [median("
LAST = "    return figure"

NAMES = ('"label": "with a cache", ', ""), ('"label": "without", ', "")
SHARED = 'figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center")'
SAMPLES = 'axes.plot(x, [max(p["samples_ns"][2:]) / 1e6 for p in points], "k.", label="slowest")'
BESIDE = "[axes.text(l.get_xdata()[-1], l.get_ydata()[-1], l.get_label()) for l in axes.lines]"

HONEST = {
    "as it is": [],
    "in microseconds": [(MS, "/ 1e3"), ("(ms)", "[µs]")],
    "in seconds, in full": [(MS, "/ 1e9"), ("time of one step (ms)", "seconds a step")],
    "in nanoseconds": [(MS, "* 1"), ("(ms)", "in ns")],
    "in TeX": [(MS, "/ 1e3"), ("(ms)", r"($\\mu$s)")],
    "in Spanish": [
        ("with a cache", "con caché"),
        ('"without"', '"sin caché"'),
        ("length (tokens)", "longitud"),
        ("batch (sequences)", "tamaño del lote"),
        ("time of one step (ms)", "milisegundos por paso"),
    ],
    "points and no line": [('"linestyle": "-"', '"linestyle": ""'), ('"linestyle": "--"', '"linestyle": "None"')],
    "told apart by markers only": [('"linestyle": "--"', '"linestyle": "-"')],
    "told apart by dashes only": [('"marker": "s"', '"marker": "o"')],
    "one legend for the figure": [(LEGEND, "pass"), (LAST, f"    {SHARED}\n{LAST}")],
    "names given to the legend": [*NAMES, (LEGEND, 'axes.legend(axes.lines, ["with a cache", "without a cache"])')],
    "names written beside the lines": [(LEGEND, BESIDE)],
    "error bars": [(LINE, "axes.errorbar(x, yerr=0.001, capsize=3, y=[median(")],
    "scatter": [(LINE, "axes.scatter(x, [median("), (', "linestyle": "--"}', "}"), (', "linestyle": "-"}', "}")],
    "hollow markers": [('"marker": "s"', '"marker": "s", "markerfacecolor": "none"')],
    "one panel below the other": [("plt.subplots(1, 2", "plt.subplots(2, 1"), ("sharey=True, ", "")],
    "a guide with a name": [(LEGEND, f'axes.axhline(1, color="grey", label="1 ms"); {LEGEND}')],
    "all samples, named": [(LEGEND, f"{SAMPLES}; {LEGEND}")],
}


@pytest.mark.parametrize("how", HONEST)
def test_what_is_honest_passes(judge, how):
    for which in (0, 1):
        assert judge(*HONEST[how], which=which) == ([], {})


UNSORTED = ("            points.sort(key=lambda p: p[letter])\n", "")
BROKEN = {
    "marked": {
        "no markers": [('"marker": "o", ', ""), ('"marker": "s", ', "")],
        "a marker now and then": [('"marker": "s"', '"marker": "s", "markevery": 2')],
        "not in order": [UNSORTED],
        "hidden": [('"marker": "s"', '"marker": "s", "visible": False')],
        "all but transparent": [('"marker": "s"', '"marker": "s", "alpha": 0.01')],
        "white on white": [('"color": "#D55E00"', '"color": "white"')],
    },
    "together": {"twin axes": [("axes.plot(x", "(axes if cache else axes.twinx()).plot(x")]},
    "scales": {
        "linear": [('        axes.set_yscale("log")\n', "")],
        "linear, from zero": [('axes.set_yscale("log")', "axes.set_ylim(bottom=0)")],
        "x linear": [('axes.set_xscale("log", base=2)', "pass")],
        "something else": [('axes.set_yscale("log")', 'axes.set_yscale("symlog")')],
    },
    "limits": {
        "y cut": [(LEGEND, "axes.set_ylim(top=axes.lines[0].get_ydata()[-1] * 0.9); axes.legend()")],
        "x cut": [(LEGEND, "axes.set_xlim(right=x[-1] * 0.9); axes.legend()")],
        "upside down": [(LEGEND, "axes.invert_xaxis(); axes.legend()")],
    },
    "labelled": {
        "no unit": [("time of one step (ms)", "time of one step")],
        "another unit": [("(ms)", "(s)")],
        "no x": [("axes.set_xlabel(name)", "pass")],
        "x says nothing": [("length (tokens)", "x")],
    },
    "named": {
        "no legend": [(LEGEND, "pass")],
        "no names": [('"label": "with a cache", ', ""), ('"label": "without", ', ""), (LEGEND, "pass")],
        "mixed up": [('"with a cache"', '"X"'), ('"without"', '"with a cache"'), ('"X"', '"without a cache"')],
        "A and B": [('"with a cache"', '"A"'), ('"without"', '"B"')],
        "one line more": [(LEGEND, 'axes.axhline(1, color="grey"); axes.legend()')],
    },
    "told apart": {"by colour only": [('"marker": "s", "linestyle": "--"', '"marker": "o", "linestyle": "-"')]},
}  # fmt: skip
CASES = [(rule, how) for rule, ways in BROKEN.items() for how in ways]


def test_every_rule_has_a_figure_that_breaks_it():
    assert list(BROKEN) == list(RULES)


@pytest.mark.parametrize(("rule", "how"), CASES)
def test_a_broken_rule_is_found_alone(judge, rule, how):
    missing, broken = judge(*BROKEN[rule][how])
    assert missing == []
    assert list(broken) == [rule] or (how == "twin axes" and rule in broken), "a twin has scales of its own"
    assert (broken[rule].kind, broken[rule].file) == ("mismatch", "plot.py")


def test_a_linear_scale_that_is_cut_is_told_so_too(judge):
    _, whole = judge(*BROKEN["scales"]["linear, from zero"])
    _, cut = judge(('axes.set_yscale("log")', "axes.set_ylim(bottom=axes.get_ylim()[1] / 1000)"))
    assert "And it is cut" not in whole["scales"].message
    assert "And it is cut" in cut["scales"].message


def test_mixed_up_names_are_called_that(judge):
    assert "mixed up" in judge(*BROKEN["named"]["mixed up"])[1]["named"].message


def test_a_unit_that_is_not_drawn_is_told(judge):
    fault = judge(*BROKEN["labelled"]["another unit"])[1]["labelled"]
    assert (fault.expected, fault.found) == ("ms", '"time of one step (s)"')


# ---- points ----------------------------------------------------------------------------------------------------------

MEDIAN = 'median(p["samples_ns"], results["warmup"])'
EACH = "for p in points], **look"
CHANGED = {
    "a point dropped": ([("(x, [median", "(x[:-1], [median"), (EACH, "for p in points[:-1]], **look")], "left out"),
    "a point mended": ([(MS, f"{MS} * (0.9 if p is points[1] else 1)")], "drawn where it was not measured"),
    "a point invented": (
        [("(x, [median", "([*x, x[-1] + 1], [*[median"), (EACH, "for p in points], 1.0], **look")],
        "were not measured",
    ),
    "another x": ([("axes.plot(x, ", "axes.plot([a + 1 for a in x], ")], "not drawn as it was measured"),
    "with the warm-up": ([(MEDIAN, 'median(p["samples_ns"], 0)')], "the warm-up are counted too"),
    "the fastest": ([(MEDIAN, 'min(p["samples_ns"][2:])')], "it is the smallest sample"),
    "the mean": ([(MEDIAN, 'sum(p["samples_ns"][2:]) / 5')], "it is the mean"),
    "logarithms": (
        [(f"{MEDIAN} {MS}", f"math.log10({MEDIAN} {MS})"), ("def draw", "import math\n\n\ndef draw")],
        "logarithms are drawn",
    ),
    "a gap": ([(MS, f"{MS} * (float('nan') if p is points[2] else 1)")], "left out"),
}


@pytest.mark.parametrize("how", CHANGED)
def test_a_point_that_is_not_as_it_was_measured(judge, how):
    changes, words = CHANGED[how]
    missing, _ = judge(*changes)
    assert len(missing) == 4
    assert all(words in fault.message for fault in missing)
    assert {fault.file for fault in missing} == {"plot.py"}


def test_where_a_point_was_mended_is_said_with_both_numbers(judge):
    missing, _ = judge(*CHANGED["a point mended"][0])
    points = [p for p in hidden.results(7)[0] if (p.sweep, p.cache) == ("length", True)]
    second = sorted(points, key=lambda p: p.n)[1]
    right = sorted(second.samples_ns[hidden.WARMUP :])[2]
    assert missing[0].where == f'here, length, with a cache, "with a cache", x = {second.n}'
    assert missing[0].expected == f"{float(right)!r} ns, the median of its samples"
    assert float(missing[0].found.split()[0]) == pytest.approx(0.9 * right)


def test_a_picture_of_other_results_is_no_drawing(judge):
    others = [p.model_dump() for p in hidden.results(99)[0]]
    missing, _ = judge(
        ("def draw(results: dict)", f"OTHERS = {others!r}\n\n\ndef draw(results: dict)"),
        ('results["points"]', "OTHERS"),
    )
    assert len(missing) == 4


def test_an_empty_figure(judge):
    missing, broken = judge(("axes.plot(x, [median", "str([median"), (", **look)", ")"), (LEGEND, "pass"))
    assert [fault.found for fault in missing] == ["none"]
    assert "TODO 8" in missing[0].message
    assert broken == {}


# ---- units -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "unit"),
    [
        ("time (s)", "s"), ("time of a step, ms", "ms"), ("t [µs]", "µs"), ("t / us", "us"), ("Milliseconds", "ms"),
        ("tiempo (ms)", "ms"), ("a step's time", None), ("the model's time in ns", "ns"), ("time", None), ("", None),
        ("segundos", "s"), ("steps", None), (r"$\mu$s", "µs"),
    ],
)  # fmt: skip
def test_units(label, unit):
    found = unit_of(Scale(scale="log", limits=[1.0, 2.0], label=label))
    assert found == unit
