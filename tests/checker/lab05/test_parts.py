"""Lab 05 piece by piece: its spec, its cases and bounds, what it reads in kernels.py, its planted kernels."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from checker import cli
from checker.lab05 import TASKS, accuracy, cases, inputs, interpreter, stored, work
from checker.lab05.reading import read_kernels, read_reaches
from checker.lab05.rows import nearness, sameness, sealing
from checker.lab05.schemas import Calls
from checker.lab05.sealed import Seals
from checker.lab05.variants import OPS, VARIANTS, candidates, recorded, source
from checker.publish import COPIED, ROOT
from checker.spec import load_lab
from courselib import bits

LAB = ROOT / "labs" / "05"
HIDDEN = cases.hidden_cases(7)


def test_the_lab_is_sound():
    lab = load_lab(LAB)
    assert all(len(task.hints) == 3 for task in lab.tasks)
    assert list(TASKS) == [task.id for task in lab.tasks]
    assert stored.CASE_SEED == inputs.CASE_SEED
    brief = (LAB / "README.md").read_text(encoding="utf-8")
    for artifact in lab.artifacts:
        assert f"`{artifact.path}`" in brief, artifact.path


@pytest.mark.parametrize("path", COPIED)
def test_what_students_run_is_what_the_checker_runs(path):
    assert (ROOT / path).read_bytes() == (ROOT / COPIED[path]).read_bytes(), f"{path}: python -m checker.publish"


def test_without_triton_one_line_says_so(monkeypatch, capsys, tmp_path):
    (tmp_path / "kernels.py").write_text("")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(work, "find_spec", lambda name: None)
    assert cli.main(["labs/05", "--submission", str(tmp_path)]) == cli.USAGE
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "Triton" in err
    assert "Colab" in err


# ---- cases and bounds ------------------------------------------------------------------------------------------------


def test_hidden_cases_follow_from_their_seed():
    assert cases.hidden_cases(7) == HIDDEN
    assert cases.hidden_cases(8) != HIDDEN
    assert {ask.op for ask in HIDDEN} == set(OPS)
    for op in OPS:
        mine = [ask for ask in HIDDEN if ask.op == op]
        assert {ask.dtype for ask in mine} == {"float32", "float16"}
        assert any(ask.strided for ask in mine)
        assert any(ask.length % 16 for ask in mine)
    assert {len(call) for call in HIDDEN[0].calls} >= {1, 2, 5, 17, 33}


def test_every_number_is_exact_and_of_many_sizes():
    for dtype, digits in (("float32", 24), ("float16", 11)):
        x = inputs.numbers(3, (50, 50), dtype)
        assert x.dtype == dtype
        assert np.abs(x).max() <= 4
        assert (np.ldexp(x.astype(np.float64), digits + 4) % 1 == 0).all()
        assert len(set(np.frexp(x)[1].ravel())) > 6


@pytest.mark.parametrize("ask", HIDDEN, ids=lambda ask: f"{ask.id}-{ask.op}-{ask.dtype}")
def test_the_bounds_let_honest_rounding_pass_and_a_wrong_answer_not(ask):
    """Sums in three orders, in float32, rounded once to the dtype: what any right kernel may give."""
    case, truth = ask.model_dump(), accuracy.truth(ask)
    x, w = (None if a is None else a.astype(np.float32) for a in inputs.inputs(case))
    top = x.max(axis=1, keepdims=True)
    order = np.random.default_rng(0).permutation(ask.length)
    for some in (np.arange(ask.length), np.arange(ask.length)[::-1], order):
        whole = {"matmul": x, "mean": x, "log_softmax": np.exp(x - top)}[ask.op]
        total = np.zeros_like(x[:, :1] if w is None else x[:, :1] * w[:1])
        for k in some:
            total = total + (whole[:, k, None] if w is None else whole[:, k, None] * w[None, k])
        if ask.op == "mean":
            total = total / np.float32(ask.length)
        rows = (x - top - np.log(total) if ask.op == "log_softmax" else total).astype(ask.dtype)
        outputs = [inputs.stacked(rows, call) for call in ask.calls]
        assert list(nearness(ask, truth, outputs)) == []
        assert sameness(ask, outputs)[1] is None
        off = [(o + np.abs(o) * 0.01 + 0.01).astype(ask.dtype) for o in outputs]
        assert len(list(nearness(ask, truth, off))) == 1
        lost = [np.nan_to_num(o, nan=1.0) for o in outputs]
        (found,) = nearness(ask, truth, lost)
        assert "A NaN was lost" in found.message


def test_one_bit_is_found_and_named():
    ask = next(a for a in HIDDEN if a.op == "matmul" and a.dtype == "float32")
    rows = np.ones((ask.rows, ask.columns), np.float32)
    outputs = [inputs.stacked(rows, call) for call in ask.calls]
    compared, found = sameness(ask, outputs)
    assert (compared, found) == (83, None)
    place = ask.calls[6].index(ask.calls[0][0])  # among 5 rows, the one that came first of all
    outputs[6][place].view(np.uint32)[5] += 1
    _, found = sameness(ask, outputs)
    assert f"row {ask.calls[0][0]} of the case, column 5: call 0 (alone)" in found.where
    assert f"call 6 (place {place} of 5)" in found.where
    assert (found.expected, found.found) == (
        "0x3f800000 (1.0)",
        "0x3f800001 (1.0000001192092896), 1 ULP apart; 1 of 83 rows that came again differ",
    )


def test_the_bytes_of_sealed_numbers():
    ask = next(a for a in HIDDEN if a.op == "mean")
    outputs = [np.full((len(call), 1), 0.5, np.float32) for call in ask.calls]
    sealed = outputs[inputs.SEALED_CALL].copy()
    assert len(sealed) == 17
    assert sealing(ask, outputs, sealed) is None
    sealed[3] = 1.25
    found = sealing(ask, outputs, sealed)
    assert (found.kind, found.where.endswith("call 7 of 17 rows: row 3, column 0")) == ("mismatch", True)
    assert "0x3f000000 (0.5)" in found.expected
    assert found.found == "0x3fa00000 (1.25)"


# ---- sealed numbers --------------------------------------------------------------------------------------------------

ODD = [0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, np.nan, 6e-8]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_is_sealed_opens_to_the_same_bytes_and_says_nothing(dtype):
    seals = Seals(dtype)
    x = np.concatenate([inputs.numbers(1, (20, 9), dtype), np.array([ODD, ODD[::-1]], dtype).repeat(9).reshape(-1, 9)])
    a, b = seals.seal(x), seals.seal(x)
    assert a.dtype == dtype
    numbers = np.isfinite(x) & (x != 0)
    one_after_the_other = np.concatenate([a[numbers], b[numbers]]).astype(np.float64)
    assert (np.diff(one_after_the_other) > 0).all()  # whatever the numbers are, equal ones too
    assert bits.equal(a[~numbers], x[~numbers])
    assert bits.equal(seals.open(a), x)
    assert bits.equal(seals.open(b[::-1].T), x[::-1].T)


def test_stand_ins_go_through_conversions():
    for dtype, on_the_way in (("float16", "float32"), ("float16", "float64"), ("float32", "float64")):
        seals, x = Seals(dtype), inputs.numbers(2, (30, 40), dtype)
        there_and_back = seals.seal(x).astype(on_the_way)
        assert bits.equal(seals.open(there_and_back), x.astype(on_the_way))
        assert bits.equal(seals.open(there_and_back.astype(dtype)), x)
    seals, x = Seals("float16"), np.array([0.1, 1 / 3, -2049.0], np.float32)  # a result that its launcher rounds
    assert bits.equal(seals.open(seals.seal(x).astype(np.float16)), x.astype(np.float16))


def test_a_kernel_reads_the_numbers_and_its_caller_does_not():
    seals, x = Seals("float32"), inputs.numbers(3, (4, 6), "float32")
    sealed = torch.from_numpy(seals.seal(x))
    out = torch.full((9,), 1.0)
    seen = []

    def run(rows, columns, y, *, scale):
        seen.append(rows.clone())
        seals.launch(lambda inner: seen.append(inner.clone()), columns)  # wrapped: it is open already
        y.copy_(columns.sum(1) * scale)

    seals.launch(run, sealed, sealed.t()[1:4], out[2:8:2], scale=2.0)
    right = (torch.from_numpy(x).t()[1:4].sum(1) * 2).numpy()
    assert bits.equal(seen[0], x)
    assert bits.equal(seen[1], x.T[1:4])
    assert bits.equal(seals.open(sealed.numpy()), x)
    assert not np.isin(out[2:8:2].numpy(), right).any()
    assert bits.equal(seals.open(out.numpy())[2:8:2], right)
    assert (out.numpy()[[0, 1, 3, 5, 7, 8]] == 1).all()  # what nobody wrote is what it was
    # the control: without a kernel, the same sum is another
    assert not np.isin(seals.open((sealed.t()[1:4].sum(1) * 2).numpy()), right).any()


def test_an_error_in_a_kernel_leaves_the_numbers_sealed():
    seals, x = Seals("float32"), inputs.numbers(3, (4, 6), "float32")
    sealed = torch.from_numpy(seals.seal(x))
    before = sealed.clone()
    with pytest.raises(ZeroDivisionError):
        seals.launch(lambda rows: 1 / 0, sealed)
    assert bits.equal(sealed, before)
    assert not seals.within


def test_stand_ins_run_out_with_a_word():
    seals = Seals("float16")
    seals.seal(np.ones(30_000, np.float16))
    with pytest.raises(ValueError, match="no stand-ins are left"):
        seals.seal(np.ones(1_000, np.float16))


# ---- the interpreter's dot -------------------------------------------------------------------------------------------


def test_equal_rows_of_a_tile_have_equal_dots(monkeypatch):
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    monkeypatch.setattr(InterpreterBuilder, "create_dot", InterpreterBuilder.create_dot)  # and back again
    interpreter.ordered_dot()
    row, b = inputs.numbers(1, (1, 64), "float32"), inputs.numbers(2, (64, 32), "float32")
    acc = inputs.numbers(3, (1, 32), "float32")
    handles = [TensorHandle(x, tl.float32) for x in (np.repeat(row, 16, 0), b, np.repeat(acc, 16, 0))]
    y = InterpreterBuilder.create_dot(None, *handles, None, None).data
    by_hand = np.zeros(32, np.float32)
    for k in range(64):
        by_hand = by_hand + row[0, k] * b[k]
    assert {line.tobytes() for line in y} == {(by_hand + acc[0]).tobytes()}


# ---- kernels.py, read ------------------------------------------------------------------------------------------------

GOOD = """
import triton
@triton.jit(do_not_specialize=["M"])
def kernel(x):
    tl.sum(x)
