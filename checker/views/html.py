"""The report as one page: nothing is fetched, nothing runs, and every value is whole.

page.html.j2 is the page and page.css its looks. Whatever came from a submission goes in as text: Jinja escapes it,
and what is not printable is written as an escape before that.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from checker.faults import printable
from checker.language import _, ngettext, spoken
from checker.report import Report
from checker.spec import Lab
from checker.views import words
from checker.views.picture import picture

LONG = 2000  # characters; a longer value gets a box of its own to scroll in


def draw(report: Report, lab: Lab) -> str:
    return _page().render(
        report=report,
        tasks=[task for task in report.tasks if task.asked],
        hints={task.id: [hint.strip() for hint in task.hints] for task in lab.tasks},
        claims=[claim for task in report.tasks for claim in task.claims],
        words=words,
        picture=picture,
        LONG=LONG,
        language=spoken(),
    )


def _text(value: object) -> object:
    """Applied by Jinja to every value that the page shows."""
    return printable(value, keep="\n") if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _page() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_text,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(_=_, ngettext=ngettext)
    return environment.get_template("page.html.j2")
