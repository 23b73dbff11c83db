"""results.json and manifest.json: whole, in agreement with themselves, and such as a clock and costs.py can give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from checker.check import Part
from checker.claims import better, mismatch
from checker.collected import refused_or
from checker.faults import show
from checker.lab03 import cases, truth
from checker.lab03.claims import replayed
from checker.lab03.schemas import (
    Costs,
    CountedGeneration,
    CountedStep,
    Formulas,
    Generation,
    Number,
    Point,
    Results,
    SaidGeneration,
    SaidStep,
    Step,
    Summary,
)
from checker.lab03.work import MANIFEST, RESULTS, Work
from checker.language import N_, _, ngettext
from checker.report import Finding

NOTHING_YET = N_("costs.py gives nothing but zeros yet: do its TODO 1 to 4, then run measure.py again.")
NOT_THE_LABS = N_("It is not what measure.py asks and times: run it as it came, without --cases.")
Item = Finding | Part | str
Entry = CountedStep | CountedGeneration
Said = SaidStep | SaidGeneration


def manifest(work: Work) -> Iterator[Item]:
    """As its schema asks, about the lab's own grid, and with the summary that results.json deserves."""
    found = work.manifest
    if isinstance(found, list):
        yield from found
        return
    made = found.config
    for name, right, given in (
        ("warmup", cases.WARMUP, made.warmup),
        ("repeats", cases.REPEATS, made.repeats),
        ("order_seed", cases.ORDER_SEED, made.order_seed),
        ("threads", 1, made.threads),
    ):
        if given != right:
            yield mismatch(MANIFEST, f"config.{name}", show(right), show(given), _(NOT_THE_LABS))
    if not found.results_summary.values_equal:
        yield mismatch(MANIFEST, "results_summary.values_equal", _("some"), "0", _(NOTHING_YET))
    results = work.readable(lambda: work.results)
    if results is None:
        return
    yield from _summaries(work, MANIFEST, "results_summary", tally(results), found.results_summary)
    spent = sum(sample for point in results.points for sample in point.samples_ns) / 1e9
    if spent > made.seconds:
        message = _("The samples of results.json take longer, all together, than the run that they are said to be of.")
        expected = _("at least {seconds:.3f}, the sum of all samples").format(seconds=spent)
        yield mismatch(MANIFEST, "config.seconds", expected, show(made.seconds), message)


def results(work: Work) -> Iterator[Item]:
    found = work.results
    if isinstance(found, list):
        yield from found
        return
    faults = [*_not_asked(work, found), *_not_timed(found)]
    yield from faults
    if faults:
        return
    yield from _counted(found)
    said = [value for entry in entries(found) for value in entry.formula.model_dump().values()]
    if not any(said):
        yield mismatch(RESULTS, "costs", _("some number that is not 0"), _("zeros"), _(NOTHING_YET))
    yield from _summaries(work, RESULTS, "summary", tally(found), found.summary)
    yield from _implausible(found)
    yield from _against_the_run(work, found)


def entries(results: Results) -> list[Entry]:
    return [entry for _place, entry in placed(results)]


def placed(results: Results) -> Iterator[tuple[str, Entry]]:
    """Each entry with its path in the file."""
    for i, step in enumerate(results.costs.steps):
        yield f"costs.steps[{i}]", step
    for i, generation in enumerate(results.costs.generations):
        yield f"costs.generations[{i}]", generation


def right(entry: Step | Generation) -> Costs:
    return truth.of_step(entry) if isinstance(entry, Step) else truth.of_generation(entry)


def is_right(said: object, counted: object) -> bool:
    """A whole number, and the right one: 3.0 is none."""
    return type(said) is int and said == counted


def tally(results: Results) -> Summary:
    """The summary that ``results`` deserve."""
    pairs = [(said, true) for _place, entry in placed(results) for said, true in _pairs(entry)]
    return Summary(
        values=len(pairs),
        values_equal=sum(is_right(said, true) for said, true in pairs),
        points=len(results.points),
        samples=sum(len(point.samples_ns) for point in results.points),
    )


def _not_asked(work: Work, found: Results) -> Iterator[Finding]:
    """The cases are the lab's own."""
    asked: tuple[tuple[str, Sequence[Entry], Sequence[Step | Generation]], ...] = (
        ("steps", found.costs.steps, work.lab_steps),
        ("generations", found.costs.generations, work.lab_generations),
    )
    for name, given, wanted in asked:
        bare = [
            {field: getattr(entry, field) for field in type(case).model_fields}
            for entry, case in zip(given, wanted, strict=False)
        ]
        for i, (entry, case) in enumerate(zip(bare, wanted, strict=False)):
            for field, value in entry.items():
                true = getattr(case, field)
                if value != true:
                    shown, told = (show(x.model_dump() if field == "shape" else x) for x in (true, value))
                    yield mismatch(RESULTS, f"costs.{name}[{i}].{field}", shown, told, _(NOT_THE_LABS))
                    return
        if len(given) != len(wanted):
            yield mismatch(RESULTS, f"costs.{name}", _cases(len(wanted)), _cases(len(given)), _(NOT_THE_LABS))


