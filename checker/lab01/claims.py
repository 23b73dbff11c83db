"""What a run of exercise.py that gave nothing is said to be."""

from __future__ import annotations

from checker import claims
from checker.documents import Model
from checker.gate import Refusal
from checker.lab01.reading import CACHE
from checker.lab01.work import Work
from checker.language import _
from checker.report import Finding


def replayed(work: Work, name: str, found: Model | list[Finding] | Refusal, file: str) -> list[Finding]:
    """Why what the run ``name`` wrote is nothing to go by; nothing if it is."""
    if not work.has_cache():
        message = _("There is no kv_cache.py: copy the starter's files, and write the cache there.")
        return [Finding(kind="missing", file=CACHE, message=message)]
    return [_filled(fault) for fault in claims.replayed(work, name, found, file)]


def _filled(fault: Finding) -> Finding:
    expected, found = fault.expected or _("data that can be compared"), fault.found or _("none")
    return fault.model_copy(update={"expected": expected, "found": found})
