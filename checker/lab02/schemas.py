"""The files of a lab 02 submission, field by field; labs/02/schemas/ holds them as JSON Schema.

Types are strict (no "50" for 50, no true for 1), unknown fields are refused. What one field says about another is
not asked here but in ``consistency``, where a contradiction can name both sides.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from checker.documents import Count, Dated, Model, Sha256, Text

N_PROMPTS = 50
MAX_NEW_TOKENS = 64


Token = Annotated[int, Field(ge=0, lt=2**31)]


# ---- 22-cache-correctness/results.json ---------------------------------------------------------------------------


class Tokens(Model):
    cached: list[Token] = Field(max_length=1024)
    uncached: list[Token] = Field(max_length=1024)
    first_divergence: Count | None = Field(description="index of the first new token that differs, or null")


class Rows(Model):
    """One array of both runs: sha256 over its little-endian bytes in C order, and its rows that differ."""

    cached: Sha256
    uncached: Sha256
    rows: Count
    differing: Count


class Case(Model):
    id: Text
    prompt: Text
    kind: Literal["adverbial", "partial", "mixed"]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    prompt_tokens: Annotated[int, Field(ge=1)]
    tokens: Tokens
    k: Rows = Field(description="(L, H_kv, S, d_h) at the last step, S = prompt_tokens + new - 1; a row is d_h floats")
    v: Rows = Field(description="as k")
    logits: Rows = Field(description="(n_new, V); a row is V floats")


class Summary(Model):
    n: Count
    tokens_passed: Count
    tokens_failed: Count
    bytes_passed: Count = Field(description="cases whose k, v and logits all have differing == 0")
    bytes_failed: Count
    first_divergence_step_min: Count | None
    first_divergence_step_max: Count | None


class FixedRun(Model):
    order: Literal["fixed-order/1"]
    cases: list[Case] = Field(min_length=1, max_length=200)
    summary: Summary


class StockRun(Model):
    order: Literal["stock"]
    cases: list[Case] = Field(min_length=1, max_length=200)
    summary: Summary


class Runs(Model):
    fixed: FixedRun
    stock: StockRun | None = None


class Extended(Model):
    long: Case = Field(description="the first lab prompt, 256 new tokens")
    batch: list[Case] = Field(min_length=4, max_length=4, description="lab prompts p00, p20, p30, p40 in one batch")
    warm: Case = Field(description="lab prompt p40, its last 5 tokens on a warm cache as one chunk")


class Results(Model):
    schema_: Literal["lab02.results/1"] = Field(alias="schema")
    prompt_seed: Annotated[int, Field(ge=0)] | None = Field(description="null when --prompts was given")
    max_new_tokens: Literal[64]
    runs: Runs
    extended: Extended | None


# ---- 22-cache-correctness/diagnosis.json -------------------------------------------------------------------------


class Diagnosis(Model):
    """Where the two runs of the student's own case first differ, as ``first_divergence`` says, and why."""

    schema_: Literal["lab02.diagnosis/1"] = Field(alias="schema")
    student: Annotated[str, Field(min_length=1, max_length=100, description="the name the case was made for")]
    step: Count
    layer: Count
    head: Count
    slot: Count
    cause: Literal[
        "other-slot",
        "not-written",
        "overwritten",
        "wrong-mask",
        "other-position",
        "rotated-twice",
        "other-layer",
        "heads-swapped",
        "k-and-v",
        "fewer-bits",
        "one-bit",
    ]


# ---- the two manifests -------------------------------------------------------------------------------------------


class LengthRange(Model):
    min: Annotated[int, Field(ge=1)]
    max: Annotated[int, Field(ge=1)]
    unit: Literal["tokens"]


class ManifestConfig(Model):
    model: Literal["minigpt"]
    weights_sha256: Sha256
    order: Text
    n_prompts: Literal[50]
    prompt_len_range: LengthRange
    max_new_tokens: Literal[64]
    batch_size: Literal[1]
    temperature: Annotated[float, Field(ge=1.0, le=1.0)]
    top_k: None


class ManifestSummary(Model):
    """The fixed run's summary; passed and failed count tokens."""

    passed: Count
    failed: Count
    bytes_passed: Count
    bytes_failed: Count
    first_divergence_step_min: Count | None
    first_divergence_step_max: Count | None


class Manifest(Dated):
    """22-cache-correctness/manifest.json"""

    schema_: Literal["lab02.manifest/1"] = Field(alias="schema")
    experiment: Literal["22-cache-correctness"]
    seed_prompt_sampler: Literal[1]
    seed_generation_per_prompt: Text
    config: ManifestConfig
    results_summary: ManifestSummary


class DumpConfig(Model):
    model: Literal["minigpt"]
    weights_sha256: Sha256
    order: Text
    prompt: Text = Field(description='"Yesterday I" in what is handed in; what --prompt said in other runs')
    decoded: Text
    slots: Annotated[list[int], Field(min_length=2, max_length=100, description="those of the prompt, from 0")]

    @field_validator("slots")
    @classmethod
    def _from_zero(cls, value: list[int]) -> list[int]:
        if value != list(range(len(value))):
            raise ValueError(str(list(range(len(value)))))
        return value


class DumpSummary(Model):
    rows: Count
    differing: Count


class DumpManifest(Dated):
    """22-yesterday-worked/manifest.json"""

    schema_: Literal["lab02.dump/1"] = Field(alias="schema")
    experiment: Literal["22-yesterday-worked"]
    config: DumpConfig
    results_summary: DumpSummary
