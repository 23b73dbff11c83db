"""A result as tables for a terminal. It is drawn from what is saved, so the two cannot disagree.

A row makes a table, a line for each peer. A GPU's rows are many, so there the rows of a name make one table, a line
for each row: its settings, every peer's median, the ratios, and how near the first peer came to the floor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from .schema import Count, Measured, Result, Row, Tally


def show(result: Result, out: Console) -> None:
    """Print every row, every count and every note."""
    d = result.device
    busy = "" if d.load is None else f"; load {d.load[0]:.1f} at the start, {d.load[1]:.1f} at the end"
    on = f"{d.gpu}; " if d.gpu else ""
    out.print(f"{result.name}, {result.date}: {on}{d.cpu}, {d.cores} cores, {d.instructions or d.system}{busy}")
    out.print(", ".join(f"{name} {version}" for name, version in result.versions.items()), soft_wrap=True)
    if d.gpu:
        names = dict.fromkeys((row.name, row.unit) for row in result.rows)
        tables = [_lines([row for row in result.rows if (row.name, row.unit) == name]) for name in names]
    else:
        tables = [_timed(row) for row in result.rows]
    for table in tables:
        out.print(table)
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


def _lines(rows: list[Row]) -> Table:
    """Rows of one name and unit, a line each."""
    keys = _union([row.settings for row in rows])
    peers = _union([row.values for row in rows])
    ratios = _union([row.ratios for row in rows])
    floors = ["floor", "reached"] if any(row.floor for row in rows) else []
    lead = f"; reached: the floor over {peers[0]}'s median" if floors else ""
    table = Table(
        title=f"{rows[0].name}, {rows[0].unit}{lead}", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD
    )
    for column in [*keys, *peers, *ratios, *floors]:
        table.add_column(column, justify="right")
    for row in rows:
        line = [_value(row.settings[key]) if key in row.settings else "" for key in keys]
        line += [_number(row.values[peer].median) if peer in row.values else "" for peer in peers]
        line += [_spread(row.ratios[ratio]) if ratio in row.ratios else "" for ratio in ratios]
        if row.floor and peers[0] in row.values:
            line += [_number(row.floor.value), f"{row.floor.value / row.values[peers[0]].median:.0%}"]
        table.add_row(*line)
    return table


def _union(parts: Sequence[Mapping[str, object]]) -> list[str]:
    """Every key, in the order of first appearance."""
    return list(dict.fromkeys(key for part in parts for key in part))


def _spread(ratio: Measured) -> str:
    return f"{ratio.median:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"


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
    return ", ".join(f"{name} {_value(value)}" for name, value in x.settings.items())


def _value(x: int | str) -> str:
    return f"{x:,}" if isinstance(x, int) else x


def _number(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"
