"""kernels.py, read and not run: does each launcher launch a kernel of its own, and leave PyTorch's reductions alone?

A reading of the source is no proof, and a determined writer can get around it. What is proved is in the bytes; this
only asks whether the lab was done in Triton.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from checker.language import N_, _
from checker.report import Finding

KERNELS = "kernels.py"
NO_KERNEL = NO_LAUNCH, NO_FUNCTION = N_("no such launch"), N_("no function of that name")
TODO = {"matmul": 1, "log_softmax": 2, "mean": 3}  # the starter's number for each
REDUCE = {  # methods and functions that would do the kernel's work
    *(
        "mm",
        "matmul",
        "bmm",
        "addmm",
        "baddbmm",
        "mv",
        "addmv",
        "dot",
        "vdot",
        "inner",
        "einsum",
        "tensordot",
        "linear",
    ),
    *("softmax", "log_softmax", "logsumexp", "logaddexp", "cumsum", "logcumsumexp"),
    *("mean", "nanmean", "sum", "nansum", "var_mean", "std_mean", "norm", "avg_pool1d", "cross_entropy", "nll_loss"),
}


def open_todo(text: str, number: int) -> int | None:
    """The line where the starter's comment on this TODO still stands."""
    lines = enumerate(text.splitlines(), start=1)
    return next((i for i, line in lines if line.lstrip().startswith(f"# TODO {number}")), None)


def read_kernels(text: str, op: str) -> Iterator[Finding]:
    """What speaks against ``op`` being a Triton kernel's work."""
    try:
        functions = {f.name: f for f in ast.parse(text).body if isinstance(f, ast.FunctionDef)}
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        place = _("line {line}").format(line=error.lineno) if isinstance(error, SyntaxError) else None
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        yield Finding(
            kind="malformed", file=KERNELS, where=place, message=_("The file is not Python: {said}.").format(said=said)
        )
        return
    if op not in functions:
        yield _finding(op, _("a function {op}").format(op=op), _(NO_FUNCTION), _("The launcher is not there."))
        return
    kernels = {name for name, f in functions.items() if any(map(_is_jit, f.decorator_list))}
    reached = _reached(op, functions, kernels)
    if not any(_launches(functions[name]) & kernels for name in reached):
        message = _("In the source, the function launches no kernel of this file.")
        where = op
        if line := open_todo(text, TODO[op]):
            message = _(
                "TODO {todo} is still open: {op} launches no kernel yet. Write the kernel, and its launch."
            ).format(todo=TODO[op], op=op)
            where = _("{function}, line {line}").format(function=op, line=line)
        expected = _("kernel[grid](...), where kernel is decorated with @triton.jit")
        yield _finding(where, expected, _(NO_LAUNCH), message)
    for name in reached:
        for line, what in _reductions(functions[name], set(functions)):
            message = _("A product or a sum is left to PyTorch: it is the kernel that should do it.")
            yield _finding(
                _("{function}, line {line}").format(function=name, line=line),
                _("none of PyTorch's products and sums"),
                what,
                message,
            )


def _reached(op: str, functions: dict[str, ast.FunctionDef], kernels: set[str]) -> list[str]:
    """``op`` and every function of the file that it calls, but for the kernels."""
    reached, waiting = [], [op]
    while waiting:
        name = waiting.pop()
        if name in reached or name in kernels:
            continue
        reached.append(name)
        waiting += [n.id for n in ast.walk(functions[name]) if isinstance(n, ast.Name) and n.id in functions]
    return reached


def _launches(function: ast.FunctionDef) -> set[str]:
    """The names that stand before [...](...)."""
    calls = (n.func for n in ast.walk(function) if isinstance(n, ast.Call))
    return {f.value.id for f in calls if isinstance(f, ast.Subscript) and isinstance(f.value, ast.Name)}


def _reductions(function: ast.FunctionDef, own: set[str]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(function):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            yield node.lineno, "@"
        if isinstance(node, ast.Call):
            f = node.func
            if isinstance(f, ast.Attribute) and f.attr.rstrip("_") in REDUCE:
                yield node.lineno, ast.unparse(f)
            if isinstance(f, ast.Name) and f.id in REDUCE | {"sum"} and f.id not in own:
                yield node.lineno, f.id


def _is_jit(decorator: ast.expr) -> bool:
    """@triton.jit, @triton.jit(...), @jit, and the same beneath @triton.heuristics."""
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (isinstance(target, ast.Attribute) and target.attr == "jit") or (
        isinstance(target, ast.Name) and target.id == "jit"
    )


def _finding(where: str, expected: str, found: str, message: str) -> Finding:
    return Finding(kind="mismatch", file=KERNELS, where=where, expected=expected, found=found, message=message)
