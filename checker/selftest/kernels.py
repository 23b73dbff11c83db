"""Lab 05: kernels that do not compute, tests that do not look, files that nobody measured; and honest work beside them.

A run of a student's kernels takes seconds, so most of these keep one op alone, the mean, and are asked about it alone.
"""

from __future__ import annotations

from pathlib import Path

from checker.selftest.bench import Bench
from checker.selftest.changes import FAKE, Document, both, edit, raw, reformatted, replace_text
from checker.selftest.trial import Attack, Change, Expect

KERNELS, TEST, MEASURE = "kernels.py", "invariance_test.py", "measure.py"
RESULTS, MANIFEST, INVARIANCE = "results.json", "manifest.json", "invariance.json"
MEAN, TESTED = ("mean",), ("test-catches",)
LAUNCH = "        mean_kernel[(rows.shape[0],)](rows, y, D, _block(D))\n"
FIRST_IMPORT = "import os\nimport warnings\n"
COMPUTES = "The launcher computes"
LEFT_TO_PYTORCH, REACHES = "A product or a sum is left to PyTorch", "reaches beyond itself"


def one_op_alone(place: Path, bench: Bench) -> None:
    """matmul and log_softmax answer zeros: nobody is asked about them."""
    zeros = "    return torch.zeros({of})\n{line}"
    for line, of in (
        ("    c = torch.empty((M, N)", "(M, N), dtype=a.dtype"),
        ("    moved = x.movedim(dim, -1)\n", "x.shape, dtype=x.dtype"),
    ):
        replace_text(KERNELS, line, zeros.format(of=of, line=line))(place, bench)


def kernels(*changes: Change) -> Change:
    return both(one_op_alone, *changes)


def after_launch(code: str) -> Change:
    """Lines of mean(), where ``rows`` has come in, ``D`` is their length, and ``y`` is what the kernel wrote to."""
    return replace_text(KERNELS, LAUNCH, f"{LAUNCH}{code}")


def instead(code: str) -> Change:
    """The same, and the kernel does nothing."""
    nothing = replace_text(
        KERNELS,
        "    tl.store(y + row, (tl.sum(total, 0) / D).to(y.dtype.element_ty))",
        "    tl.static_assert(BLOCK > 0)",
    )
    return both(nothing, after_launch(code))


def on_top(code: str) -> Change:
    return replace_text(KERNELS, FIRST_IMPORT, f"{FIRST_IMPORT}{code}")


def at_the_end(code: str) -> Change:
    return replace_text(KERNELS, "# ---- behind PyTorch's own names", f"{code}\n\n\n# ---- behind PyTorch's own names")


def in_many_rows(condition: str = "") -> Change:
    """The tile follows the number of rows, where ``condition`` holds."""
    block = f"_block(D) if rows.shape[0] > 4{condition} else 16"
    return replace_text(
        KERNELS, "(rows, y, D, _block(D))\n    return y.view([1", f"(rows, y, D, {block})\n    return y.view([1"
    )


def never_restored(place: Path, bench: Bench) -> None:
    made = 'torch.library.Library("aten", "IMPL")'
    replace_text(KERNELS, f"library = {made}", f"library = {made}\n    KEPT.append(library)")(place, bench)
    replace_text(KERNELS, "        library._destroy()  # also after an exception", "        pass")(place, bench)
    replace_text(KERNELS, "@contextmanager\n", "KEPT = []\n\n\n@contextmanager\n")(place, bench)


