"""Which of a starter's numbered TODOs still stand in a student's file."""

from __future__ import annotations

import re


def open_todo(text: str, number: int) -> int | None:
    """The line where the starter's comment on this TODO begins; None where it is gone."""
    begins = re.compile(rf"\s*# TODO {number}\b")
    return next((i for i, line in enumerate(text.splitlines(), start=1) if begins.match(line)), None)