def helper(x):
    kernel[(1,)](x)
def mean(x, dim, keepdim=False):
    helper(x)
def demonstration(x):
    return x.mean()
"""


def test_a_launch_through_a_helper_is_seen_and_what_is_not_called_is_not_read():
    assert list(read_kernels(GOOD, "mean")) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("    kernel[(1,)](x)", "    return x.sum()", "x.sum"),
        ("    kernel[(1,)](x)", "    kernel[(1,)](x)\n    return x @ x", "@"),
        ("    helper(x)", "    helper(x)\n    return torch.einsum('ij->i', x)", "torch.einsum"),
        ("    kernel[(1,)](x)", "    print(x)", "no such launch"),
        ("def mean(", "def average(", "no function of that name"),
    ],
)
def test_work_left_to_pytorch_is_read(old, new, found):
    assert old in GOOD
    assert found in [f.found for f in read_kernels(GOOD.replace(old, new, 1), "mean")]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("x @= x", "@="),
        ("y = torch.ops.aten.sum.dim_IntList(x, [1])", "torch.ops.aten.sum"),
        ("y = getattr(x, 'sum')(1)", "getattr(x, 'sum')"),
        ("y = torch.nn.functional.linear", "torch.nn.functional.linear"),
        ("y = x.__matmul__(x)", "x.__matmul__"),
        ("y = together(x)", "torch.mean"),
        ("y = apart(x)", "x.sum"),
        ("y = Away.of(x)", "x.norm"),
        ("y = x.numpy()", "x.numpy"),
    ],
)
def test_ways_around_the_reading_are_read_too(change, found):
    more = """
