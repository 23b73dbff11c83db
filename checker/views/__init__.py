"""A report, drawn: each view is a module with ``draw(report, lab) -> str``, and knows nothing but these two.

The same report gives the same bytes, in any view and at any time.
"""

from __future__ import annotations

from importlib import import_module

from checker.report import Report
from checker.spec import Lab

FORMATS = ("json", "html", "junit", "gradescope")  # beside the terminal's, which knows the person's next command


def draw(format_: str, report: Report, lab: Lab) -> str:
    """The report in one of FORMATS."""
    if format_ == "json":
        return report.to_json()
    text: str = import_module(f"checker.views.{format_}").draw(report, lab)
    return text
