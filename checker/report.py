"""What a check found: the one data model that the JSON output is, and that every view is drawn from.

A report cannot contradict itself: a passed task has no findings, a failed one has at least one, a task that
did not run says why, the score is the sum of the tasks, and the verdict follows from all of these. The
published JSON Schema is checker/report.schema.json (``python -m checker.publish`` writes it).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from checker.language import N_, Language, in_every_language

Kind = Literal["missing", "unreadable", "malformed", "schema", "mismatch", "replay", "integrity"]
Status = Literal["passed", "failed", "not run"]
# Of a run of a student's script. "no data": its supervisor was cut off before it handed any over.
Outcome = Literal["finished", "timed out", "out of memory", "too many processes", "no data", "missing"]
Verdict = Literal["passed", "not passed", "not started", "unreadable", "integrity"]
Tier = Literal["full", "landlock", "rlimits"]  # how far the student's scripts are shut in; see checker.sandbox

EXIT_CODES: dict[Verdict, int] = {
    "passed": 0,
    "not passed": 1,
    "not started": 1,
    "unreadable": 3,
    "integrity": 4,
}
NOT_ASKED = N_("it was not asked for")


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Rows(Model):
    """The first row that differs, from both sides, to be drawn: its words, as bits.hex_words writes them."""

    name: str = Field(description="what it is a row of, and where: K, layer 0, head 0, slot 1")
    labels: tuple[str, str] = Field(description="what the two sides are: cached, recomputed")
    words: tuple[list[str], list[str]] = Field(description="each side's words, big-endian hex")

    @model_validator(mode="after")
    def _of_one_length(self) -> Rows:
        if len(self.words[0]) != len(self.words[1]) or self.words[0] == self.words[1]:
            raise ValueError("the two rows have one length and differ")
        return self


class Finding(Model):
    """One fault. ``expected`` and ``found`` are whole: two values that differ can always be compared."""

    kind: Kind = Field(
        description="missing: not there. unreadable: refused before it was read (not a regular file, no "
        "permission, too large). malformed: not valid JSON, text or npz. schema: a field is wrong. mismatch: "
        "not what it should be. replay: the script, run here, gave no usable data. integrity: a claim better "
        "than its evidence."
    )
    message: str = Field(min_length=1)
    file: str | None = Field(default=None, description="relative to the submission")
    where: str | None = Field(default=None, description="path inside the file, e.g. runs.fixed.cases[3].k.cached")
    expected: str | None = None
    found: str | None = None
    usual_causes: list[str] = []
    rows: Rows | None = None


class Claim(Model):
    """Something the submission says of itself, and what became of it."""

    text: str = Field(min_length=1, description="the claim in words: results.json: 50 of 50 prompts agree in bytes")
    file: str = Field(description="where it is made, relative to the submission")
    standing: Literal["verified", "contradicted", "not checkable here"]
    because: str | None = Field(default=None, description="why it was not checkable here")

    @model_validator(mode="after")
    def _says_why(self) -> Claim:
        if (self.standing == "not checkable here") != bool(self.because):
            raise ValueError("a claim that is not checkable here says why, and no other does")
        return self


class TaskResult(Model):
    id: str
    title: str
    status: Status
    because: str | None = Field(default=None, description="why the task was not run")
    points: int = Field(ge=0, description="earned; a failed task may have earned a part")
    possible: int = Field(gt=0)
    findings: list[Finding] = []
    claims: list[Claim] = []
    notes: list[str] = Field(default=[], description="worth knowing, whatever the status")

    @property
    def asked(self) -> bool:
        """Was it asked for? The report may have been kept in another language."""
        return self.because not in in_every_language(NOT_ASKED)

    @model_validator(mode="after")
    def _possible(self) -> TaskResult:
        if (self.status == "failed") != bool(self.findings):
            raise ValueError("a failed task has findings, and no other has")
        if (self.status == "not run") != bool(self.because):
            raise ValueError("a task that did not run says why, and no other does")
        if (self.points == self.possible) != (self.status == "passed"):
            raise ValueError("a passed task earns all its points, and no other does")
        if self.points and self.status == "not run":
            raise ValueError("a task that did not run earns nothing")
        return self


class Score(Model):
    points: int = Field(ge=0)
    possible: int = Field(ge=0)


class Count(Model):
    """How many cases of one run of the student's script agreed with and without a cache."""

    ops: str
    cases: int
    tokens_equal: int
    bytes_equal: int


class Replay(Model):
    """One run of a student's script by the checker. Its exit code and output decide nothing."""

    script: str
    arguments: list[str]
    outcome: Outcome
    exit_code: int | None
    seconds: float
    output_tail: str = Field(description="the end of what the student's code printed; theirs, not the checker's")
    counts: list[Count] = Field(default=[], description="what the data it wrote say; the evidence is compared apart")


class Evidence(Model):
    """What the verdict stands on."""

    replayed: list[Replay] = []
    recomputed: list[str] = Field(default=[], description="what the checker generated itself, in words")
    stored_bytes: Literal["compared", "not compared", "not reached"] = "not reached"
    stored_bytes_because: str | None = None
    hidden_seed: int | None = Field(default=None, description="give it to --hidden-seed to repeat this very check")


class Environment(Model):
    checker: str
    python: str
    platform: str
    courselib: str | None = None
    numpy: str | None = None
    torch: str | None = None
    triton: str | None = None
    order: str | None = Field(default=None, description="the promise the fixed-order ops keep")
    ops: str | None = Field(default=None, description="which implementation of them ran here")
    sandbox: Tier | None = Field(default=None, description="how far the scripts were shut in; null: none was run")


class Submission(Model):
    path: str
    fingerprint: str | None = Field(default=None, description="sha256 over the names and contents of its files")


class Report(Model):
    schema_: Literal["checker.report/1"] = Field(default="checker.report/1", alias="schema")
    lab: str
    title: str
    submission: Submission
    language: Language = Field(
        default="en",
        description="of its sentences; kinds, statuses, verdicts and field names are the same in every one",
    )
    started: str = Field(description="UTC, ISO 8601")
    only: list[str] = Field(default=[], description="the tasks that were asked for; empty: all")
    verdict: Verdict
    score: Score
    tasks: list[TaskResult]
    findings: list[Finding] = Field(default=[], description="about the submission as a whole")
    evidence: Evidence = Evidence()
    environment: Environment
    durations: dict[str, float] = Field(default={}, description="seconds")

    @model_validator(mode="after")
    def _consistent(self) -> Report:
        if self.score.points != sum(t.points for t in self.tasks):
            raise ValueError("the score is not the sum of the tasks' points")
        if self.score.possible != sum(t.possible for t in self.tasks):
            raise ValueError("the possible score is not the sum of the tasks' possible points")
        if self.verdict == "not started":
            if any(t.status != "not run" for t in self.tasks) or self.findings:
                raise ValueError("nothing was started, yet something ran or was found")
        elif self.verdict != verdict_of(self.tasks, self.findings):
            raise ValueError(f"verdict {self.verdict!r} does not follow from the tasks")
        return self

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def verdict_of(tasks: list[TaskResult], findings: list[Finding]) -> Verdict:
    """The worst thing found decides: integrity, then unreadable, then not passed."""
    kinds = {f.kind for t in tasks for f in t.findings} | {f.kind for f in findings}
    if "integrity" in kinds:
        return "integrity"
    if "unreadable" in kinds:
        return "unreadable"
    asked = [t for t in tasks if t.asked]
    return "passed" if asked and not findings and all(t.status == "passed" for t in asked) else "not passed"