together = torch.mean
if torch:
    apart = lambda x: x.sum()
class Away:
    def of(x): return x.norm()
"""
    text = GOOD.replace("    helper(x)\n", f"    helper(x)\n    {change}\n") + more
    assert found in [f.found for f in read_kernels(text, "mean")]
    assert list(read_kernels(GOOD + more, "mean")) == [], "what is not called is not read"


def test_what_is_put_behind_pytorchs_name_is_read():
    text = f"{GOOD}def behind(x): return x.sum()\ndef registered(l): l.impl('mean.dim', behind, 'CPU')\n"
    assert [f.found for f in read_kernels(text, "mean")] == ["x.sum"]
    assert list(read_kernels(text.replace("mean.dim", "mm"), "mean")) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("import helper", "import helper"),
        ("import __main__", "import __main__"),
        ("import ctypes, math", "import ctypes"),
        ("from . import helper", "import ."),
        ("from courselib.kernels import triton as ours", "import courselib.kernels"),
        ("from torch import mean as together", "from torch import mean"),
        ("import torch\ntorch.Tensor.cpu = None", "torch.Tensor.cpu = ..."),
        ("from torch import Tensor\nTensor.cpu = None", "Tensor.cpu = ..."),
        ("import torch\nt = torch", "torch"),
        ("setattr(kernel, 'run', None)", "setattr"),
        ("import sys\nCASES = sys.argv", "sys.argv"),
        ("import sys\nsys.modules['inputs'] = None", "sys.modules"),
        ("open('hidden.json')", "open"),
        ("exec('1')", "exec"),
        ("getattr(kernel, 'a' + 'b')", "getattr(kernel, 'a' + 'b')"),
    ],
)
def test_a_file_that_reaches_beyond_itself(line, found):
    assert [f.found for f in read_reaches(f"{GOOD}{line}\n")] == [found]


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        (LAB / "solution/kernels.py").read_text(encoding="utf-8"),
        (LAB / "starter/kernels.py").read_text(encoding="utf-8"),
        *map(source, candidates(0)),
        "import os, sys, math, numpy as np\nimport torch\nos.environ['TRITON_INTERPRET'] = '1'\nprint(sys.platform)\n",
        "import torch\ntorch.backends.cuda.matmul.allow_tf32 = False\nx = getattr(torch.Tensor, 'half')\n",
        "from torch import Tensor\nfrom functools import partial\nkind: Tensor = partial(Tensor)\n",
        "if __name__ == '__main__':\n    import json, helper\n    open('x')\n",
    ],
)
def test_a_file_that_stays_with_itself(text):
    assert list(read_reaches(text)) == []


def test_a_file_that_is_not_python():
    (found,) = read_kernels("def mean(:\n", "mean")
    assert (found.kind, found.where) == ("malformed", "line 1")


def test_the_solution_reads_well_and_the_starter_does_not():
    for op in OPS:
        assert list(read_kernels((LAB / "solution/kernels.py").read_text(), op)) == []
        assert len(list(read_kernels((LAB / "starter/kernels.py").read_text(), op))) == 1


# ---- the planted kernels ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_every_variant_is_planted_once_and_every_op_is_sound_somewhere(seed):
    files = candidates(seed)
    planted = [variant for file in files for variant in file.values() if variant]
    assert sorted(v.name for v in planted) == sorted(v.name for v in VARIANTS)
    assert all(any(file[op] is None for file in files) for op in OPS)
    for file in files:
        compile(source(file), "candidate", "exec")


@pytest.mark.parametrize("planted", [True, False])
def test_a_candidate_notes_what_came_of_the_calls_to_it(tmp_path, planted):
    """In a process of its own, as a test meets it: one row alone, and the first of many."""
    variant = next(v for v in VARIANTS if v.name == "partial_sums_by_rows")
    (tmp_path / "kernels.py").write_text(
        recorded({"matmul": None, "log_softmax": None, "mean": variant if planted else None})
    )
    calls = """import sys, torch
