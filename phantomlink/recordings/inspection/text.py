"""The findings of an inspection as text, with rich."""

from __future__ import annotations

import io
import shutil
import sys

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from phantomlink.files.shown import shown
from phantomlink.recordings.anomalies import Severity
from phantomlink.recordings.inspection.findings import Inspection, TrialSummary, UnitSummary


def render(inspection: Inspection, width: int) -> str:
    """Tables of what was found, then what is missing."""
    out = io.StringIO()
    console = Console(file=out, width=width, no_color=True, highlight=False, emoji=False)
    for part in (_summary, _series, _columns, _targets):
        table = part(inspection)
        if table is not None:
            console.print(table)
    for heading, severities in _HEADINGS:
        lines = [str(each) for each in inspection.anomalies if each.severity in severities]
        _list(console, heading, [f"- {line}" for line in lines])
    if not inspection.anomalies:
        console.print("Nothing is missing.")
    _list(console, "To change it, copy one of these:", list(inspection.commands))
    # rich pads table rows to their full width.
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


_HEADINGS = (
    ("Looks doubtful:", (Severity.DOUBTFUL,)),
    ("Left out:", (Severity.LEFT_OUT,)),
    ("Missing or derived:", (Severity.ABSENT, Severity.DETAIL)),
)


def _list(console: Console, heading: str, lines: list[str]) -> None:
    if lines:
        console.print(heading, markup=False)
        for line in lines:
            console.print(Text(f"  {line}"), soft_wrap=True)


def terminal_width() -> int:
    """Columns to write in: the terminal's, or 100 where stdout is none."""
    return shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100


def _table(title: str, *headers: str) -> Table:
    table = Table(
        title=Text(title),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


def _summary(inspection: Inspection) -> Table:
    info, grid, units, trials = (
        inspection.info,
        inspection.grid,
        inspection.units,
        inspection.trials,
    )
    table = _table(shown(inspection.path.name), "", "")
    table.show_header = False
    synthetic = "yes, made by a program" if info.is_synthetic else "no"
    areas = ", ".join(f"{n} in {area}" for area, n in units.areas.items())
    heldout = "" if units.n_heldout is None else f"{units.n_heldout} held out"
    shape = "; ".join(part for part in (f"{units.n_units}", areas, heldout) if part)
    rows = [
        ("file", str(inspection.path)),
        ("identifier", info.identifier),
        ("subject", ", ".join(part for part in (info.subject, info.species) if part)),
        ("lab", ", ".join(part for part in (info.lab, info.institution) if part)),
        ("recorded", info.session_start_time),
        ("NWB version", info.nwb_version),
        ("synthetic", synthetic),
        ("units", shape),
        ("unit ids", _ids_line(units)),
        ("spikes", f"{units.n_spikes}, {units.mean_rate_hz:.2f} Hz a unit"),
        ("duration", f"{grid.duration_seconds:g} s"),
        ("clock", f"{grid.t0_seconds:g} s to {inspection.last_event_seconds:g} s"),
        ("bins", f"{grid.n_bins} of {grid.bin_size_ms:g} ms at {float(grid.rate_hz):g} Hz"),
        ("trials", _trial_line(trials)),
        ("observed", _observed_line(inspection)),
        ("other files", ", ".join(file.name for file in inspection.files)),
        ("played", "from memory" if inspection.in_memory else "through an index and the file"),
    ]
    for name, value in rows:
        if value:
            table.add_row(name, Text(shown(value)))
    return table


def _trial_line(trials: TrialSummary) -> str:
    said = f"{trials.n_trials}"
    if trials.n_playing < trials.n_trials:
        said += f", of which {trials.n_playing} can be played"
    return (
        said if trials.mean_seconds is None else f"{said}, {trials.mean_seconds:.3f} s on average"
    )


def _observed_line(inspection: Inspection) -> str:
    seconds = inspection.observed_seconds
    return "" if seconds is None else f"{seconds:.3f} s of it"


def _ids_line(units: UnitSummary) -> str:
    lowest, highest = units.lowest_id, units.highest_id
    ids = f"{lowest}" if lowest == highest else f"{lowest} to {highest}"
    ids += f", from /{units.path}"
    if units.labels is None:
        return ids
    some = ", ".join(units.labels[:4]) + (", ..." if len(units.labels) > 4 else "")
    return f"{ids}; labels of the file: {some}"


def _series(inspection: Inspection) -> Table | None:
    behaviour = inspection.behaviour
    if not behaviour.found:
        return None
    table = _table("Series", "path", "unit", "rate", "rows x columns", "used as")
    for series in behaviour.found:
        rate = "?" if series.rate_hz is None else f"{series.rate_hz:g} Hz"
        unit = series.unit or "?"
        if series.conversion != 1 or series.offset != 0:
            unit += f" (stored x {series.conversion:g}"
            unit += f" + {series.offset:g})" if series.offset else ")"
        table.add_row(
            Text(shown(series.path)),
            Text(shown(unit)),
            rate,
            f"{series.rows} x {series.columns}",
            behaviour.used_as(series.path) or "-",
        )
    return table


def _columns(inspection: Inspection) -> Table | None:
    trials = inspection.trials
    if not trials.columns:
        return None
    table = _table("Columns of the trials", "column", "values", "unknown", "used as")
    uses: dict[str, str] = {}
    if trials.target_position_column is not None:
        uses |= dict.fromkeys(trials.target_position_column.split(","), "where it is")
    if trials.target_column is not None:
        uses[trials.target_column] = "which target"
    for column in trials.columns:
        table.add_row(
            Text(shown(column.name)),
            column.kind,
            f"{column.n_unknown}" if column.n_unknown else "-",
            uses.get(column.name, "-"),
        )
    return table


def _targets(inspection: Inspection) -> Table | None:
    trials = inspection.trials
    if not trials.targets and not trials.reaches:
        return None
    table = _table("Targets and reaches", "filter", "place", "trials")
    for target_id, n_trials in trials.targets.items():
        table.add_row(f"target_id={target_id}", "of each trial's own list", f"{n_trials}")
    for reach in trials.reaches:
        place = f"({reach.x:g})" if reach.y is None else f"({reach.x:g}, {reach.y:g})"
        table.add_row(f"reach_id={reach.reach_id}", place, f"{reach.n_trials}")
    return table