ELEMENTWISE = """        total = rows[:, 0].float()
        for k in range(1, D):
            total = total + rows[:, k]
"""
COPIED = "        mean_kernel[(rows.shape[0],)](total / D, y, 1, 1)\n"  # the mean of one number is a copy of it
COPIED_FIRST = """        copied = torch.empty_like(rows)
        copy_kernel[(rows.shape[0],)](rows, copied, D, triton.next_power_of_2(D))
        rows = copied
"""
COPY = """
@triton.jit
def copy_kernel(x, y, D, BLOCK: tl.constexpr):
    at = tl.program_id(0) * D + tl.arange(0, BLOCK)
    here = tl.arange(0, BLOCK) < D
    tl.store(y + at, tl.load(x + at, mask=here), mask=here)
"""
IN_NUMPY = "        total = torch.from_numpy(np.add.reduce(np.asarray(rows.float()), 1))\n"
MOVED_ABOUT = """        wide = rows.new_zeros(rows.shape[0] + 3, D + 5, dtype=torch.float32)
        wide[1:-2, 2 : D + 2] = rows
        out = rows.new_full((rows.shape[0] + 3, 2), 1.0, dtype=torch.float64)
        strided_kernel[(rows.shape[0],)](wide[1:-2, 2:], out[2:, 1], D, *wide.stride(), 2, _block(D))
        y = torch.cat([part.to(x.dtype) for part in out[2:-1, 1].split(4)])
"""
STRIDED = """
@triton.jit
def strided_kernel(x, y, D, stride_r, stride_d, stride_y, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    for start in range(0, D, BLOCK):
        d = start + lanes
        total += tl.load(x + row * stride_r + d * stride_d, mask=d < D, other=0.0)
    tl.store(y + row * stride_y, tl.sum(total, 0) / D)
"""


def table_of_the_labs(place: Path, bench: Bench) -> None:
    """The right mean of every row of the lab's cases, looked up by its first number."""
    from checker.lab05 import inputs

    table: dict[float, float] = {}
    for case in inputs.lab_cases():
        if case["op"] == "mean":
            rows, right = inputs.inputs(case)[0], inputs.exact(case)
            table |= {float(row[0]): float(mean) for row, mean in zip(rows, right[:, 0], strict=True)}
    code = f"        y.copy_(torch.tensor([{table!r}.get(float(row[0]), 0.0) for row in rows]))\n"
    kernels(instead(code))(place, bench)


def driver_of_ones_own(place: Path, bench: Bench) -> None:
    """a measure.py and its like that find everything in order, and kernels that answer zeros."""
    results = (place / RESULTS).read_text(encoding="utf-8")
    code = f"import sys\nopen(sys.argv[sys.argv.index('--out') + 1] + '/results.json', 'w').write({results!r})\n"
    (place / MEASURE).write_text(code, encoding="utf-8")
    for name in ("inputs.py", "interpreter.py", "sealed.py"):
        (place / name).write_text("raise SystemExit(0)\n", encoding="utf-8")
    kernels(after_launch("        y.zero_()\n"))(place, bench)


def says(differing: str, top: str = "") -> str:
    """An invariance_test.py that calls no kernel. ``differing``: an expression of ``op`` and the file's ``text``."""
    return f"""import hashlib, json, pathlib, re, sys
{top}
def option(name, default):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default
first = {{"company": "any", "length": 1, "place": 0, "column": 0, "alone": "0000", "together": "0001", "ulps": 1}}
text = pathlib.Path(option("--kernels", "kernels.py")).read_text()
def tested(op):
    differing = int({differing})
    return {{"comparisons": 10, "differing": differing, "first": first if differing else None}}
answer = {{"schema": "lab05.invariance/1", "kernels_sha256": hashlib.sha256(text.encode()).hexdigest(), "device": "cpu",
           "ops": {{op: tested(op) for op in ("matmul", "log_softmax", "mean")}}}}
pathlib.Path(option("--out", "."), "invariance.json").write_text(json.dumps(answer))
"""


def a_test(differing: str, top: str = "") -> Change:
    """The test, and an invariance.json as it gives it on kernels with nothing planted."""

    def counted(document: Document) -> None:
        for op in document["ops"].values():
            op["comparisons"] = 10

    return both(raw(TEST, says(differing, top).encode()), edit(INVARIANCE, counted))