sys.argv = ["test", "--out", "."]
import kernels
torch.manual_seed(0)
x = torch.randn(33, 300) * 2.0 ** torch.randint(-8, 8, (33, 300))
kernels.mean(x, -1), kernels.mean(x[:1], -1), kernels.mean(x.t().contiguous(), [0], keepdim=True)
kernels.log_softmax(x[:2]), kernels.log_softmax(x[:1].t().contiguous(), dim=0), kernels.log_softmax(x[1:2], 1)
b = torch.randn(300, 4)
kernels.matmul(x[:3], b), kernels.matmul(a=x[2:3], b=b), kernels.matmul(x[2:3], b + 1)
"""
    (tmp_path / "calls.py").write_text(calls)
    subprocess.run(
        [sys.executable, "calls.py"], cwd=tmp_path, check=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    )
    noted = Calls.model_validate_json((tmp_path / "calls.json").read_bytes())
    assert (noted.mean.calls, noted.log_softmax.calls, noted.matmul.calls) == (3, 3, 3)
    assert bool(noted.mean.changed) == planted
    assert not noted.matmul.changed
    assert not noted.log_softmax.changed


def test_there_are_two_variants_for_each_kernel_at_least():
    assert all(sum(v.op == op for v in VARIANTS) >= 2 for op in OPS)
    assert len({v.behaviour for v in VARIANTS}) == len(VARIANTS)
