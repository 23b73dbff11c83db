"""kv_cache.py, read and not run: is the cache the student's own?

A reading of the source is no proof, and a determined writer can get around it; what is proved is in the bytes. The
course's own cache cannot be imported while exercise.py runs either.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import courselib
from checker.language import _
from checker.report import Finding

CACHE = "kv_cache.py"
ALLOWED = {*sys.stdlib_module_names, "torch", "numpy"}
BY_NAME = {"importlib", "runpy", "pkgutil", "imp"}  # the standard library's ways to import what no import names
CALLED = {"__import__", "exec", "eval", "compile"}


def read_cache(text: str) -> Iterator[Finding]:
    """What speaks against the cache being written here."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        place = _("line {line}").format(line=error.lineno) if isinstance(error, SyntaxError) else None
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        message = _("The file is not Python: {said}.").format(said=said)
        yield Finding(kind="malformed", file=CACHE, where=place, message=message)
        return
    for node in ast.walk(tree):
        for name in _imported(node):
            if name.partition(".")[0] not in ALLOWED - BY_NAME:
                message = _("The cache is yours to write, in this one file: it imports torch and the standard library.")
                yield _finding(node, _("torch and Python's standard library"), name, message)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLED:
            message = _("A cache has no need to run text as code, or to import by name.")
            yield _finding(node, _("none of {names}").format(names=", ".join(sorted(CALLED))), node.func.id, message)
        if isinstance(node, ast.FunctionDef) and node.name == "append" and _body(node) in _courselibs():
            message = _("This is courselib's own append, copied. The lab is to write one; compare the two afterwards.")
            yield _finding(node, _("an append of yours"), "courselib.kv_cache", message)


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return ["." * node.level + (node.module or "")]
    return []


def _body(function: ast.FunctionDef) -> str:
    """What it does, without what it says of itself."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return "\n".join(map(ast.unparse, body))


@cache
def _courselibs() -> frozenset[str]:
    source = (Path(courselib.__file__).parent / CACHE).read_text(encoding="utf-8")
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    return frozenset(_body(function) for function in functions if function.name == "append")


def _finding(node: ast.AST, expected: str, found: str, message: str) -> Finding:
    where = _("line {line}").format(line=getattr(node, "lineno", 0))
    return Finding(kind="mismatch", file=CACHE, where=where, expected=expected, found=found, message=message)
