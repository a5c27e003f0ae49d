"""The tables of a capture's NWB file: what was sent, what steered it, what was answered."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from phantomlink.captures.records import CONTROL_MARKERS, Answer, Header
from phantomlink.captures.timeline import CapturedBins

if TYPE_CHECKING:
    from hdmf.common import DynamicTable
    from pynwb import NWBFile

_SENT = {
    "packet_id": "bin of the source; -1: missing in the capture",
    "sequence_number": "of the packet",
    "loop": "times the source had wrapped",
    "deadline": "when it was due, Unix s",
    "deadline_ns": "the same, ns of the clock that deadlines are kept on",
    "left_at": "when it left, Unix s; NaN: lost on purpose",
    "delivered": "0 lost on purpose, 1, or 2 when sent twice",
    "delay_ns": "held back on purpose, at the speed of the source",
    "faults": "bits: 1 lost, 2 duplicated, 4 overtaken",
    "perturbation_id": "what was done to the counts; empty: nothing",
}
_CONTROL = {
    "what": "what happened",
    "packet_id": "first packet that it affects",
    "sequence_number": "of that packet",
    "loop": "of that packet",
    "at": "when, Unix s",
    "detail": "as JSON",
}
_ANSWERS = {
    "packet_id": "that it answers",
    "loop": "of that packet; -1: not said",
    "sequence_number": "of that packet; -1: not said",
    "vx": "NaN: not said",
    "vy": "NaN: not said",
    "x": "NaN: not said",
    "y": "NaN: not said",
    "arrived": "when the server had it, Unix s",
    "received_at": "when the client had the packet, Unix s by its clock; NaN: not said",
    "sent_at": "when the client sent it, Unix s by its clock; NaN: not said",
    "outcome": "what scoring made of it",
    "client": "number of the connection",
}
_MARKERS = {
    "marker": "as in the marker stream of LSL",
    "packet_id": "packet that it came with, or the next one",
    "sequence_number": "of that packet",
    "at": "when, Unix s",
}


def add_sent(nwb: NWBFile, bins: CapturedBins) -> None:
    """`acquisition/sent`: the packet of each bin."""
    nwb.add_acquisition(_table("sent", "the packet of each bin", _SENT, list(_sent_rows(bins))))


def add_steering(nwb: NWBFile, bins: CapturedBins) -> None:
    """`processing/phantomlink`: controls, markers and the predictions of each decoder."""
    header = bins.header
    tables = [
        _table("control", "what steered the playhead", _CONTROL, list(_control_rows(bins))),
        _table("markers", "events of trials and of the playhead", _MARKERS, _marker_rows(bins)),
    ]
    by_decoder: dict[str, list[Answer]] = {}
    for answer in bins.answers:
        by_decoder.setdefault(answer.decoder, []).append(answer)
    tables += [
        _table(
            f"predictions_{name}",
            f"what decoder {name} answered",
            _ANSWERS,
            [_answer_row(header, answer) for answer in answers],
        )
        for name, answers in sorted(by_decoder.items())
    ]
    module = nwb.create_processing_module(
        "phantomlink", "What steered the playhead, and what decoders answered"
    )
    for table in tables:
        if len(table):
            module.add(table)


def _table(
    name: str, description: str, said: Mapping[str, str], rows: Sequence[tuple[Any, ...]]
) -> DynamicTable:
    from hdmf.common import DynamicTable, VectorData  # noqa: PLC0415

    values = zip(*rows, strict=True) if rows else ([] for _ in said)
    columns = [
        VectorData(name=column, description=what, data=list(data))
        for (column, what), data in zip(said.items(), values, strict=True)
    ]
    return DynamicTable(name=name, description=description, columns=columns)


def _sent_rows(bins: CapturedBins) -> Iterator[tuple[Any, ...]]:
    for sent in bins.sent:
        if sent is None:
            yield (-1, -1, -1, np.nan, -1, np.nan, 0, 0, 0, "")
            continue
        yield (
            sent.packet.packet_id,
            sent.packet.sequence_number,
            sent.packet.loop,
            bins.header.unix_ns(sent.deadline_ns) / 1e9,
            sent.deadline_ns,
            np.nan if sent.left_at_ns is None else sent.left_at_ns / 1e9,
            sent.delivered,
            sent.delay_ns,
            sent.faults,
            sent.packet.perturbation_id or "",
        )


def _control_rows(bins: CapturedBins) -> Iterator[tuple[Any, ...]]:
    for control in bins.controls:
        at = bins.header.unix_ns(control.at_ns) / 1e9
        place = control.packet_id, control.sequence_number, control.loop
        yield (control.what, *place, at, json.dumps(control.detail))


def _marker_rows(bins: CapturedBins) -> list[tuple[Any, ...]]:
    found = [(m.text, m.packet_id, m.sequence_number, m.at_ns) for m in bins.markers]
    found += [
        (control.what, control.packet_id, control.sequence_number, control.at_ns)
        for control in bins.controls
        if control.what in CONTROL_MARKERS
    ]
    found.sort(key=lambda each: each[3])
    return [(*each[:3], bins.header.unix_ns(each[3]) / 1e9) for each in found]


def _answer_row(header: Header, answer: Answer) -> tuple[Any, ...]:
    loop = -1 if answer.loop is None else answer.loop
    number = -1 if answer.sequence_number is None else answer.sequence_number
    values = (
        np.nan if value is None else value for value in (answer.vx, answer.vy, answer.x, answer.y)
    )
    times = (np.nan if value is None else value for value in (answer.received_at, answer.sent_at))
    arrived = header.unix_ns(answer.arrived_ns) / 1e9
    return (
        *(answer.packet_id, loop, number, *values, arrived, *times),
        *(answer.outcome, answer.client),
    )
