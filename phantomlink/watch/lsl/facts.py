"""What a stream says of itself: its XML, read. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from phantomlink.watch.lsl.names import OutletForm

Desc = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Channel:
    """One of `desc/channels`; empty where it does not say."""

    label: str
    unit: str
    type: str


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """A stream, as its outlet describes it.

    Attributes:
        name, type, format, source_id, hostname, session_id, uid: as in the XML; `format` is one
            of LSL's words (int32, float32, string ...).
        n_channels: values of a sample.
        nominal_rate_hz: samples a second; 0 for an irregular stream.
        channels: of `desc/channels`; empty when there are none.
        desc: everything else under `desc`, as nested mappings of texts. Of elements of the same
            name the last one counts.
    """

    name: str
    type: str
    n_channels: int
    format: str
    nominal_rate_hz: float
    source_id: str
    hostname: str
    session_id: str
    uid: str
    channels: tuple[Channel, ...]
    desc: Desc


def parse_facts(xml: str) -> StreamFacts:
    """Read what `StreamInfo.as_xml()` gives, of an inlet's full info.

    Raises:
        ValueError: it is no description of a stream.
    """
    try:
        # Not hostile: liblsl wrote it anew from what it had parsed.
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise ValueError(f"the description of a stream is not XML: {error}") from error
    desc = root.find("desc")

    def text(name: str) -> str:
        return (root.findtext(name) or "").strip()

    try:
        n_channels, rate_hz = int(text("channel_count")), float(text("nominal_srate"))
    except ValueError as error:
        raise ValueError(f"the description of a stream lacks what it is: {error}") from error
    return StreamFacts(
        name=text("name"),
        type=text("type"),
        n_channels=n_channels,
        format=text("channel_format"),
        nominal_rate_hz=rate_hz,
        source_id=text("source_id"),
        hostname=text("hostname"),
        session_id=text("session_id"),
        uid=text("uid"),
        channels=() if desc is None else _channels(desc),
        desc={} if desc is None else _tree(desc, leave_out="channels"),
    )


def problems(facts: StreamFacts, form: OutletForm) -> list[str]:
    """What of a description is not as the contract has it.

    Args:
        facts: of the stream.
        form: what it must be.
    """
    found = []
    if form.type is not None and facts.type != form.type:
        found.append(f"type {facts.type!r}, not {form.type!r}")
    if facts.format not in form.formats:
        found.append(f"format {facts.format}, not {' or '.join(form.formats)}")
    if form.is_regular is not (facts.nominal_rate_hz > 0) or not math.isfinite(
        facts.nominal_rate_hz
    ):
        found.append(f"nominal rate {facts.nominal_rate_hz:g}")
    if not form.is_regular:
        return found
    labels = tuple(channel.label for channel in facts.channels)
    if len(labels) != facts.n_channels:
        found.append(f"{facts.n_channels} channels, {len(labels)} of them described")
    elif form.labels is not None and labels != form.labels:
        found.append(f"channels {', '.join(labels)}, not {', '.join(form.labels)}")
    elif not all(labels):
        found.append("channels without a label")
    elif len(set(labels)) < len(labels):
        found.append("channels with the same label")
    if not all(channel.type for channel in facts.channels):
        found.append("channels without a type")
    return found


def _channels(desc: ElementTree.Element) -> tuple[Channel, ...]:
    return tuple(
        Channel(*((each.findtext(name) or "").strip() for name in ("label", "unit", "type")))
        for each in desc.iterfind("channels/channel")
    )


def _tree(element: ElementTree.Element, *, leave_out: str = "") -> dict[str, Any]:
    return {
        child.tag: _tree(child) if len(child) else (child.text or "").strip()
        for child in element
        if child.tag != leave_out
    }
