"""What the process that listens and those that play say to each other."""

from __future__ import annotations

from typing import Literal

import msgspec

from phantomlink.engine.directory import SessionRecord


class Start(msgspec.Struct, tag=True, frozen=True):
    """The first message to a worker.

    Attributes:
        node: its name.
        epoch: that it writes records with.
        settings: pickled by the parent, which is of the same version.
        recording: path or dataset name; None for the one that the settings name.
        more: paths or names of further datasets.
        says_what: whether it logs what is played, and whether there is LSL.
        has_nodes: whether there are other nodes, and so a lease.
    """

    node: str
    epoch: int
    settings: bytes
    recording: str | None
    more: tuple[str, ...]
    says_what: bool
    has_nodes: bool


class Ready(msgspec.Struct, tag=True, frozen=True):
    """A worker can serve.

    Attributes:
        dataset: that sessions play which name none.
        size_bytes: of its file.
        modified_ns: when that was last changed, Unix ns.
    """

    dataset: str
    size_bytes: int
    modified_ns: int


class ReadState(msgspec.Struct, tag=True, frozen=True):
    """A worker is to read what the last run has left in this folder; its file is locked."""

    folder: str


class StateRead(msgspec.Struct, tag=True, frozen=True):
    """What the last run has left.

    Attributes:
        records: of its sessions, as many as there may be, in the order in which they come back.
        may_write: whether the file may be replaced.
        failure: why it could not be written; empty if it could.
        sha256: of the default dataset's file, where that was found out.
    """

    records: tuple[SessionRecord, ...]
    may_write: bool
    failure: str
    sha256: str | None


class Failed(msgspec.Struct, tag=True, frozen=True):
    """A worker cannot start, and why."""

    text: str


class Alive(msgspec.Struct, tag=True, frozen=True):
    """The loop of a worker runs."""


class Drain(msgspec.Struct, tag=True, frozen=True):
    """A worker is to tell its clients that it goes, and end."""


class Nodes(msgspec.Struct, tag=True, frozen=True):
    """The workers that can serve now."""

    names: tuple[str, ...]


class Standing(msgspec.Struct, tag=True, frozen=True):
    """How this node and the directory of all nodes stand.

    Attributes:
        plays_until_ns: no packet may leave after it, monotonic ns.
        may_change: whether sessions may be made and steered.
        state: as `/api/nodes` has it.
        clock_offset_ns: time of all nodes less monotonic time.
    """

    plays_until_ns: int
    may_change: bool
    state: Literal["up", "static", "gone"]
    clock_offset_ns: int


class GiveUp(msgspec.Struct, tag=True, frozen=True):
    """Another node has these sessions.

    Attributes:
        codes: of them.
        moved_to: what URLs of their streams begin with; None where that is not known.
    """

    codes: tuple[str, ...]
    moved_to: str | None


class Mirrored(msgspec.Struct, tag=True, frozen=True):
    """Which sessions of this node others play too.

    Attributes:
        tickets: of these nodes, by code of the session; those that are not named, nobody.
        urls: what URLs of their streams begin with, by name of the node.
    """

    tickets: dict[str, tuple[str, ...]]
    urls: dict[str, str]


class Mirror(msgspec.Struct, tag=True, frozen=True):
    """A session of another node is to be played here too, or goes on being.

    Attributes:
        code: of it.
        ticket: of the wish to.
        asked_ns: when the directory was asked, monotonic ns.
        record: what it knew then; None for what it knew before.
        url: what URLs of the owner's streams begin with; None while there is no owner.
    """

    code: str
    ticket: str
    asked_ns: int
    record: SessionRecord | None
    url: str | None


class EndMirror(msgspec.Struct, tag=True, frozen=True):
    """A session of another node is not to be played here any more.

    Attributes:
        code: of it.
        url: what URLs of its streams begin with; None where nobody has it.
        has_ended: whether there is no such session any more.
    """

    code: str
    url: str | None
    has_ended: bool = False


