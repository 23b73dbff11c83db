"""pydantic's errors, one plain fault each: where in the document, what was expected, what was found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

SHOWN = 500  # characters of one value; past that, its ends, its length and its sha256 let it be compared

EXPECTED = {
    "missing": "this field",
    "extra_forbidden": "no such field",
    "string_type": "a string",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "none_required": "null",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "literal_error": "{expected}",
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "too_short": "at least {min_length} items",
    "too_long": "at most {max_length} items",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "a string that matches {pattern}",
    "value_error": "{error}",
}


@dataclass(frozen=True)
class Fault:
    where: str
    expected: str
    found: str


def faults(error: ValidationError) -> list[Fault]:
    """Every fault pydantic saw, at most one a place."""
    out: dict[str, Fault] = {}
    for e in error.errors(include_url=False):
        where = json_path(e["loc"])
        template = EXPECTED.get(e["type"])
        expected = template.format(**e.get("ctx", {})) if template else e["msg"]
        found = "nothing there" if e["type"] == "missing" else show(e["input"])
        out.setdefault(where, Fault(where, expected, found))
    return list(out.values())


def json_path(parts: Iterable[int | str]) -> str:
    """('runs', 'fixed', 'cases', 3) -> 'runs.fixed.cases[3]'."""
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else ("." if path else "") + printable(part)
    return path


def show(value: object) -> str:
    """A value as JSON on one line, whole if it is not huge, safe to print on any terminal."""
    text = printable(json.dumps(value, ensure_ascii=False, default=str))
    if len(text) <= SHOWN:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text[:200]} ... {text[-80:]} ({len(text)} characters, sha256 {digest})"


def printable(text: str, keep: str = "") -> str:
    """``text`` with every character that could drive a terminal written as an escape."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)