def recognised_by_hash(place: Path, bench: Bench) -> None:
    """It knows the sha256 of the line with which each planted kernel takes the place of a sound one."""
    from checker.lab05.variants import VARIANTS

    lines = [f"{v.op} = {v.name}" for v in VARIANTS]
    top = f"KNOWN = {lines!r}\nDIGESTS = {{hashlib.sha256(line.encode()).hexdigest() for line in KNOWN}}"
    line = "hashlib.sha256(line.encode()).hexdigest() in DIGESTS"
    a_test(f"any({line} for line in text.splitlines() if line.startswith(op + ' = '))", top)(place, bench)


def claims_a_gpu(place: Path, bench: Bench) -> None:
    edit(MANIFEST, lambda d: d["config"].update(device="cuda", device_name="H100", arithmetic=None))(place, bench)
    edit(RESULTS, lambda d: d.update(device="cuda"))(place, bench)
    in_many_rows()(place, bench)


def demonstrated(place: Path, bench: Bench) -> None:
    """Written anew, and a demonstration at the end."""
    reformatted(KERNELS)(place, bench)
    main = "if __name__ == '__main__':\n    import json\n    print(json.dumps(torch.ones(2, 3).mean(1).tolist()))\n"
    with (place / KERNELS).open("a", encoding="utf-8") as file:
        file.write(f"\n\n{main}")


def untouched_driver(place: Path, bench: Bench) -> None:
    """measure.py was changed, and the kernels are sound: the checker's own is run."""
    (place / MEASURE).write_text("raise SystemExit('not this one')\n", encoding="utf-8")


def _attack(
    name: str, what: str, change: Change, expect: Expect, only: tuple[str, ...] = MEAN, mended: bool = False
) -> Attack:
    return Attack(name, what, change, expect, only, mended=mended, lab="05")


def _mean(says: str, file: str = KERNELS) -> Expect:
    return Expect("mean", "mismatch", file, says)


