"""The files of a lab 05 submission, field by field; labs/05/schemas/ holds them as JSON Schema.

What one field says about another is not asked here but in ``stored``, where a contradiction can name both sides.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from checker import documents
from checker.documents import Count, Dated, Model, Sha256, Text

Op = Literal["matmul", "log_softmax", "mean"]
Device = Literal["cpu", "cuda"]
Row = Annotated[int, Field(ge=-2, description="a row of the case; -1: a row of NaN, -2: a row of infinities")]


class Ask(Model):
    """One case: which op, on which numbers, in which calls. The same fields as in a --cases file."""

    id: Text
    op: Op
    dtype: Literal["float32", "float16"]
    length: Annotated[int, Field(ge=1, description="how many numbers one output adds up: K for matmul")]
    columns: Annotated[int, Field(ge=1, description="N for matmul")] | None
    kind: Literal["plain", "cancelling"]
    strided: bool
    rows: Annotated[int, Field(ge=1)]
    seed: Count
    calls: list[Annotated[list[Row], Field(min_length=1, max_length=200)]] = Field(min_length=1, max_length=100)


class Case(Ask):
    launches: Count = Field(description="of Triton kernels of kernels.py")
    sha256: list[Sha256] = Field(description="one for each call: over the dtype's name and the bytes in C order")
    compared: Count = Field(description="how many times a row came again, in other company")
    differing: Count = Field(description="how many times its bytes were others than at first")
    max_error: Annotated[float, Field(ge=0, description="the largest distance from float64; null: NaN or inf")] | None


class Launches(Model):
    """Triton kernels launched by PyTorch's op before, inside and after registered(), and by kernels.py's own."""

    before: Count
    inside: Count
    after: Count
    after_exception: Count
    direct: Count


class Digests(Model):
    """What came out then: sha256."""

    before: Sha256
    inside: Sha256
    after: Sha256
    after_exception: Sha256
    direct: Sha256


class Probe(Model):
    launches: Launches
    sha256: Digests


class Probes(Model):
    matmul: Probe
    log_softmax: Probe
    mean: Probe


class Summary(Model):
    cases: Count
    cases_equal: Count
    rows_compared: Count
    rows_differing: Count
    launches: Count


class Results(Model):
    schema_: Literal["lab05.results/1"] = Field(alias="schema")
    case_seed: Count | None = Field(description="null when --cases was given")
    device: Device
    cases: list[Case] = Field(min_length=1, max_length=100)
    registered: Probes
    summary: Summary


class Versions(documents.Versions):
    triton: Text


class Config(Model):
    device: Device
    device_name: Text
    arithmetic: Sha256 | None = Field(
        description="of some of NumPy's results, which the interpreter's are; null: a GPU"
    )
    case_seed: Count
    n_cases: Count


class Manifest(Dated):
    schema_: Literal["lab05.manifest/1"] = Field(alias="schema")
    experiment: Literal["05-write-the-kernels"]
    versions: Versions
    config: Config
    results_summary: Summary


class Difference(Model):
    """The first place where a row in company is not the row alone; both words in hex."""

    company: Text
    length: Annotated[int, Field(ge=1)]
    place: Count
    column: Count
    alone: Annotated[str, Field(pattern=r"^[0-9a-f]{4,16}$")]
    together: Annotated[str, Field(pattern=r"^[0-9a-f]{4,16}$")]
    ulps: Count


class Tested(Model):
    comparisons: Count
    differing: Count
    first: Difference | None


class TestedOps(Model):
    matmul: Tested
    log_softmax: Tested
    mean: Tested


class Called(Model):
    """How often a candidate's op was called, and rows that came out in two ways: digests of what went in, came out at
    first, and came out later."""

    calls: Count = 0
    changed: list[list[str]] = Field(default=[], max_length=10)


class Calls(Model):
    """What a candidate notes of the calls to it. The checker's own, between it and itself: no file of a submission."""

    matmul: Called = Called()
    log_softmax: Called = Called()
    mean: Called = Called()


class Invariance(Model):
    """What invariance_test.py saw of one kernels file."""

    schema_: Literal["lab05.invariance/1"] = Field(alias="schema")
    kernels_sha256: Sha256 = Field(description="of the kernels file that was tested")
    device: Device
    ops: TestedOps
