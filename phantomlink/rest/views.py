"""What views are told of sessions, in the words of the routes."""

from __future__ import annotations

from typing import Any

import msgspec

from phantomlink.engine.session import Session
from phantomlink.outputs.view.entrance import ViewEntrance
from phantomlink.rest.routes.recording import metadata_of
from phantomlink.rest.routes.sessions import session_state
from phantomlink.service.service import Service


def view_entrance(service: Service) -> ViewEntrance:
    """The views of a service's sessions."""

    def describe(session: Session) -> dict[str, Any]:
        metadata: dict[str, Any] = msgspec.to_builtins(
            metadata_of(service, session, session.open_recording)
        )
        return metadata

    return ViewEntrance(
        service.registry, service.mirrored, service.settings.max_viewers, describe, _summary
    )


def _summary(session: Session) -> dict[str, Any]:
    """A session of the list, with what tells of its health."""
    p99_ns = session.main.timing.lateness.summary().p99_ns
    return {
        **msgspec.to_builtins(session_state(session)),
        "dataset": session.recording.dataset,
        "lateness_p99_us": None if p99_ns is None else p99_ns / 1e3,
        "dropped_packets": session.counters.dropped,
    }
