"""lab.toml: the tasks of a lab, their points and hints, and the files a submission holds."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from checker.faults import faults
from checker.language import _

Text = Annotated[str, Field(min_length=1), AfterValidator(_)]  # for people, in the language that is spoken


class SpecError(Exception):
    """A lab.toml that is not one; the message names the file and the key."""


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Statement(Model):
    """Something a text must say: a regular expression, and in words what it looks for."""

    pattern: str = Field(min_length=1)
    says: Text

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(_("not a regular expression: {error}").format(error=error)) from None
        return pattern


class Artifact(Model):
    path: str = Field(pattern=r"^\w[\w.-]*(/\w[\w.-]*)*$")
    kind: Literal["python", "json", "npz", "markdown", "png"]
    max_bytes: int = Field(gt=0)
    min_words: int = Field(default=0, ge=0)
    statements: list[Statement] = []

    @model_validator(mode="after")
    def _texts_only(self) -> Artifact:
        if self.kind != "markdown" and (self.min_words or self.statements):
            raise ValueError(_("only a markdown artifact has min_words or statements"))
        return self


class Task(Model):
    id: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    title: Text
    points: int = Field(gt=0)
    requires: list[str] = []
    hints: list[Annotated[str, AfterValidator(_)]] = Field(min_length=1)

    @field_validator("hints")
    @classmethod
    def _not_empty(cls, hints: list[str]) -> list[str]:
        if not all(h.strip() for h in hints):
            raise ValueError(_("a hint is empty"))
        return hints


class Lab(Model):
    id: str = Field(pattern=r"^\d\d$")
    title: Text
    about: Annotated[str, AfterValidator(_)] = ""  # one sentence, for the overview; so are the next two
    hours: list[Annotated[int, Field(gt=0)]] | None = Field(default=None, min_length=2, max_length=2)
    chapter: str | None = Field(default=None, pattern=r"^book/\w+$")
    tasks: list[Task] = Field(min_length=1)
    artifacts: list[Artifact] = Field(min_length=1)

    @model_validator(mode="after")
    def _coherent(self) -> Lab:
        if self.hours and self.hours[0] > self.hours[1]:
            raise ValueError(_("the hours are the fewest, then the most"))
        seen: set[str] = set()
        for task in self.tasks:
            if task.id in seen:
                raise ValueError(_("task {task!r} is there twice").format(task=task.id))
            unknown = [r for r in task.requires if r not in seen]
            if unknown:
                raise ValueError(
                    _("task {task!r} requires {other!r}, which no earlier task is").format(
                        task=task.id, other=unknown[0]
                    )
                )
            seen.add(task.id)
        total = sum(t.points for t in self.tasks)
        if total != 100:
            raise ValueError(_("the points add up to {total}, not 100").format(total=total))
        paths = [a.path for a in self.artifacts]
        if len(set(paths)) != len(paths):
            raise ValueError(_("an artifact is there twice"))
        return self

    def task(self, task_id: str) -> Task:
        return next(t for t in self.tasks if t.id == task_id)

    def artifact(self, path: str) -> Artifact:
        for artifact in self.artifacts:
            if artifact.path == path:
                return artifact
        raise SpecError(
            _("lab.toml of lab {lab}: expected an artifact {path}, found none").format(lab=self.id, path=path)
        )

    def with_required(self, task_ids: list[str]) -> set[str]:
        """The tasks named, and all that they stand on."""
        wanted: set[str] = set()
        waiting = list(task_ids)
        while waiting:
            task = self.task(waiting.pop())
            wanted.add(task.id)
            waiting += [r for r in task.requires if r not in wanted]
        return wanted


def load_lab(folder: Path) -> Lab:
    """The lab in ``folder``; SpecError if its lab.toml cannot be used."""
    path = folder / "lab.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"{path}: {error}") from None
    try:
        return Lab.model_validate(data)
    except ValidationError as error:
        fault = faults(error)[0]
        place = _("{path} at {where}").format(path=path, where=fault.where) if fault.where else path
        raise SpecError(
            _("{place}: expected {expected}, found {found}").format(
                place=place, expected=fault.expected, found=fault.found
            )
        ) from None
