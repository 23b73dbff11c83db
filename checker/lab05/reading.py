"""kernels.py, read and not run: does each launcher launch a kernel of its own, and leave PyTorch's reductions alone?

A reading of the source is no proof, and a determined writer can get around it. What is proved is in the bytes, and in
their being the same when only kernels can read the numbers; this only asks whether the lab was done in Triton, and says
so in the words of the source.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from checker.language import N_, _
from checker.report import Finding
from checker.todos import open_todo

KERNELS = "kernels.py"
NO_KERNEL = NO_LAUNCH, NO_FUNCTION = N_("no such launch"), N_("no function of that name")
TODO = {"matmul": 1, "log_softmax": 2, "mean": 3}  # the starter's number for each
ATEN = {"matmul": "mm", "log_softmax": "_log_softmax", "mean": "mean"}  # what registered() puts it behind
REDUCE = {  # methods and functions that would do the kernel's work, underscores around them left out
    *("mm", "matmul", "imatmul", "bmm", "addmm", "addbmm", "baddbmm", "mv", "addmv", "dot", "vdot", "inner", "einsum"),
    *("tensordot", "linear", "Linear", "bilinear", "multi_dot", "chain_matmul", "int_mm", "scaled_mm", "cdist"),
    *("conv1d", "conv2d", "conv3d", "scaled_dot_product_attention", "embedding_bag", "matrix_power"),
    *("softmax", "softmin", "log_softmax", "LogSoftmax", "Softmax", "logsumexp", "logaddexp", "cumsum", "logcumsumexp"),
    *("mean", "nanmean", "average", "sum", "nansum", "fsum", "sumprod", "sum_to_size", "var", "std", "var_mean"),
    *("std_mean", "norm", "vector_norm", "layer_norm", "native_layer_norm", "rms_norm", "batch_norm", "group_norm"),
    *("avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d", "lp_pool1d", "cross_entropy", "nll_loss", "trapezoid"),
    *("scatter_add", "scatter_reduce", "index_add", "index_reduce", "bincount", "segment_reduce", "accumulate"),
    *("numpy", "tolist"),  # who leaves PyTorch can add up anywhere
}
IMPORTS = {  # what kernels and their launchers may need
    *(
        "torch",
        "triton",
        "numpy",
        "os",
        "sys",
        "math",
        "operator",
        "functools",
        "itertools",
        "collections",
        "contextlib",
    ),
    *(
        "typing",
        "typing_extensions",
        "types",
        "dataclasses",
        "enum",
        "abc",
        "warnings",
        "logging",
        "time",
        "__future__",
    ),
}
REACHES = {  # names and attributes through which a file gets at the process that it is measured in
    *("eval", "exec", "compile", "__import__", "globals", "vars", "setattr", "delattr", "open", "__builtins__"),
    *("modules", "argv", "_getframe", "settrace", "setprofile", "__dict__", "__globals__", "__code__", "f_back"),
}
Parts = list[ast.stmt]


def read_kernels(text: str, op: str) -> Iterator[Finding]:
    """What speaks against ``op`` being a Triton kernel's work."""
    try:
        body = _body(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        place = _("line {line}").format(line=error.lineno) if isinstance(error, SyntaxError) else None
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        yield Finding(
            kind="malformed", file=KERNELS, where=place, message=_("The file is not Python: {said}.").format(said=said)
        )
        return
    defined = _defined(body)
    if op not in defined:
        yield _finding(op, _("a function {op}").format(op=op), _(NO_FUNCTION), _("The launcher is not there."))
        return
    kernels = {name for name, parts in defined.items() if any(map(_is_kernel, parts))}
    if not any(_launches(defined[name]) & kernels for name in _reached({op}, defined, kernels)):
        message = _("In the source, the function launches no kernel of this file.")
        where = op
        if line := open_todo(text, TODO[op]):
            message = _(
                "TODO {todo} is still open: {op} launches no kernel yet. Write the kernel, and its launch."
            ).format(todo=TODO[op], op=op)
            where = _("{function}, line {line}").format(function=op, line=line)
        expected = _("kernel[grid](...), where kernel is decorated with @triton.jit")
        yield _finding(where, expected, _(NO_LAUNCH), message)
    for name in _reached({op, *_registered(op, body)}, defined, kernels):
        for line, what in _reductions(defined[name], set(defined)):
            message = _("A product or a sum is left to PyTorch: it is the kernel that should do it.")
            yield _finding(
                _("{function}, line {line}").format(function=name, line=line),
                _("none of PyTorch's products and sums"),
                what,
                message,
            )


def read_reaches(text: str) -> Iterator[Finding]:
    """Where kernels.py, which is Python, reaches into other files, or into what it is measured with."""
    for line, what in _reaches(_body(text)):
        message = _(
            "kernels.py reaches beyond itself, so nothing that it computes would show that a kernel did. Kernels and "
            "their launchers need no other file, and a library as it is."
        )
        expected = _("PyTorch, Triton and a little of Python's own library, as they are")
        yield _finding(_("line {line}").format(line=line), expected, what, message)


def _body(text: str) -> Parts:
    """What is executed when the file is imported."""
    return [node for node in ast.parse(text).body if not _is_for_scripts(node)]


def _defined(body: Parts) -> dict[str, Parts]:
    """What stands at the top of the file, by name: functions, classes, and statements that assign to it."""
    found: dict[str, Parts] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = {node.name}
        else:
            inner = list(ast.walk(node))
            names = {n.name for n in inner if isinstance(n, ast.FunctionDef | ast.ClassDef)}
            names |= {n.id for n in inner if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        for name in names:
            found.setdefault(name, []).append(node)
    return found


def _reached(start: set[str], defined: dict[str, Parts], kernels: set[str]) -> list[str]:
    """``start`` and all of the file that it names, but for the kernels."""
    reached: list[str] = []
    waiting = sorted(start)
    while waiting:
        name = waiting.pop()
        if name in reached or name in kernels or name not in defined:
            continue
        reached.append(name)
        waiting += [n.id for n in _nodes(defined[name], ast.Name)]
    return reached


def _registered(op: str, body: Parts) -> set[str]:
    """The functions that are put behind PyTorch's name for ``op``."""
    found: set[str] = set()
    for call in _nodes(body, ast.Call):
        said = {a.value.split(".")[0] for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
        if ATEN[op] in said:
            found |= {a.id for a in call.args if isinstance(a, ast.Name)}
    return found


def _launches(parts: Parts) -> set[str]:
    """The names that stand before [...](...)."""
    calls = (n.func for n in _nodes(parts, ast.Call))
    return {f.value.id for f in calls if isinstance(f, ast.Subscript) and isinstance(f.value, ast.Name)}


def _reductions(parts: Parts, own: set[str]) -> Iterator[tuple[int, str]]:
    for node in _nodes(parts, ast.BinOp, ast.AugAssign, ast.Attribute, ast.Call):
        match node:
            case ast.BinOp(op=ast.MatMult()):
                yield node.lineno, "@"
            case ast.AugAssign(op=ast.MatMult()):
                yield node.lineno, "@="
            case ast.Attribute() if node.attr.strip("_") in REDUCE and _root(node) not in ("tl", "triton"):
                yield node.lineno, ast.unparse(node)
            case ast.Call(func=ast.Name(id=name)) if name in REDUCE | {"sum"} and name not in own:
                yield node.lineno, name
            case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str(name)), *_]):
                if name.strip("_") in REDUCE:
                    yield node.lineno, ast.unparse(node)


