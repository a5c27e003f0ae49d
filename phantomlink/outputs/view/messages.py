"""The messages of a view, as MessagePack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgpack

if TYPE_CHECKING:
    from phantomlink.outputs.view.columns import Columns
    from phantomlink.outputs.view.merging import Waiting

Json = Mapping[str, Any]


def hello_message(
    *,
    session: str,
    metadata: Json,
    unit_ids: Sequence[int],
    first_unit: int,
    bins_per_column: int,
    state: Json,
    history: Sequence[Columns],
) -> bytes:
    """The first message: what is watched, how it stands, and what has been seen of it."""
    return packed(
        {
            "type": "hello",
            "session": session,
            "metadata": metadata,
            "unit_ids": list(unit_ids),
            "first_unit": first_unit,
            "bins_per_column": bins_per_column,
            "state": state,
            "history": [columns_record(each) for each in history],
        }
    )


def columns_messages(waiting: Waiting) -> list[bytes]:
    """One message for each run; the first one has the gap before it."""
    gap = waiting.gap
    messages = []
    for each in waiting.columns:
        record = {"type": "columns", **columns_record(each)}
        if gap:
            record["gap"] = gap
            gap = 0
        messages.append(packed(record))
    return messages


def columns_record(columns: Columns) -> dict[str, Any]:
    """Columns of one run. Arrays are little-endian bytes, C order."""
    record = {
        "packet_id": columns.packet_id,
        "loop": columns.loop,
        "sequence": [columns.first_sequence, columns.last_sequence],
        "bins_per_column": columns.bins_per_column,
        "counts": columns.counts.tobytes(),
        "kinematics": columns.kinematics.astype("<f4", copy=False).tobytes(),
        "intention": columns.intention.astype("<f4", copy=False).tobytes(),
        "trial_id": columns.trial_ids.astype("<i4", copy=False).tobytes(),
        "lost": columns.lost.tobytes(),
        "observed": columns.observed.tobytes(),
        "perturbation_id": columns.perturbation_id,
        "timestamp": columns.timestamp,
    }
    if columns.decoded:
        record["decoded"] = {
            name: values.astype("<f4", copy=False).tobytes()
            for name, values in columns.decoded.items()
        }
    return record


def state_record(cause: str, state: Json, standing: Columns | None) -> dict[str, Any]:
    """How a session stands. `standing`: the packet it stands on while it does not play."""
    packet = None if standing is None else columns_record(standing)
    return {"type": "state", "cause": cause, "state": state, "packet": packet}


def packed(message: Json) -> bytes:
    """As MessagePack."""
    data: bytes = msgpack.packb(message)
    return data
