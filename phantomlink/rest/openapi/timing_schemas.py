"""JSON Schemas of the timing report."""

from __future__ import annotations

from phantomlink.rest.openapi.parts import (
    Schema,
    array,
    described,
    integer,
    nullable,
    number,
    record,
    ref,
    session_code,
    text,
    time,
    typed,
)
from phantomlink.rest.openapi.session_schemas import injected_counts, slowness


def timing_schemas() -> dict[str, Schema]:
    """By name."""
    percentiles = {
        "count": integer("that were measured", 4000),
        **{name: nullable(number()) for name in ("mean", "std", "p50", "p99", "p999", "max")},
    }
    return {
        "Microseconds": record("Durations; null where none was measured.", percentiles),
        "Lateness": record(
            "Release of each packet minus when it was due, us.",
            percentiles
            | {
                "histogram": array(
                    record("", {"up_to_us": number(), "packets": integer()}),
                    "buckets that hold something, ascending",
                )
            },
        ),
        "PlayheadTiming": record(
            "One playhead since it was made.",
            {
                "filter": record(
                    "What is null does not matter.",
                    {name: nullable(integer()) for name in ("trial_id", "target_id", "reach_id")},
                ),
                "packets": integer("released", 4000),
                "lateness_us": ref("Lateness"),
                "handover_us": ref("Microseconds"),
                "drift_ppm": nullable(
                    number("against CLOCK_MONOTONIC since the last anchor, lower envelope", 0.0)
                ),
                "anchors": integer("times the grid of deadlines began", 1),
                "stalls": integer("times a tick was too late to catch up", 0),
                "overruns": integer("packets that were not ready when they were due", 0),
                "events": array(
                    record(
                        "",
                        {
                            "kind": text(enum=["stall", "overrun"]),
                            "at": time(),
                            "late_us": number(),
                            "sequence_number": integer(),
                        },
                    ),
                    "the latest stalls and overruns",
                ),
                "lowest_prefetch_depth_bins": nullable(
                    integer("fewest bins that were ready beyond a packet that was sent", 43)
                ),
                "injected": record(
                    "Faults that were played on purpose, and are not lateness.",
                    injected_counts() | {"delay_us": ref("Microseconds")},
                ),
            },
        ),
        "Timing": record(
            "How punctual a session has been, and with what.",
            {
                "session_code": session_code(),
                "timestamp": time("now"),
                "bin_size_ms": number(example=25.0),
                "speed": number(example=1.0),
                "packets_per_second": number(example=40.0),
                "playheads": array(ref("PlayheadTiming"), "the unfiltered one first"),
                "send_latency_us": ref("Microseconds"),
                "lsl_push_us": described(
                    "Microseconds", "pushing a packet to its LSL outlets, after all other sending"
                ),
                **slowness(),
                "server": record(
                    "Of the process, which sessions share.",
                    {
                        "clock": typed("object", "what waiting is built on"),
                        "gc_pauses_us": ref("Microseconds"),
                        "gc_pauses_in_ticks": integer("collections that began in a tick", 0),
                        "settings": typed("object", "those that bear on timing"),
                        "system": array(
                            record(
                                "",
                                {
                                    "name": text("what was asked of the system", "SCHED_FIFO"),
                                    "state": text(
                                        enum=["done", "off", "not permitted", "not available"]
                                    ),
                                    "detail": text(),
                                },
                            )
                        ),
                    },
                ),
            },
        ),
    }