def _reaches(body: Parts) -> Iterator[tuple[int, str]]:
    """Imports of other files, changed libraries, and ways into the process."""
    modules: set[str] = set()
    for node in _nodes(body, ast.Import, ast.ImportFrom):
        for alias in node.names:
            path = alias.name if isinstance(node, ast.Import) else f"{'.' * node.level}{node.module or ''}"
            if path.split(".")[0] not in IMPORTS:
                yield node.lineno, f"import {path}"
            elif isinstance(node, ast.ImportFrom) and alias.name.strip("_") in REDUCE:
                yield node.lineno, f"from {path} import {alias.name}"
            modules.add((alias.asname or alias.name).split(".")[0])
    of_something = {id(node.value) for node in _nodes(body, ast.Attribute)}
    for node in _nodes(body, ast.Name, ast.Attribute, ast.Call):
        match node:
            case ast.Name() if node.id in REACHES:
                yield node.lineno, node.id
            case ast.Name(ctx=ast.Load()) if (
                node.id in modules and id(node) not in of_something and _is_module(node.id)
            ):
                yield node.lineno, node.id  # handed on, and who knows what becomes of it
            case ast.Attribute() if node.attr in REACHES:
                yield node.lineno, ast.unparse(node)
            case ast.Attribute(ctx=ast.Store() | ast.Del()) if _root(node) in modules and not _is_a_switch(node):
                yield node.lineno, f"{ast.unparse(node)} = ..."
            case ast.Call(func=ast.Name(id="getattr"), args=[_, name, *_]) if not isinstance(name, ast.Constant):
                yield node.lineno, ast.unparse(node)


def _is_module(name: str) -> bool:
    """A library, by the names that it goes by; a class that was imported may be handed on."""
    return name in IMPORTS | {"tl", "np", "F"}


def _is_a_switch(node: ast.Attribute) -> bool:
    """torch.backends.cuda.matmul.allow_tf32 and its like, which are there to be set."""
    return ast.unparse(node).startswith("torch.backends.")


def _nodes(parts: Parts, *kinds: type) -> Iterator[Any]:
    """Every node of these kinds, in the order of the file, but for what stands in a kernel."""
    waiting: list[ast.AST] = [*reversed(parts)]
    while waiting:
        node = waiting.pop()
        if _is_kernel(node):
            continue
        if isinstance(node, kinds):
            yield node
        waiting += reversed(list(ast.iter_child_nodes(node)))


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _is_for_scripts(node: ast.stmt) -> bool:
    """if __name__ == "__main__": is not for whoever imports the file."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def _is_kernel(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and any(map(_is_jit, node.decorator_list))


def _is_jit(decorator: ast.expr) -> bool:
    """@triton.jit, @triton.jit(...), @jit, and the same beneath @triton.heuristics."""
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (isinstance(target, ast.Attribute) and target.attr == "jit") or (
        isinstance(target, ast.Name) and target.id == "jit"
    )


def _finding(where: str, expected: str, found: str, message: str) -> Finding:
    return Finding(kind="mismatch", file=KERNELS, where=where, expected=expected, found=found, message=message)
