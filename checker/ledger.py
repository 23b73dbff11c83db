"""What becomes of a claim: it stands on the findings of the task that looked into it."""

from __future__ import annotations

import re

from checker.report import Claim, Finding


def claim(text: str, file: str, faults: list[Finding], *places: str) -> Claim:
    """Contradicted if a finding on ``file`` is about one of ``places``, or, where none is named, about anything.

    A place is a path, or the beginning or the end of one: cases[3] and sha256 both stand for cases[3].sha256[0].
    """
    against = any(
        fault.file == file and (not places or any(_is_about(fault.where or "", place) for place in places))
        for fault in faults
    )
    return Claim(text=text, file=file, standing="contradicted" if against else "verified")


def unchecked(text: str, file: str, because: str) -> Claim:
    return Claim(text=text, file=file, standing="not checkable here", because=because)


def or_unchecked(said: Claim, because: str) -> Claim:
    """The same, unless there is a reason why nothing speaks for it: what is contradicted stays so."""
    return unchecked(said.text, said.file, because) if because and said.standing == "verified" else said


def _is_about(where: str, place: str) -> bool:
    exact = re.escape(place)
    return bool(re.search(rf"^{exact}(\W|$)|\.{exact}(\[\d+\])?$", where))
