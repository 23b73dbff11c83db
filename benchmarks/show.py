"""A result as tables for a terminal. It is drawn from what is saved, so the two cannot disagree."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from .schema import Count, Measured, Result, Row, Tally


def show(result: Result, out: Console) -> None:
    """Print every row, every count and every note."""
    d = result.device
    busy = "" if d.load is None else f"; load {d.load[0]:.1f} at the start, {d.load[1]:.1f} at the end"
    out.print(f"{result.name}, {result.date}: {d.cpu}, {d.cores} cores, {d.instructions or d.system}{busy}")
    out.print(", ".join(f"{name} {version}" for name, version in result.versions.items()), soft_wrap=True)
    for row in result.rows:
        out.print(_timed(row))
    if result.counts:
        out.print(_counted(result.counts))
        out.print(_totals(result.counts))
    for note in result.notes:
        out.print(f"Note: {note}", soft_wrap=True)


def _timed(row: Row) -> Table:
    settings = ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in row.settings.items()
    )
    lead, *_ = row.values
    table = Table(title=f"{row.name} ({settings}), {row.unit}", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    for column in ("median", "quartiles", f"{lead} / this"):
        table.add_column(column, justify="right")
    for peer, value in row.values.items():
        ratio = row.ratios.get(f"{lead} / {peer}")
        table.add_row(peer, _number(value.median), _spread(value), "" if ratio is None else f"{ratio.median:.3g}")
    return table


def _counted(counts: list[Count]) -> Table:
    """What was compared, a line for each way; a column for each peer and settings; all kinds of rows together."""
    columns = list(dict.fromkeys((c.peer, _settings(c)) for c in counts))
    table = Table(title="Rows that differ, of rows compared", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    for peer, settings in columns:
        table.add_column(f"{peer}\n{settings}", justify="right")
    for name in dict.fromkeys(c.name for c in counts):
        cells = {(c.peer, _settings(c)): _sum(list(c.tallies.values())) for c in counts if c.name == name}
        table.add_row(name, *(_of(cells[column]) if column in cells else "" for column in columns))
    return table


def _totals(counts: list[Count]) -> Table:
    """The same by kind of row: a column for each peer."""
    peers = list(dict.fromkeys(c.peer for c in counts))
    table = Table(title="The same by what was compared", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    for peer in peers:
        table.add_column(peer, justify="right")
    kinds = list(dict.fromkeys(kind for c in counts for kind in c.tallies))
    for kind in kinds:
        table.add_row(kind, *(_of(_sum([c.tallies[kind] for c in counts if c.peer == peer])) for peer in peers))
    table.add_section()
    table.add_row(
        "all", *(_of(_sum([t for c in counts if c.peer == peer for t in c.tallies.values()])) for peer in peers)
    )
    return table


def _settings(count: Count) -> str:
    return ", ".join(f"{name} {value}" for name, value in count.settings.items())


def _sum(tallies: list[Tally]) -> Tally:
    total = tallies[0]
    for tally in tallies[1:]:
        total += tally
    return total


def _of(tally: Tally) -> str:
    return f"{tally.differing:,} of {tally.compared:,}"


def _spread(value: Measured) -> str:
    return f"{_number(value.low)} to {_number(value.high)}"


def _number(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"