def _not_timed(found: Results) -> Iterator[Finding]:
    """The points are those of the grid, each with its samples."""
    if found.warmup != cases.WARMUP:
        yield mismatch(RESULTS, "warmup", show(cases.WARMUP), show(found.warmup), _(NOT_THE_LABS))
    grid = list(cases.grid())
    for i, (point, asked) in enumerate(zip(found.points, grid, strict=False)):
        given = point.model_dump(exclude={"samples_ns"})
        if given != asked:
            yield mismatch(RESULTS, f"points[{i}]", show(asked), show(given), _(NOT_THE_LABS))
            return
        if len(point.samples_ns) != cases.WARMUP + cases.REPEATS:
            message = _("Each point has one sample of each round: none is added, none is left out.")
            expected, n = _samples(cases.WARMUP + cases.REPEATS), _samples(len(point.samples_ns))
            yield mismatch(RESULTS, f"points[{i}].samples_ns", expected, n, message)
    if len(found.points) != len(grid):
        yield mismatch(RESULTS, "points", _points(len(grid)), _points(len(found.points)), _(NOT_THE_LABS))


def _counted(found: Results) -> Iterator[Finding]:
    """What measure.py counted follows from the shapes, and is the same everywhere."""
    message = _("A count of real calls is the same on every machine; this one is another.")
    for place, entry in placed(found):
        for quantity, true in right(entry).model_dump().items():
            given = getattr(entry.counted, quantity)
            if given != true:
                yield mismatch(RESULTS, f"{place}.counted.{quantity}", show(true), show(given), message)


def _implausible(found: Results) -> Iterator[Finding]:
    """Samples such as no clock gives. How long they are is nobody's business here."""
    seen: dict[tuple[int, ...], int] = {}
    for i, point in enumerate(found.points):
        where, samples = f"points[{i}].samples_ns", tuple(point.samples_ns)
        if len(set(samples)) == 1:
            message = _("All samples are equal to the nanosecond: a clock does not do this.")
            yield mismatch(RESULTS, where, _("samples that scatter"), _equal(point), message)
        elif samples in seen:
            message = _("Two points have the same samples to the nanosecond: a clock does not do this.")
            expected = _("other samples than those of points[{i}]").format(i=seen[samples])
            yield mismatch(RESULTS, where, expected, show(list(samples)), message)
        seen.setdefault(samples, i)


def _summaries(work: Work, file: str, where: str, deserved: Summary, found: Summary) -> Iterator[Finding]:
    message = _("The summary is not what the entries of results.json show.")
    for name, value in found.model_dump().items():
        true = getattr(deserved, name)
        if value == true:
            continue
        here = _here(work) if name == "values_equal" and value > true else None
        say = partial(better, work) if here and _equal_here(work, here) < value else mismatch
        yield say(file, f"{where}.{name}", show(true), show(value), message)


def _against_the_run(work: Work, found: Results) -> Iterator[Finding]:
    """What costs.py is said to have given, and what it gives here: the same numbers, on any machine."""
    here = _here(work)
    if here is None:
        yield from replayed(work, "formulas", refused_or(lambda: work.formulas))
        return
    message = _("costs.py was run here and gives another number: run measure.py again.")
    for (place, entry), again in zip(placed(found), _of_the_lab(work, here), strict=False):
        for quantity, value in entry.formula.model_dump().items():
            now = getattr(again.formula, quantity)
            if value == now and type(value) is type(now):
                continue
            flatters = is_right(value, getattr(right(entry), quantity))
            say = partial(better, work) if flatters else mismatch
            yield say(RESULTS, f"{place}.formula.{quantity}", show(now), show(value), message)


def _here(work: Work) -> Formulas | None:
    return work.readable(lambda: work.formulas)


def _of_the_lab(work: Work, here: Formulas) -> list[Said]:
    """What costs.py says here of the lab's own cases."""
    return [*here.steps[: len(work.lab_steps)], *here.generations[: len(work.lab_generations)]]


def _equal_here(work: Work, here: Formulas) -> int:
    """How many of the lab's values costs.py gets right here."""
    return sum(is_right(said, true) for one in _of_the_lab(work, here) for said, true in _pairs(one))


def _pairs(entry: Said) -> Iterator[tuple[Number, Number]]:
    """What costs.py said, and what is right, of all that is not 0: a 0 is right for who has not begun, too."""
    for name, true in right(entry).model_dump().items():
        if true:
            yield getattr(entry.formula, name), true


def _cases(n: int) -> str:
    return ngettext("{n} case", "{n} cases", n).format(n=n)


def _points(n: int) -> str:
    return ngettext("{n} point", "{n} points", n).format(n=n)


def _samples(n: int) -> str:
    return ngettext("{n} sample", "{n} samples", n).format(n=n)


def _equal(point: Point) -> str:
    return _("{n} times {value} ns").format(n=len(point.samples_ns), value=point.samples_ns[0])
