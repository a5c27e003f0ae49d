"""Who owns which session, and from what anybody can go on playing it.

A session's record is written when something happens to it, never per packet: dataset, perturbation
and seed say what every packet is, and an anchor of each playhead says when it is due. The directory
of one machine lies in the memory of the process that starts the others. Nothing in it is heavier
than the standard library: that process opens no recording.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from phantomlink.engine.anchors import Anchor

FORMAT = 1
MAX_FILTERED = 64
"""Filtered playheads in a record; more start at the position of the unfiltered one."""


@dataclass(frozen=True, slots=True)
class PlayheadRecord:
    """A playhead that somebody listens to, or the unfiltered one.

    Attributes:
        trial_id: of its filter; None for any.
        target_id: of its filter; None for any.
        reach_id: of its filter; None for any.
        anchor: a packet of it, and when it is due.
        is_listened_to: whether it plays while the session does.
    """

    trial_id: int | None
    target_id: int | None
    reach_id: int | None
    anchor: Anchor
    is_listened_to: bool


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What a session is, so that another process can go on with it.

    Attributes:
        format: of the record.
        code: of the session.
        created_at: ISO 8601.
        dataset: that it plays.
        sha256: of the dataset's file; None while it is not known.
        rate_hz: bins a second of the recording's clock, a fraction.
        speed: times faster than recorded, a fraction.
        perturbation: JSON of what is done to its packets.
        seed: of that.
        test_trials: whose truth is hidden; None for none.
        is_paused: whether it is.
        is_stopped: whether it waits for a listener or for resume.
        was_stopped: whether it was stopped at any time.
        outputs: whether it was asked for with each kind of output, by name.
        playheads: the unfiltered one first.
        revision: one more with each change; 0 of one that has come out of a state file.
        n_bins: of the recording at that rate; None where a process of an earlier version wrote it.
        file_size_bytes: of the dataset's file.
        file_modified_ns: when that was last changed, Unix ns.
        course: one more whenever what the unfiltered playhead sends is no longer what followed from
            the record before.
        holds_from: number of the packet from which on that is so.
        mirrors: tickets of other nodes that may play it, too: it changes only as announced then.
        changes_at: number of the unfiltered packet from which on it may be another; None while no
            change is announced.
    """

    format: int
    code: str
    created_at: str
    dataset: str
    sha256: str | None
    rate_hz: str
    speed: str
    perturbation: Any
    seed: int
    test_trials: tuple[int, ...] | None
    is_paused: bool
    is_stopped: bool
    was_stopped: bool
    outputs: dict[str, bool]
    playheads: tuple[PlayheadRecord, ...]
    revision: int
    n_bins: int | None = None
    file_size_bytes: int | None = None
    file_modified_ns: int | None = None
    course: int = 0
    holds_from: int = 0
    mirrors: tuple[str, ...] = ()
    changes_at: int | None = None


@dataclass(slots=True)
class _Entry:
    """`node` is None while nobody owns the session; `record` while it is only reserved."""

    node: str | None
    epoch: int
    record: SessionRecord | None = None


class MemoryDirectory:
    """The directory of the processes of one machine. Every call is one step."""

    def __init__(self) -> None:
        self._epochs: dict[str, int] = {}
        self._latest_epoch = 0
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def join(self, node: str) -> int:
        """A node is there; answers the epoch that it writes with, above all before."""
        self._latest_epoch += 1
        self._epochs[node] = self._latest_epoch
        return self._latest_epoch

    def leave(self, node: str) -> list[str]:
        """A node is gone. Nobody owns its sessions; what it had only reserved is free: answered."""
        self._epochs.pop(node, None)
        freed = []
        for code, entry in list(self._entries.items()):
            if entry.node == node:
                if entry.record is None:
                    del self._entries[code]
                    freed.append(code)
                else:
                    entry.node = None
        return freed

    def nodes(self) -> tuple[str, ...]:
        """Those that are there."""
        return tuple(self._epochs)

    def n_sessions(self, node: str) -> int:
        """Sessions that a node owns."""
        return sum(entry.node == node for entry in self._entries.values())

    def create(self, code: str, node: str) -> str | None:
        """Reserve a code for a node; answers who has it now: None when it waits for an heir."""
        entry = self._entries.get(code)
        if entry is None:
            self._entries[code] = _Entry(node, self._epochs[node])
            return node
        return entry.node

    def has(self, code: str) -> bool:
        """Whether there is such a session, owned or not."""
        return code in self._entries

    def find(self, code: str) -> str | None:
        """The node that owns a session; None where nobody does."""
        entry = self._entries.get(code)
        return None if entry is None else entry.node

    def write(self, node: str, epoch: int, record: SessionRecord) -> bool:
        """Keep a record. False for that of a former owner, which is not kept."""
        entry = self._entries.get(record.code)
        if self._epochs.get(node) != epoch:
            return False
        if entry is not None and (entry.node != node or entry.epoch > epoch):
            return False
        self._entries[record.code] = _Entry(node, epoch, record)
        return True

    def forget(self, code: str, node: str) -> None:
        """The session of a node has ended, or its reservation is given up."""
        entry = self._entries.get(code)
        if entry is not None and entry.node == node:
            del self._entries[code]

    def claim(self, node: str, room: int) -> list[SessionRecord]:
        """Let a node have sessions that nobody owns; answers their records.

        Args:
            node: that takes them over.
            room: how many at most.
        """
        claimed: list[SessionRecord] = []
        for entry in self._entries.values():
            if len(claimed) == room:
                break
            if entry.node is None and entry.record is not None:
                entry.node, entry.epoch = node, self._epochs[node]
                claimed.append(entry.record)
        return claimed

    def record(self, code: str) -> SessionRecord | None:
        """Of one session; None where it is only reserved, or there is none."""
        entry = self._entries.get(code)
        return None if entry is None else entry.record

    def records(self) -> list[SessionRecord]:
        """Of all sessions, owned or not."""
        return [entry.record for entry in self._entries.values() if entry.record is not None]

    def adopt(self, record: SessionRecord) -> None:
        """A session has come that nobody owns here yet."""
        self._entries[record.code] = _Entry(None, 0, record)

    def drop(self, code: str) -> str | None:
        """A session is no longer one of these; answers who owned it."""
        entry = self._entries.pop(code, None)
        return None if entry is None else entry.node

    @property
    def n_unowned(self) -> int:
        """Sessions that wait for an heir."""
        return sum(entry.node is None for entry in self._entries.values())