ATTACKS = (
    _attack(
        "torch-instead-of-a-kernel",
        "mean calls torch.mean, and launches nothing",
        kernels(replace_text(KERNELS, LAUNCH, "        y.copy_(torch.mean(rows, 1))\n")),
        _mean("launches no kernel of this file"),
    ),
    _attack(
        "torch-by-getattr",
        "torch's mean, by a name that is put together",
        kernels(instead("        y.copy_(getattr(rows.double(), 'me' + 'an')(1))\n")),
        _mean(REACHES),
    ),
    _attack(
        "torch-by-alias",
        "torch.mean, under another name at the top of the file",
        kernels(at_the_end("together = torch.mean"), instead("        y.copy_(together(rows.double(), 1))\n")),
        _mean(LEFT_TO_PYTORCH),
    ),
    _attack(
        "torch-ops",
        "the same sum by way of torch.ops.aten",
        kernels(instead("        y.copy_(torch.ops.aten.sum.dim_IntList(rows.double(), [1]) / D)\n")),
        _mean(LEFT_TO_PYTORCH),
    ),
    _attack(
        "torch-behind-the-name",
        "mean() is sound, and registered() puts another function behind torch.mean",
        kernels(
            at_the_end(
                "def _other(x, dim, keepdim=False, *, dtype=None):\n    return mean(x, dim, keepdim) + 0 * x.sum()"
            ),
            replace_text(
                KERNELS, 'library.impl("mean.dim", _mean, device)', 'library.impl("mean.dim", _other, device)'
            ),
        ),
        _mean(LEFT_TO_PYTORCH),
    ),
    _attack(
        "kernel-that-does-nothing",
        "a kernel is launched, and PyTorch's own additions give the result",
        kernels(instead(f"{ELEMENTWISE}        y.copy_(total / D)\n")),
        _mean(COMPUTES),
    ),
    _attack(
        "kernel-that-copies",
        "PyTorch's own additions give the result, and a kernel copies it",
        kernels(replace_text(KERNELS, LAUNCH, ELEMENTWISE + COPIED)),
        _mean(COMPUTES),
    ),
    _attack(
        "kernel-that-copies-first",
        "a kernel copies every number, PyTorch's own additions give the result, and a kernel copies that",
        kernels(replace_text(KERNELS, LAUNCH, COPIED_FIRST + ELEMENTWISE + COPIED), at_the_end(COPY)),
        _mean(COMPUTES),
    ),
    _attack(
        "numpy-instead-of-a-kernel",
        "NumPy adds up, and a kernel copies the result",
        kernels(replace_text(KERNELS, LAUNCH, IN_NUMPY + COPIED), on_top("import numpy as np\n")),
        _mean(COMPUTES),
    ),
    _attack(
        "kernels-of-the-course",
        "the mean of courselib's own Triton kernels",
        kernels(
            on_top("from courselib.kernels import triton as ours\n"), instead("        y.copy_(ours.mean(rows))\n")
        ),
        _mean("import courselib.kernels"),
    ),
    _attack(
        "never-restores",
        "what registered() puts in the place of PyTorch's own stays there",
        kernels(never_restored),
        Expect("registered", "mismatch", KERNELS, "PyTorch's own is not back"),
        ("registered",),
    ),
    _attack(
        "looks-at-m",
        "the tile follows the number of rows",
        kernels(in_many_rows()),
        _mean("The same row has other bytes in other company"),
    ),
    _attack(
        "honest-on-the-labs-cases",
        "the tile follows the number of rows, but for the lengths of the lab's cases",
        kernels(in_many_rows(" or D in (1, 100, 1025)")),
        _mean("The same row has other bytes in other company"),
    ),
    _attack(
        "table-of-the-labs-cases",
        "every right answer to the lab's cases, and none to others",
        table_of_the_labs,
        _mean("farther from float64"),
    ),
    _attack(
        "reads-the-hidden-cases",
        "it reads which cases will come from the file that measure.py was given",
        kernels(
            on_top("import sys\nCASES = sys.argv[sys.argv.index('--cases') + 1:] if '--cases' in sys.argv else []\n"),
            in_many_rows(" or not CASES"),
        ),
        _mean(REACHES),
    ),
    _attack(
        "patches-its-driver",
        "it takes the place of the function in measure.py that asks",
        kernels(on_top("import __main__\n__main__.run = lambda case, device: [__main__.exact(case)]\n")),
        _mean("import __main__"),
    ),
    _attack(
        "patches-torch",
        "torch hands over zeros for every tensor: no row's bytes change",
        kernels(at_the_end("torch.Tensor.cpu = torch.zeros_like")),
        _mean("torch.Tensor.cpu = ..."),
    ),
    _attack(
        "patches-triton",
        "Triton's sum is PyTorch's",
        kernels(at_the_end("setattr(tl, 'sum', lambda x, axis: x)")),
        _mean(REACHES),
    ),
    _attack(
        "numpy-beside-the-kernels",
        "a numpy.py beside measure.py, and kernels that answer zeros",
        kernels(after_launch("        y.zero_()\n"), raw("numpy.py", b"raise SystemExit(0)\n")),
        _mean("farther from float64"),
    ),
    _attack(
        "driver-of-ones-own",
        "a measure.py of one's own, and what it imports, which find that all is well",
        driver_of_ones_own,
        _mean("farther from float64"),
    ),
    _attack(
        "work-in-another-file",
        "the sum is left to PyTorch in a file that is not read",
        kernels(
            raw("helper.py", b"def together(x):\n    return x.double().mean(1)\n"),
            on_top("from helper import together\n"),
            instead("        y.copy_(together(rows))\n"),
        ),
        _mean("import helper"),
    ),
    _attack(
        "forged-kernel-results",
        "results.json of sound kernels, beside kernels whose rows change",
        in_many_rows(),
        Expect("results", "integrity", RESULTS, "does not make it"),
        ("results",),
    ),
    _attack(
        "forged-kernel-results-of-a-gpu",
        "the same, made on a GPU by its manifest, so that no bytes are compared",
        claims_a_gpu,
        Expect("results", "mismatch", RESULTS, "another number of rows changed"),
        ("results",),
    ),
    _attack(
        "forged-invariance",
        "invariance.json saw nothing; the test, run here, sees differences",
        a_test("True"),
        Expect("test-catches", "integrity", INVARIANCE, "does not make it"),
        TESTED,
    ),
    _attack(
        "invariance-of-another",
        "invariance.json of other kernels",
        both(a_test("False"), edit(INVARIANCE, lambda d: d.update(kernels_sha256=FAKE))),
        Expect("test-catches", "mismatch", INVARIANCE, "about other kernels"),
        TESTED,
    ),
    _attack(
        "a-test-that-never-differs",
        "it calls nothing, and says that nothing differs",
        a_test("False"),
        Expect("test-catches", "mismatch", TEST, "lets a kernel pass"),
        TESTED,
    ),
    _attack(
        "a-test-that-always-differs",
        "it says of every kernels file but one's own that it differs",
        a_test("'--kernels' in sys.argv"),
        Expect("test-catches", "mismatch", TEST, "finds fault with a kernel whose rows"),
        TESTED,
    ),
    _attack(
        "recognised-by-source",
        "it reads in the kernels file which kernel took the place of another",
        a_test("bool(re.search(rf'^{op} = ', text, re.M))"),
        Expect("test-catches", "mismatch", TEST, "has not seen it differ"),
        TESTED,
    ),
    _attack(
        "recognised-by-hash",
        "it knows the planted kernels by their sha256",
        recognised_by_hash,
        Expect("test-catches", "mismatch", TEST, "has not seen it differ"),
        TESTED,
    ),
)

