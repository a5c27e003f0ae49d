"""What the outlets of a session are: names, channels and descriptions, as data. Pure.

The description of a stream follows the conventions for meta-data of the XDF format, which the
tools of the field read: `desc/channels/channel/{label,unit,type}` and `desc/synchronization`.
What is not known is left out rather than guessed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from phantomlink import __version__
from phantomlink.metrics import Histogram
from phantomlink.recordings.contents import SeriesInfo
from phantomlink.recordings.recording import Recording
from phantomlink.settings import Settings

NEURAL, KINEMATICS, INTENTION, MARKERS = "neural", "kinematics", "intention", "markers"
KINDS = (NEURAL, KINEMATICS, INTENTION, MARKERS)
IRREGULAR_HZ = 0.0


@dataclass(frozen=True, slots=True)
class Channel:
    """One column of a stream; the unit is None where it is not known."""

    label: str
    unit: str | None
    type: str


@dataclass(frozen=True, slots=True)
class Element:
    """A node of a stream's description: a text, or further nodes."""

    name: str
    content: str | tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """Everything that an outlet is made of.

    Attributes:
        kind: one of `KINDS`.
        name, type, source_id: of the stream.
        channel_format: int32, float32 or string.
        nominal_rate_hz: samples a second of CLOCK_MONOTONIC; 0 for irregular.
        channels: its columns.
        desc: the children of its `desc` beside the channels.
    """

    kind: str
    name: str
    type: str
    source_id: str
    channel_format: str
    nominal_rate_hz: float
    channels: tuple[Channel, ...]
    desc: tuple[Element, ...]

    def as_json(self) -> dict[str, str | int | float]:
        """The stream as REST shows it."""
        return {
            "name": self.name,
            "type": self.type,
            "source_id": self.source_id,
            "channel_count": len(self.channels),
            "nominal_rate_hz": self.nominal_rate_hz,
            "channel_format": self.channel_format,
        }


@dataclass(frozen=True, slots=True)
class StreamDescription:
    """What the streams of a session tell about where they come from.

    Attributes:
        recording: that is played.
        sha256: of its file; None while it is not known.
        settings: of the server.
        code: of the session.
        bin_size_ms: width of a bin of the recording.
        speed: times faster than recorded.
        rate_hz: samples a second.
        lateness: of what this server has released by now.
    """

    recording: Recording
    sha256: str | None
    settings: Settings
    code: str
    bin_size_ms: float
    speed: Fraction
    rate_hz: Fraction
    lateness: Sequence[Histogram]


def session_streams(of: StreamDescription) -> tuple[StreamSpec, ...]:
    """The streams of a session, one for each of `KINDS`."""
    settings, rate_hz = of.settings, float(of.rate_hz)
    neural_format = "float32" if settings.lsl_float32 else "int32"
    about = tuple(_about(of))

    def spec(
        kind: str, type_: str, form: str, rate: float, channels: tuple[Channel, ...]
    ) -> StreamSpec:
        return StreamSpec(
            kind=kind,
            name=f"{settings.lsl_stream_name}-{kind.capitalize()}-{of.code}",
            type=type_,
            source_id=f"{settings.lsl_source_id}-{kind}-{of.code}",
            channel_format=form,
            nominal_rate_hz=rate,
            channels=channels,
            desc=about,
        )

    behaviour = of.recording.behaviour
    place, velocity = _unit(behaviour.position), _unit(behaviour.velocity)
    units = tuple(Channel(str(unit_id), "count", "Spikes") for unit_id in of.recording.unit_ids)
    kinematics = (
        Channel("vx", velocity, "VelocityX"),
        Channel("vy", velocity, "VelocityY"),
        Channel("x", place, "PositionX"),
        Channel("y", place, "PositionY"),
    )
    intention = (
        Channel("target_id", "index", "Target"),
        Channel("target_x", place, "PositionX"),
        Channel("target_y", place, "PositionY"),
        Channel("trial_id", "index", "Trial"),
    )
    markers = (Channel("marker", None, "Marker"),)
    return (
        spec(NEURAL, settings.lsl_stream_type, neural_format, rate_hz, units),
        spec(KINEMATICS, "Kinematics", "float32", rate_hz, kinematics),
        spec(INTENTION, "Intention", "float32", rate_hz, intention),
        spec(MARKERS, "Markers", "string", IRREGULAR_HZ, markers),
    )


def _about(of: StreamDescription) -> Iterator[Element]:
    recording = of.recording
    yield _texts("acquisition", manufacturer="PhantomLink", model="replay of a recording")
    yield _texts("software", name="PhantomLink", version=__version__)
    yield _texts(
        "recording",
        name=recording.dataset,
        file_name=recording.path.name,
        sha256=of.sha256,
        identifier=recording.info.identifier,
        subject=recording.info.subject,
        is_synthetic=_boolean(recording.info.is_synthetic),
    )
    yield _texts("session", code=of.code, speed=_number(float(of.speed)))
    # A bin can be known only when it is over, so its stamp is its end; s of the stream's clock.
    width_seconds = float(1 / of.rate_hz)
    yield _texts(
        "bin",
        width_ms=_number(of.bin_size_ms),
        covers_from_seconds=_number(-width_seconds),
        covers_to_seconds="0",
        lag_of_center_seconds=_number(width_seconds / 2),
    )
    yield _synchronization(of.lateness)


def _synchronization(lateness: Sequence[Histogram]) -> Element:
    """Stamps are deadlines; an offset is a stamp minus the moment when its packet left, so < 0.

    Where nothing has been measured by now the figures are left out.
    """
    counted = [(h.summary(), h.buckets()) for h in lateness if h.count]
    n = sum(summary.count for summary, _ in counted)
    figures: dict[str, str | None] = {}
    if n:
        sums = [(s.count, s.mean_ns or 0.0, s.std_ns or 0.0) for s, _ in counted]
        mean_ns = sum(count * mean for count, mean, _ in sums) / n
        square_ns = sum(count * (mean * mean + std * std) for count, mean, std in sums) / n
        buckets = sorted(bucket for _, of_one in counted for bucket in of_one)
        figures = {
            "offset_mean": _seconds(-mean_ns),
            "offset_rms": _seconds(math.sqrt(square_ns)),
            "offset_median": _seconds(-_quantile(buckets, n, 0.5)),
            "offset_5_centile": _seconds(-_quantile(buckets, n, 0.95)),
            "offset_95_centile": _seconds(-_quantile(buckets, n, 0.05)),
            "offset_count": str(n),
        }
    return _texts(
        "synchronization",
        time_source="CLOCK_MONOTONIC, deadline of the packet",
        **figures,
        can_drop_samples="true",
    )


def _quantile(buckets: Iterable[tuple[int, int]], n: int, fraction: float) -> float:
    """Upper edge of the bucket that holds it, ns; buckets ascending, of several histograms."""
    seen, quantile = 0, 0
    for edge, count in buckets:
        quantile = edge
        seen += count
        if seen >= fraction * n:
            break
    return float(quantile)


def _texts(name: str, /, **texts: str | None) -> Element:
    """A node of texts, without those that are empty."""
    return Element(name, tuple(Element(key, text) for key, text in texts.items() if text))


def _unit(series: SeriesInfo | None) -> str | None:
    return None if series is None else series.unit or None


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _number(value: float) -> str:
    return f"{value:.12g}"


def _seconds(ns: float) -> str:
    return f"{ns * 1e-9:.9f}"
