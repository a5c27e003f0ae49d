"""A worker reads what the last run of the server has left, which the parent cannot understand."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from phantomlink.cluster.messages import StateRead
from phantomlink.cluster.session_record import record_of_state
from phantomlink.recordings.identity import sha256_of
from phantomlink.scheduling.worker_thread import run_in_thread_patiently
from phantomlink.service.service import Service
from phantomlink.state.form import RecordingIdentity
from phantomlink.state.load import load_state
from phantomlink.state.restore import newest


def identity_of(service: Service) -> RecordingIdentity:
    """Which recording positions belong to that name no dataset."""
    recording = service.recording
    return RecordingIdentity(
        recording.dataset, recording.identity.size, recording.identity.mtime_ns
    )


async def read_last_run(service: Service, folder: Path) -> StateRead:
    """The sessions in a folder's state file, as records that anybody can go on from."""
    identity, path = identity_of(service), service.recording.path
    loaded = await run_in_thread_patiently(
        load_state, folder / identity.file_name, identity, partial(sha256_of, path)
    )
    sessions = newest(loaded.sessions, service.registry.max_sessions)
    return StateRead(
        tuple(record_of_state(session, identity.dataset) for session in sessions),
        loaded.may_write,
        "" if loaded.failure is None else str(loaded.failure),
        loaded.sha256,
    )