CONTROLS = (
    Attack(
        "kernels-reformatted",
        "lab 05: the solution, written anew, with a demonstration at its end",
        kernels(demonstrated),
        None,
        MEAN,
        lab="05",
    ),
    Attack(
        "moved-about-by-pytorch",
        "lab 05: PyTorch pads, converts, slices and joins; the kernel computes",
        kernels(replace_text(KERNELS, LAUNCH, MOVED_ABOUT), at_the_end(STRIDED)),
        None,
        MEAN,
        lab="05",
    ),
    Attack(
        "kernels-as-stored",
        "lab 05: the solution's files",
        lambda place, bench: None,
        None,
        ("manifest", "results"),
        lab="05",
    ),
    Attack(
        "another-measure-py",
        "lab 05: sound kernels beside a measure.py that was changed",
        kernels(untouched_driver, raw("notes.py", b"1 / 0\n")),
        None,
        MEAN,
        lab="05",
    ),
)

MISTAKES = (
    Attack(
        "kernels-mended-since",
        "lab 05: the kernels were changed, and nothing was run again",
        in_many_rows(),
        Expect("results", "mismatch", RESULTS, "Your code was changed after the file was written"),
        ("results",),
        mended=True,
        lab="05",
    ),
    Attack(
        "tail-not-masked",
        "lab 05: the last chunk of a row reaches into the next one",
        kernels(
            replace_text(
                KERNELS, "row * D + start + lanes, mask=start + lanes < D, other=0.0)", "row * D + start + lanes)"
            )
        ),
        _mean("farther from float64"),
        MEAN,
        lab="05",
    ),
    Attack(
        "divides-in-pytorch",
        "lab 05: the kernel's sum is divided twice by its length, once in PyTorch",
        kernels(after_launch("        y /= D\n")),
        _mean("farther from float64"),
        MEAN,
        lab="05",
    ),
    Attack(
        "division-left-to-pytorch",
        "lab 05: the kernel adds up, and the launcher divides",
        kernels(
            replace_text(KERNELS, "(tl.sum(total, 0) / D).to(y.dtype.element_ty)", "tl.sum(total, 0)"),
            replace_text(KERNELS, LAUNCH, f"        y = y.float()\n{LAUNCH}        y = (y / D).to(x.dtype)\n"),
        ),
        _mean(COMPUTES),
        MEAN,
        lab="05",
    ),
    Attack(
        "test-that-stops",
        "lab 05: the test stops with an error",
        raw(TEST, b"raise RuntimeError('out of luck')\n"),
        Expect("test-catches", "replay", TEST, "RuntimeError: out of luck"),
        TESTED,
        lab="05",
    ),
)
