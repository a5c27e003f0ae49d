"""Captures for tests: what a session would have sent, without one."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from phantomlink.captures.journal_writer import JournalWriter
from phantomlink.captures.records import (
    End,
    Header,
    Record,
    Sent,
    faults_of,
)
from phantomlink.engine.assembler import PacketAssembler
from phantomlink.engine.perturbed import AppliedPerturbation, SentRows
from phantomlink.outputs.capture.described import stream_json
from phantomlink.outputs.lsl.stream_description import StreamDescription, session_streams
from phantomlink.recordings.recording import Recording
from phantomlink.settings import Settings

AT_40 = Fraction(40)
CLOCK = (1_767_225_600_000_000_000, 5_000_000_000)


def streams_of(recording: Recording) -> list[dict]:
    """What the outlets of a session "a" of this recording say of themselves."""
    described = StreamDescription(
        recording, None, Settings(), "a", 25.0, Fraction(1), AT_40, lateness=()
    )
    return [stream_json(spec) for spec in session_streams(described)]


def header_of(recording: Recording, **changes) -> Header:
    said = {
        "capture_id": "20260101T000000Z-a-wxyz",
        "session": "a",
        "title": "",
        "version": "0.1.0",
        "dataset": recording.dataset,
        "sha256": None,
        "unit_ids": recording.unit_ids,
        "rate_hz": AT_40,
        "speed": Fraction(1),
        "filter": {},
        "perturbation": None,
        "perturbation_id": None,
        "seed": 0,
        "clock": CLOCK,
        "trials": [trial.as_json() for trial in recording.trials],
    }
    return Header(**(said | changes))


def sent_packets(
    recording: Recording,
    order: list[tuple[int, int]],
    *,
    applied: AppliedPerturbation | None = None,
    first_number: int = 0,
    rate_hz: Fraction = AT_40,
    deadline_ns: int = CLOCK[1],
    speed: Fraction = Fraction(1),
) -> Iterator[Sent]:
    """What is sent of (loop, bin) in this order, each a period after the last."""
    bins = recording.at_rate(rate_hz)
    assembler = PacketAssembler(bins)
    period = 1_000_000_000 / (rate_hz * speed)
    for n, (loop, at) in enumerate(order):
        rows = SentRows(assembler, bins.read(at, at + 1), loop, applied)
        fault = rows.fault(0)
        due_ns = deadline_ns + n * period.numerator // period.denominator
        faults, delivered, delay_ns = 0, 1, 0
        if fault is not None:
            delivered, faults = faults_of(fault)
            delay_ns = fault.delay_ns
        left = due_ns - CLOCK[1] + CLOCK[0] + 7_000
        packet = rows.packet(0, first_number + n)
        yield Sent(packet, due_ns, left if delivered else None, delivered, delay_ns, faults)


def write_journal(
    folder: Path, header: Header, records: list[Record], end: End | None = None, **options
) -> Path:
    writer = JournalWriter(folder, header, **options)
    writer.open()
    for record in records:
        writer.write([record])
        if options:
            writer.sync()
            writer.next_segment_if_due()
            writer.compress_some()
    writer.sync()
    if end is None:
        writer.abandon()
    else:
        writer.finish(end)
    return writer.path
