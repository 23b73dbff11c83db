"""One shape for the result of every benchmark: what ran, on which machine, and what was measured there.

A result holds rows (something timed: a value for each peer, and ratios between them) and counts (how many comparisons
were made and how many of them differed). Rows keep the spread of their repeats, so that a reader can see how far to
trust a median; there is no field for a conclusion.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from statistics import quantiles
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

Settings = dict[str, int | str]  # what was varied: {"B": 4, "threads": 1}
SECONDS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6}  # the units of time, in seconds


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class Device(Strict):
    """The machine. load: how many processes wanted a core (1-minute average) as the run began and as it ended; one that
    is near or above `cores` means that others were at work, and that times are worse than the machine's own."""

    cpu: str
    cores: PositiveInt
    threads: list[PositiveInt]  # used, in the order of use
    system: str
    instructions: str | None = None  # the widest vectors that PyTorch uses here
    gpu: str | None = None
    load: tuple[float, float] | None = None


class Measured(Strict):
    """Repeats of one measurement: their median, between the quartiles low and high."""

    low: PositiveFloat
    median: PositiveFloat
    high: PositiveFloat
    repeats: PositiveInt

    @model_validator(mode="after")
    def ordered(self) -> Self:
        if not self.low <= self.median <= self.high:
            raise ValueError(f"expected low <= median <= high, got {self.low}, {self.median}, {self.high}")
        return self

    @classmethod
    def of(cls, values: Sequence[float]) -> Measured:
        """From the repeats themselves, in any order, kept to four digits."""
        three = quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
        low, median, high = (float(f"{x:.4g}") for x in three)
        return cls(low=low, median=median, high=high, repeats=len(values))


class Floor(Strict):
    """The least time that work can take: `bytes` at `bandwidth` (bytes/s) or `flops` at `rate` (flop/s), whichever is
    longer, in the row's unit. Both speeds are medians that the same run measured, so noise may undercut the floor."""

    value: PositiveFloat
    bytes: PositiveInt
    bandwidth: PositiveFloat
    flops: NonNegativeInt = 0
    rate: PositiveFloat | None = None

    @classmethod
    def of(cls, unit: str, bytes: int, bandwidth: float, flops: int = 0, rate: float | None = None) -> Floor:
        """In `unit` ("s", "ms" or "µs"), kept to four digits. flops without a rate are left out of it."""
        seconds = max(bytes / bandwidth, flops / rate if rate else 0.0)
        return cls(
            value=float(f"{seconds / SECONDS[unit]:.4g}"), bytes=bytes, bandwidth=bandwidth,
            flops=flops if rate else 0, rate=rate,
        )  # fmt: skip


class Row(Strict):
    """One thing timed on several peers in turn. ratios: "a / b" -> a's value over b's, each repeat of a over the repeat
    of b that ran beside it (so what slowed both down cancels)."""

    name: str
    unit: str
    better: Literal["higher", "lower"]
    settings: Settings
    values: dict[str, Measured] = Field(min_length=1)
    ratios: dict[str, Measured]
    floor: Floor | None = None

    @model_validator(mode="after")
    def floor_is_a_time(self) -> Self:
        if self.floor is not None:
            if self.unit not in SECONDS or self.better != "lower":
                raise ValueError(
                    f"a floor bounds a time from below; this row is in {self.unit}, {self.better} is better"
                )
            f = self.floor
            again = Floor.of(self.unit, f.bytes, f.bandwidth, f.flops, f.rate).value
            if not math.isclose(f.value, again, rel_tol=1e-3):
                raise ValueError(f"a floor of {f.value} {self.unit} does not follow from its parts, which give {again}")
        return self

    @model_validator(mode="after")
    def ratios_name_peers(self) -> Self:
        for name in self.ratios:
            if missing := set(name.split(" / ")) - set(self.values):
                raise ValueError(f'ratio "{name}" names {sorted(missing)}, which has no value here')
        return self


class Tally(Strict):
    differing: NonNegativeInt
    compared: PositiveInt

    @model_validator(mode="after")
    def no_more_than_all(self) -> Self:
        if self.differing > self.compared:
            raise ValueError(f"{self.differing} differ of {self.compared} compared")
        return self

    def __add__(self, other: Tally) -> Tally:
        return Tally(differing=self.differing + other.differing, compared=self.compared + other.compared)


class Count(Strict):
    """Byte comparisons of one way of computing with its reference, on one peer, by kind of row ("K rows", ...)."""

    name: str
    peer: str
    settings: Settings
    tallies: dict[str, Tally] = Field(min_length=1)


class Result(Strict):
    """One run of one benchmark. notes: what a reader must know, such as what was left out and why."""

    format: Literal["byte-for-byte/benchmark/1"] = "byte-for-byte/benchmark/1"
    name: str
    date: date
    quick: bool
    seconds: PositiveFloat
    device: Device
    versions: dict[str, str]
    rows: list[Row]
    counts: list[Count]
    notes: list[str]

    def save(self, path: Path) -> None:
        """Written beside and moved into place: a run that is killed as it saves keeps what it had."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".part")
        beside.write_text(self.model_dump_json(indent=1, exclude_none=True) + "\n", encoding="utf-8")
        os.replace(beside, path)


def load(path: Path) -> Result:
    """A stored result. Raises pydantic's ValidationError, which names every field that is wrong."""
    return Result.model_validate_json(path.read_bytes())
