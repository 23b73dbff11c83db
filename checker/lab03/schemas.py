"""The files of a lab 03 submission, field by field; labs/03/schemas/ holds them as JSON Schema.

What one field says about another is not asked here but by the tasks, where a contradiction can name both sides.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from checker.documents import Count, Dated, Model, Sha256, Text

Sweep = Literal["length", "batch"]
Size = Annotated[int, Field(ge=1)]
Number = int | float | None  # what a student's function gave; null: no finite number

# ---- what is asked ---------------------------------------------------------------------------------------------------


class Shape(Model):
    """What courselib.minigpt.Config takes."""

    vocab_size: Size
    n_layers: Size
    dim: Size
    n_heads: Size
    n_kv_heads: Size
    ff_dim: Size
    activation: Literal["swiglu", "gelu"]
    tied_head: bool

    @property
    def head_dim(self) -> int:
        return self.dim // self.n_heads


class Step(Model):
    """One forward pass: T tokens in each of B sequences, S slots held before; size bytes a number."""

    id: Text
    shape: Shape
    B: Size
    T: Size
    S: Count
    size: Size


class Generation(Model):
    """generate(B prompts of `prompt` tokens, `new`), with a cache or without."""

    id: Text
    shape: Shape
    B: Size
    prompt: Size
    new: Size
    cache: bool
    size: Size


class Costs(Model):
    flops: Number
    weight_bytes: Number
    kv_bytes_read: Number
    kv_bytes_written: Number
    cache_bytes: Number


# ---- formulas.json: what costs.py says of other cases; only in a run of the checker's --------------------------------


class SaidStep(Step):
    formula: Costs


class SaidGeneration(Generation):
    formula: Costs


class Formulas(Model):
    schema_: Literal["lab03.formulas/1"] = Field(alias="schema")
    steps: list[SaidStep] = Field(max_length=100)
    generations: list[SaidGeneration] = Field(max_length=100)


# ---- results.json, manifest.json -------------------------------------------------------------------------------------


class CountedStep(SaidStep):
    counted: Costs


class CountedGeneration(SaidGeneration):
    counted: Costs


class Counted(Model):
    steps: list[CountedStep] = Field(max_length=100)
    generations: list[CountedGeneration] = Field(max_length=100)


class Point(Model):
    """One step that was timed: n tokens seen, all but one of them held if there is a cache."""

    sweep: Sweep
    cache: bool
    B: Size
    n: Size
    samples_ns: list[Annotated[int, Field(ge=1, description="nanoseconds, in the order they were taken")]] = Field(
        min_length=1, max_length=1000
    )


class Summary(Model):
    values: Count = Field(description="numbers that costs.py was asked for, but for those that are 0")
    values_equal: Count = Field(description="how many of them are whole numbers, equal to what was counted")
    points: Count
    samples: Count


class Results(Model):
    schema_: Literal["lab03.results/1"] = Field(alias="schema")
    costs: Counted
    warmup: Count = Field(description="how many samples of each point come first and are not to be used")
    points: list[Point] = Field(min_length=1, max_length=200)
    summary: Summary


class Config(Model):
    ops: Literal["fixed-c", "stock"]
    threads: Size
    warmup: Count
    repeats: Size
    order_seed: Count
    seconds: Annotated[float, Field(gt=0, description="by the clock, around all that was timed")]


class Manifest(Dated):
    schema_: Literal["lab03.manifest/1"] = Field(alias="schema")
    experiment: Literal["03-cost-curves"]
    config: Config
    results_summary: Summary


# ---- analysis.json, and fits.json in a run of the checker's ----------------------------------------------------------


class Fitted(Model):
    """time = prefactor * x ** exponent for low <= x <= high, x being n or B."""

    sweep: Sweep
    cache: bool
    low: int | float
    high: int | float
    medians_ns: list[float | None] = Field(max_length=200, description="one for each point, in the order of results")
    exponent: float | None
    prefactor_ns: float | None


class Analysis(Model):
    schema_: Literal["lab03.analysis/1"] = Field(alias="schema")
    results_sha256: Sha256 = Field(description="of the results.json that was analysed")
    fits: list[Fitted] = Field(max_length=20)


class AskedMedian(Model):
    samples: list[int | float]
    warmup: Count


class AskedFit(Model):
    x: list[int | float]
    y: list[int | float]
    low: int | float
    high: int | float


class AskedFits(Model):
    medians: list[AskedMedian]
    fits: list[AskedFit]


class Line(Model):
    exponent: float | None
    prefactor: float | None


class Fits(Model):
    schema_: Literal["lab03.fits/1"] = Field(alias="schema")
    medians: list[float | None] = Field(max_length=200)
    fits: list[Line] = Field(max_length=200)


# ---- prediction.json -------------------------------------------------------------------------------------------------


class LargeModel(Model):
    """One decode step of one sequence of the large model, with a cache that holds 32,768 slots when it is done."""

    flops: Number
    weight_bytes: Number
    kv_bytes_read: Number
    cache_bytes: Number
    cache_gib: Annotated[Number, Field(description="the same memory in GiB")]


class Seconds(Model):
    """MiniGPT's step at 32,768 tokens: along the fitted line, and from the longest measured step as FLOPs grow."""

    by_fit: float | int | None
    by_flops: float | int | None


class BothSeconds(Model):
    cached: Seconds
    uncached: Seconds


class Prediction(Model):
    schema_: Literal["lab03.prediction/1"] = Field(alias="schema")
    slots: Literal[32768]
    large: LargeModel
    seconds: BothSeconds


# ---- figures.json: only in a run of the checker's --------------------------------------------------------------------


class Scale(Model):
    scale: Annotated[str, Field(max_length=50)]
    limits: list[float | None] = Field(min_length=2, max_length=2)
    label: Annotated[str, Field(max_length=500)]


class Drawn(Model):
    """A line, or a cloud of points. stroke and marker: "" for none."""

    name: Annotated[str, Field(max_length=500)]
    x: list[float | None] = Field(max_length=20_000)
    y: list[float | None] = Field(max_length=20_000)
    stroke: Annotated[str, Field(max_length=100)]
    marker: Annotated[str, Field(max_length=1000)]
    every: bool
    seen: bool


class Axes(Model):
    title: Annotated[str, Field(max_length=1000)]
    x: Scale
    y: Scale
    names: list[Annotated[str, Field(max_length=1000)]] = Field(max_length=500)
    lines: list[Drawn] = Field(max_length=500)


class Figure(Model):
    axes: list[Axes] = Field(max_length=50)


class Figures(Model):
    schema_: Literal["lab03.figures/1"] = Field(alias="schema")
    figures: list[Figure] = Field(max_length=20)