class MirrorSays(msgspec.Struct, tag=True, frozen=True):
    """How a session of another node fares here.

    Attributes:
        code: of it.
        ticket: of the wish to play it.
        plays: False for one that cannot be made, or has ended because it could not be sure.
        n_viewers: listeners and views.
    """

    code: str
    ticket: str
    plays: bool
    n_viewers: int = 0


class Answers(msgspec.Struct, tag=True, frozen=True):
    """A client has sent a prediction to a session of another node, which that one scores.

    Attributes:
        code: of the session.
        address: of the other end of its connection.
    """

    code: str
    address: str


class Digests(msgspec.Struct, tag=True, frozen=True):
    """SHA-256 of the datasets that a worker has open.

    Attributes:
        sha256: of all whose file has been read for it.
        default: of the one that sessions play which name none; None while it is not known.
    """

    sha256: tuple[str, ...]
    default: str | None = None


class Sync(msgspec.Struct, tag=True, frozen=True):
    """A worker asks whether what it has said is in the directory of all nodes."""

    call: int


class Synced(msgspec.Struct, tag=True, frozen=True):
    """Whether it is."""

    call: int
    is_written: bool


class Connection(msgspec.Struct, tag=True, frozen=True):
    """A connection, whose descriptor comes with the message. To a worker, or back to the parent.

    Attributes:
        received: what has been read from it: whole requests, or a first part that is wrong.
        node: which worker is to have it; None where the parent decides.
        peer: of a connection between workers, the address of whom it is for; None for a client's.
        client: of a client's that another node has passed on, its address.
    """

    received: bytes
    node: str | None = None
    peer: str | None = None
    client: str | None = None


class Taken(msgspec.Struct, tag=True, frozen=True):
    """A worker has read the next connection of a client: it is answered there, or nowhere."""


class Reserve(msgspec.Struct, tag=True, frozen=True):
    """A worker is about to make a session of this code."""

    call: int
    code: str


class Reserved(msgspec.Struct, tag=True, frozen=True):
    """Who has the code now; None and a reason where nobody may.

    Attributes:
        call: that is answered.
        node: a worker, or another node.
        reason: there is no room.
        away: why nobody knows.
    """

    call: int
    node: str | None
    reason: str = ""
    away: str = ""


class Write(msgspec.Struct, tag=True, frozen=True):
    """A session of a worker is like this now."""

    record: SessionRecord


class Forget(msgspec.Struct, tag=True, frozen=True):
    """A session of a worker has ended, or was not made after all."""

    code: str


class GiveBack(msgspec.Struct, tag=True, frozen=True):
    """A worker cannot have a session that it was given: another node may."""

    code: str


class Claim(msgspec.Struct, tag=True, frozen=True):
    """Sessions of a worker that is gone, or of the last run, for another one."""

    records: tuple[SessionRecord, ...]


class AskIdle(msgspec.Struct, tag=True, frozen=True):
    """Which session could make room?"""

    call: int


class Idle(msgspec.Struct, tag=True, frozen=True):
    """The least recently used session without a listener, and for how long, s; None for none."""

    call: int
    code: str | None
    seconds: float


class Evict(msgspec.Struct, tag=True, frozen=True):
    """This session makes room, if nobody has come to listen."""

    code: str


class Passed(msgspec.Struct, tag=True, frozen=True):
    """A worker has let a request of an address pass, which counts at the others, too."""

    address: str


class Clients(msgspec.Struct, tag=True, frozen=True):
    """A worker has so many WebSocket clients from an address, which count at the others, too.

    Attributes:
        address: that they are from; None for the viewers, from all addresses.
    """

    node: str
    address: str | None
    n_clients: int


ToParent = (
    Ready
    | Failed
    | Alive
    | Connection
    | Taken
    | Reserve
    | Write
    | Forget
    | GiveBack
    | Idle
    | StateRead
    | Digests
    | MirrorSays
    | Answers
    | Sync
    | Passed
    | Clients
)
ToWorker = (
    Start
    | Drain
    | Nodes
    | Connection
    | Reserved
    | Claim
    | ReadState
    | AskIdle
    | Evict
    | Standing
    | GiveUp
    | Mirrored
    | Mirror
    | EndMirror
    | Synced
    | Passed
    | Clients
)
