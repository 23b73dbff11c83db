"""pydantic's errors, one plain fault each: where in the document, what was expected, what was found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from checker.language import N_, _, ngettext

SHOWN = 500  # characters of one value; past that, its ends, its length and its sha256 let it be compared

EXPECTED = {
    "missing": N_("this field"),
    "extra_forbidden": N_("no such field"),
    "string_type": N_("a string"),
    "int_type": N_("a whole number"),
    "float_type": N_("a number"),
    "bool_type": N_("true or false"),
    "none_required": "null",
    "list_type": N_("a list"),
    "dict_type": N_("an object"),
    "model_type": N_("an object"),
    "model_attributes_type": N_("an object"),
    "greater_than_equal": N_("at least {ge}"),
    "greater_than": N_("more than {gt}"),
    "less_than_equal": N_("at most {le}"),
    "string_pattern_mismatch": N_("a string that matches {pattern}"),
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
        found = _("nothing there") if e["type"] == "missing" else show(e["input"])
        out.setdefault(where, Fault(where, _expected(e["type"], e.get("ctx", {})) or e["msg"], found))
    return list(out.values())


def _expected(kind: str, context: dict[str, Any]) -> str:
    """What was expected, in words; "" if pydantic's own have to do."""
    match kind:
        case "too_short":
            n = context["min_length"]
            return ngettext("at least {n} item", "at least {n} items", n).format(n=n)
        case "too_long":
            n = context["max_length"]
            return ngettext("at most {n} item", "at most {n} items", n).format(n=n)
        case "string_too_short":
            n = context["min_length"]
            return ngettext("at least {n} character", "at least {n} characters", n).format(n=n)
        case "string_too_long":
            n = context["max_length"]
            return ngettext("at most {n} character", "at most {n} characters", n).format(n=n)
        case "literal_error":
            return str(context["expected"]).replace(" or ", f" {_('or')} ")
    return _(EXPECTED.get(kind, "")).format(**context)


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
    return f"{text[:200]} ... {text[-80:]} ({_('{n} characters').format(n=len(text))}, sha256 {digest})"


def printable(text: str, keep: str = "") -> str:
    """``text`` with every character that could drive a terminal written as an escape."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)
