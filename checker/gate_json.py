"""JSON behind the gate: what Python's parser lets through, or trips over, is refused with its place."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass

from checker.faults import json_path, printable
from checker.gate import Folder, Refusal, decode
from checker.language import _

MAX_DEPTH = 32
MAX_DIGITS = 20  # sha256 are strings; nothing the labs count needs more
# A string may lack its end: it then runs to the end of the text, so that no character is looked at twice.
_BRACKET_OR_STRING = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)

Path = tuple[int | str, ...]


@dataclass(frozen=True)
class _Bad:
    """Left in the parsed document where something is to be refused: only the walk knows its path."""

    message: str
    expected: str
    found: str


def read_json(folder: Folder, name: str, max_bytes: int) -> object:
    """The document in ``name``; Refusal if it is not there, too large, or not plain JSON."""
    return parse_json(folder.read_bytes(name, max_bytes), name)


def parse_json(data: bytes, name: str) -> object:
    text = decode(data, name)
    _check_depth(text, name)
    try:
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=lambda constant: _Bad(_("JSON has no such number."), _("a finite number"), constant),
        )
    except json.JSONDecodeError as error:
        here = text[error.pos : error.pos + 20]
        raise Refusal(
            "malformed",
            name,
            _("The file is not valid JSON: {fault}.").format(fault=_(error.msg[0].lower() + error.msg[1:])),
            where=_("line {lineno}, column {colno}").format(lineno=error.lineno, colno=error.colno),
            expected=_("valid JSON"),
            found=printable(here) if here else _("the end of the file"),
        ) from None
    bad = _find_bad(document, ())
    if bad:
        path, what = bad
        raise Refusal(
            "malformed",
            name,
            what.message,
            where=json_path(path) or None,
            expected=what.expected,
            found=what.found,
        )
    return document


def _check_depth(text: str, name: str) -> None:
    depth = 0
    for match in _BRACKET_OR_STRING.finditer(text):
        token = match.group()
        depth += (token in "[{") - (token in "]}")
        if depth > MAX_DEPTH:
            line = text.count("\n", 0, match.start()) + 1
            raise Refusal(
                "malformed",
                name,
                _("The document is nested deeper than anything the lab asks for."),
                where=_("line {line}").format(line=line),
                expected=_("at most {n} levels").format(n=MAX_DEPTH),
                found=_("more than {n}").format(n=MAX_DEPTH),
            )


def _object(pairs: list[tuple[str, object]]) -> object:
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    counts = Counter(key for key, _ in pairs)
    twice, times = next((key, n) for key, n in counts.items() if n > 1)
    return _Bad(
        _("A key is there more than once."),
        _("each key once"),
        _("{key!r} {n} times").format(key=printable(twice), n=times),
    )


def _integer(digits: str) -> object:
    if len(digits.lstrip("-")) > MAX_DIGITS:
        return _Bad(
            _("The number is absurdly long."),
            _("at most {n} digits").format(n=MAX_DIGITS),
            _("{n} characters").format(n=len(digits)),
        )
    return int(digits)


def _float(digits: str) -> object:
    value = float(digits)
    if len(digits) > 400 or not math.isfinite(value):
        return _Bad(_("The number is too large to be one."), _("a finite number"), digits[:40])
    return value


def _find_bad(value: object, path: Path) -> tuple[Path, _Bad] | None:
    """The first thing to refuse. Recursion is bounded: the depth was checked."""
    if isinstance(value, _Bad):
        return path, value
    if isinstance(value, str) and not _encodable(value):
        return path, _Bad(_("The text holds half a character."), _("whole Unicode characters"), printable(value))
    children: list[tuple[int | str, object]] = []
    if isinstance(value, dict):
        for key in value:
            if not _encodable(key):
                return path, _Bad(_("A key holds half a character."), _("whole Unicode characters"), printable(key))
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    for key, child in children:
        bad = _find_bad(child, (*path, key))
        if bad:
            return bad
    return None


def _encodable(text: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in text)
