"""The figures as tables that a page can take as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .stages import PATH

Json = dict[str, Any]

_STAGE_ROWS = (
    ("loop busy with other tasks (first)", "loop busy"),
    ("kernel: timer to the return of `epoll` (first)", "kernel"),
    ("trio: from there to the ticker's turn (first)", "trio"),
    ("ticks before it in its turn (others)", "ticks before"),
    ("spin up to the deadline", "spin"),
    ("from the ticker to the playback's release", "return"),
    ("clocks, stamp", "stamp"),
    ("hand over, all clients", "hand over"),
    ("- of it in `send`", "send"),
    ("give way to whom the write has woken", "give way"),
    ("counters, timeline, playhead", "bookkeeping"),
    ("what is due next, back to the ticker", "next"),
    ("set the timer (last of a wake-up)", "arm"),
)
_BUILDING_ROWS = (
    ("build a packet", "build"),
    ("- of it assemble", "assemble"),
    ("- of it encode", "encode"),
    ("garbage collector's turn behind it, once for all of them", "collect"),
)
# After the deadline all ticks have all of them.
_LABELS = {
    stage: label.removesuffix(" (first)").removesuffix(" (others)") for label, stage in _STAGE_ROWS
}


def as_text(result: Json) -> str:
    """Everything, as Markdown."""
    found = result["scenarios"]
    host = result["host"]
    machine = result["machine"]
    heading = (
        f"{machine['cpus']} CPUs, {machine['system']}, Python {machine['python']}, trio "
        f"{machine['trio']}; {result['rounds']} rounds, slices of {result['slice_seconds']:g} s. "
        f"Meanwhile the host took {host['steal']:.0%} of the CPUs away and everything here used "
        f"{host['busy']:.0%}."
    )
    return "\n\n".join(
        (
            heading,
            _stages(found),
            _past(found),
            _building(found),
            _cpu(found),
            _counters(found),
            _probes(found),
        )
    )


def _stages(found: Sequence[Json]) -> str:
    rows = [
        (label, lambda s, stage=stage: _two(s["stages_us"][stage])) for label, stage in _STAGE_ROWS
    ]
    return _table(
        "a tick, us, p50 / p99",
        found,
        [
            *rows,
            ("hand over, by client", lambda s: _two(s["hand_over_per_client_us"])),
            ("woken so long before the deadline, p50 (first)", lambda s: _one(s["lead_us"])),
            ("woken by the timer (of the first)", lambda s: _share(s["woken_by_timer"])),
            ("ticks a wake-up, mean", lambda s: _one(s["ticks_per_wake_up"])),
            ("wake-ups with no tick due", lambda s: _share(s["idle_wake_ups"])),
            ("bare loop: kernel", lambda s: _two(s["floor_us"]["kernel"])),
            ("bare loop: `send`", lambda s: _two(s["floor_us"]["send"])),
        ],
    )


def _past(found: Sequence[Json]) -> str:
    rows = [
        (_LABELS[stage], lambda s, stage=stage: _two(s["past_deadline_us"][stage]))
        for stage in PATH
        if stage != "spin"
    ]
    return _table(
        "after the deadline, us, p50 / p99",
        found,
        [
            *rows,
            ("deadline to release", lambda s: _two(s["lateness_us"])),
            ("**deadline to last byte**", lambda s: _two(s["last_byte_us"])),
            ("bare loop: deadline to last byte", lambda s: _two(s["floor_us"]["last_byte"])),
        ],
    )


def _building(found: Sequence[Json]) -> str:
    rows = [
        (label, lambda s, stage=stage: _two(s["stages_us"][stage]))
        for label, stage in _BUILDING_ROWS
    ]
    return _table(
        "between ticks, us a packet, p50 / p99",
        found,
        [*rows, ("packets built at a time, mean", lambda s: _one(s["packets_per_build"]))],
    )


def _cpu(found: Sequence[Json]) -> str:
    def cpu(name: str) -> Callable[[Json], str]:
        return lambda s: _one(s["cpu_us"][name])

    return _table(
        "CPU a tick, us, mean",
        found,
        [
            ("**the loop's thread, without probes**", cpu("plain")),
            ("the whole process", cpu("process")),
            ("share of a core", lambda s: _share(s["cpu_us"]["core_share"])),
            ("the ticker", cpu("ticker")),
            ("- the stages above in which it works", cpu("stages")),
            ("- of it spin", cpu("spin")),
            ("playbacks, which build packets", cpu("building")),
            ("- building and collecting as above", cpu("built")),
            ("prefetch", cpu("prefetch")),
            ("other tasks", cpu("other")),
            ("trio's loop", cpu("trio")),
            ("going to sleep and waking, in the kernel", cpu("kernel_wait")),
            ("sum of tasks, loop and kernel", lambda s: _one(_sum(s["cpu_us"]))),
        ],
    )


def _sum(cpu: Json) -> float:
    parts = ("ticker", "building", "prefetch", "other", "trio", "kernel_wait")
    return float(sum(cpu[part] for part in parts))


def _counters(found: Sequence[Json]) -> str:
    def of(name: str) -> Callable[[Json], str]:
        return lambda s: _one(s["counters_us"][name])

    def interval(s: Json) -> str:
        c = s["counters_us"]
        return f"{_one(c['low'])} to {_one(c['high'])}"

    return _table(
        "timing report, us a tick",
        found,
        [
            ("release to the end of the tick, counters on, p50", of("on")),
            ("counters off, p50", of("off")),
            ("**difference**", of("difference")),
            ("its 95 % interval", interval),
        ],
    )


def _probes(found: Sequence[Json]) -> str:
    def of(name: str) -> Callable[[Json], str]:
        return lambda s: _one(s["probes"][name])

    return _table(
        "probes, taken off above",
        found,
        [
            ("ticks", lambda s: str(s["ticks"])),
            ("probes a tick", of("per_tick")),
            ("a probe, us", of("total_us")),
            ("- of it between its two times", of("inside_us")),
            ("CPU that all of them added to a tick, us", of("cpu_us")),
        ],
    )


def _table(
    title: str, found: Sequence[Json], rows: Sequence[tuple[str, Callable[[Json], str]]]
) -> str:
    cells = [[title, *(s["name"] for s in found)]]
    cells += [[label, *(value(s) for s in found)] for label, value in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [
        "| "
        + " | ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        + " |"
        for row in cells
    ]
    rule = "|" + "|".join(
        "-" * (width + 1) + (":" if column else "-") for column, width in enumerate(widths)
    )
    return "\n".join([lines[0], rule + "|", *lines[1:]])


def _one(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"


def _two(spread: Json) -> str:
    return f"{_one(spread['p50'])} / {_one(spread['p99'])}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
