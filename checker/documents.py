"""What the JSON documents of every lab have in common, and the one way in which they are read."""

from __future__ import annotations

from datetime import date
from typing import Annotated, TypeVar

from pydantic import Field, ValidationError, field_validator

from checker.faults import faults
from checker.gate import Folder
from checker.gate_json import read_json
from checker.language import _
from checker.report import Finding, Model

M = TypeVar("M", bound=Model)
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="sha256, lower-case hex")]
Count = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(min_length=1, max_length=400)]


class Versions(Model):
    python: Text
    numpy: Text
    torch: Text
    courselib: Text


class Dated(Model):
    """What every manifest says of its run."""

    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description="YYYY-MM-DD")
    versions: Versions
    platform: Text

    @field_validator("date")
    @classmethod
    def _a_day(cls, value: str) -> str:
        try:
            date.fromisoformat(value)
        except ValueError:
            raise ValueError(_("a day of the calendar, as YYYY-MM-DD")) from None
        return value


def read_model(folder: Folder, name: str, max_bytes: int, model: type[M]) -> M | list[Finding]:
    """The document in ``name`` as ``model``, or every fault in it. Refusal if it is not there or is not JSON."""
    document = read_json(folder, name, max_bytes)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        return [
            Finding(
                kind="schema",
                file=name,
                where=fault.where or None,
                expected=fault.expected,
                found=fault.found,
                message=_("A field is not as the schema asks.") if fault.where else _("The document is not an object."),
            )
            for fault in faults(error)
        ]
