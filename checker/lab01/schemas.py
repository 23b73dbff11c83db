"""The files of a lab 01 submission, field by field; labs/01/schemas/ holds them as JSON Schema.

Last come two files that exercise.py writes or reads during a check, and nobody hands in: the cases that it is asked
about, and what each operation of a case gave.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from checker.documents import Count, Dated, Model, Sha256, Text

Block = Literal["A", "B", "C", "D"]


class Case(Model):
    id: Text
    block: Block
    operations: Count
    refused: Count = Field(description="how many operations ended with an exception")
    rows: Count = Field(description="how many K and V rows read() handed out")
    sha256: Sha256 = Field(description="over all that the operations gave, in their order")


class Generation(Model):
    id: Text
    stopped: Annotated[str, Field(min_length=1, max_length=1000)] | None = Field(
        description="the exception that ended it; null: none"
    )
    tokens: list[Annotated[list[Count], Field(max_length=100)]] = Field(max_length=20, description="of each prompt")
    k: list[Sha256] = Field(max_length=20, description="of each prompt: K (L, H_kv, S, d_h) as attention read it last")
    v: list[Sha256] = Field(max_length=20)
    logits: list[Sha256] = Field(max_length=20, description="of each prompt: those its tokens were drawn from")
    compared: Count = Field(description="rows of K, V and logits compared with a run without a cache")
    differing: Count = Field(description="and how many of them differ in any bit")


class Summary(Model):
    """Of all cases, and of all generations but those in which a row was overwritten: these are the pokes."""

    cases: Count
    operations: Count
    refused: Count
    rows_read: Count
    generations: Count
    generations_equal: Count
    rows_compared: Count
    rows_differing: Count
    pokes: Count
    pokes_seen: Count


class Results(Model):
    schema_: Literal["lab01.results/1"] = Field(alias="schema")
    case_seed: Count | None = Field(description="null when --cases was given")
    cases: list[Case] = Field(min_length=1, max_length=200)
    generations: list[Generation] = Field(min_length=1, max_length=100)
    summary: Summary


class Config(Model):
    case_seed: Count
    n_cases: Count
    n_generations: Count
    model: Literal["minigpt"]
    weights_sha256: Sha256
    order: Text = Field(description="the promise under which the generations' bytes were made")


class Manifest(Dated):
    schema_: Literal["lab01.manifest/1"] = Field(alias="schema")
    experiment: Literal["01-write-the-cache"]
    config: Config
    results_summary: Summary


# ---- during a check --------------------------------------------------------------------------------------------------

Size = Annotated[int, Field(ge=0, le=100_000)]


class Array(Model):
    dtype: Literal["uint8", "uint16", "uint32", "uint64"]
    shape: list[Size] = Field(max_length=8)

    @property
    def n_bytes(self) -> int:
        n = int(self.dtype[4:]) // 8
        for size in self.shape:
            n *= size
        return n


class Answer(Model):
    """What one operation gave."""

    raised: Text | None = Field(description="ValueError and TypeError for what is derived from them too")
    said: Annotated[str, Field(max_length=1000)] | None
    numbers: list[Annotated[list[int], Field(max_length=1000)]] = Field(max_length=100)
    arrays: list[Array] = Field(max_length=2)


class Answers(Model):
    cases: dict[str, list[Answer]]


class Ask(Model):
    """One case, as cases.py describes it."""

    id: Text
    block: Block
    cache: Literal["contiguous", "paged"]
    layers: int
    batch: int
    kv_heads: int
    head_dim: int
    dtype: Literal["float32", "float16", "bfloat16"]
    slots: int
    pages: int | None
    seed: int
    ops: list[dict[str, Any]]


class Poke(Model):
    layer: int
    pair: int
    sequence: int
    head: int
    slot: int


class AskGeneration(Model):
    """One call of generate, as cases.py describes it."""

    id: Text
    prompts: list[str]
    seeds: list[int]
    cache: Literal["contiguous", "paged"]
    new: int
    padding: Literal["right", "left"]
    chunk: int | None
    fill: str | None
    before: list[str] | None
    cut: int
    poke: Poke | None
    page_size: int | None
