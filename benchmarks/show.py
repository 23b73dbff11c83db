"""A result as tables for a terminal. It is drawn from what is saved, so the two cannot disagree."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from .schema import Count, Result, Row, Tally


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
    for note in result.notes:
        out.print(f"Note: {note}", soft_wrap=True)


def _timed(row: Row) -> Table:
    lead, *_ = row.values
    table = _table(f"{row.name}, {row.unit}: {_settings(row)}", ["median", "quartiles", f"{lead} / this"])
    for peer, value in row.values.items():
        ratio = row.ratios.get(f"{lead} / {peer}")
        spread = f"{_number(value.low)} to {_number(value.high)}"
        table.add_row(peer, _number(value.median), spread, "" if ratio is None else f"{ratio.median:.3g}")
    return table


def _counted(counts: list[Count]) -> Table:
    """One table three times: by way, by settings, by kind of row; a column for each peer."""
    peers = list(dict.fromkeys(c.peer for c in counts))
    table = _table("rows that differ, of rows compared", peers)
    for by in (lambda c, kind: c.name, lambda c, kind: _settings(c), lambda c, kind: kind, lambda c, kind: "all"):
        cells: dict[str, dict[str, Tally]] = {}
        for c in counts:
            for kind, tally in c.tallies.items():
                line = cells.setdefault(by(c, kind), {})
                line[c.peer] = line[c.peer] + tally if c.peer in line else tally
        for name, line in cells.items():
            table.add_row(name, *(f"{t.differing:,} of {t.compared:,}" if (t := line.get(p)) else "" for p in peers))
        table.add_section()
    return table


def _table(title: str, columns: list[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _settings(x: Row | Count) -> str:
    return ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in x.settings.items()
    )


def _number(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"
