"""The directory that the nodes of a cluster share: who is there, and who owns which session.

It holds what `engine.directory` holds for the processes of one machine. A node is a server with all
its processes. Packets never go through it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from phantomlink.engine.directory import FORMAT, SessionRecord
from phantomlink.errors import PhantomLinkError

MAX_RECORD_BYTES = 256 * 1024
_decoder = msgspec.msgpack.Decoder(SessionRecord)


class DirectoryAwayError(PhantomLinkError):
    """The directory cannot be reached, or does not answer."""

    http_status = 503
    title = "Directory away"
    retry_after_seconds = 5


class DirectoryReturnedError(DirectoryAwayError):
    """It may not know all sessions that there are: nothing has been done."""


class NodeNameTakenError(PhantomLinkError):
    """Another node of this name is there."""


class LeaseRefusedError(PhantomLinkError):
    """Another node has joined under this name meanwhile."""


class NodeRecord(msgspec.Struct, frozen=True):
    """What a node tells the others of itself.

    Attributes:
        name: of the node.
        url: http or https, as the others reach it.
        processes: names of those that play, as they are asked one by one.
        version: of the server.
    """

    name: str
    url: str
    processes: tuple[str, ...]
    version: str


@dataclass(frozen=True, slots=True)
class Estate:
    """Sessions of an owner that is gone.

    Attributes:
        n_left: how many wait for heirs.
        n_all: how many it had when the first heir came.
    """

    n_left: int
    n_all: int


@dataclass(frozen=True, slots=True)
class Renewal:
    """What the directory answers to a renewal.

    Attributes:
        had_lapsed: whether there was no lease left: others may have claimed sessions.
        common_ns: the directory's clock.
        nodes: those that have a lease, this one too.
        waiting: what waits for heirs, by the former owner.
        next_end_ns: how long until the first lease of another node ends; None where there is none.
        mirrors: tickets of the nodes that follow sessions of this one, by code.
    """

    had_lapsed: bool
    common_ns: int
    nodes: tuple[NodeRecord, ...]
    waiting: Mapping[str, Estate]
    next_end_ns: int | None
    mirrors: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Following:
    """A session of another node that a node wants to play, too.

    Attributes:
        code: of the session.
        ticket: of this wish, which no other one has.
        version: of the record that is known; "" for none.
    """

    code: str
    ticket: str
    version: str


@dataclass(frozen=True, slots=True)
class Followed:
    """How a session is that a node follows.

    Attributes:
        node: that has it; None while it waits for an heir.
        version: of its record: the same as long as nobody writes it.
        record: None where it is of the version that is known, or not understood.
    """

    node: str | None
    version: str
    record: SessionRecord | None


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who has a session.

    Attributes:
        node: name of the owner; None while it waits for an heir.
    """

    node: str | None


class SharedDirectory(Protocol):
    """One kind for each thing that keeps it. Every call is one step there.

    Anchors of records are in common time.

    Raises:
        DirectoryAwayError: any call: it cannot be reached. What was asked for may have been done.
    """

    async def join(self, node: NodeRecord, known_epoch: int) -> int:
        """A node is there; answers its epoch, above all before and above `known_epoch`.

        Raises:
            NodeNameTakenError: a node of this name has a lease.
        """
        ...

    async def renew(self, node: NodeRecord, epoch: int) -> Renewal:
        """The node is still there.

        Raises:
            LeaseRefusedError: another one is, under its name.
        """
        ...

    async def leave(self, node: str, epoch: int) -> None:
        """The node goes. Its sessions wait for heirs."""
        ...

    async def create(self, code: str, node: str, epoch: int) -> Ownership:
        """Reserve a code for a node; answers who has it now.

        Raises:
            DirectoryReturnedError: the node has no lease, or it is within two leases after a
                time in which no node had one. What the directory does not know then may be there:
                its owner writes it down again.
        """
        ...

    async def find(self, codes: Sequence[str]) -> dict[str, Ownership]:
        """Who has which of these sessions; those that do not exist are left out."""
        ...

    async def write(self, node: str, epoch: int, records: Sequence[SessionRecord]) -> list[str]:
        """Keep records; answers the codes of those that another node has, which are not kept."""
        ...

    async def forget(self, node: str, epoch: int, codes: Sequence[str]) -> None:
        """Sessions of the node have ended, or their reservations are given up."""
        ...

    async def unreserve(self, node: str, epoch: int, codes: Sequence[str]) -> None:
        """The node may have reserved these and makes none of them.

        What has a record stays: the node may have taken such a session over meanwhile.
        """
        ...

    async def release(self, node: str, codes: Sequence[str]) -> None:
        """Sessions of the node wait for other heirs."""
        ...

    async def claim(
        self, node: str, epoch: int, most: Mapping[str, int], digests: Collection[str]
    ) -> list[SessionRecord]:
        """Let a node have sessions whose owner is gone; answers their records.

        Args:
            node: that takes them over.
            epoch: of it.
            most: how many at most, by former owner as in `Renewal.waiting`.
            digests: SHA-256 of the datasets that it has; those of others are left.
        """
        ...

    async def follow(
        self, node: str, epoch: int, wanted: Sequence[Following]
    ) -> dict[str, Followed]:
        """What has become of sessions of others; those that have ended are left out.

        Their owners are told of the tickets for a second from now on.

        Raises:
            LeaseRefusedError: the node has no lease.
        """
        ...

    async def owned(self, node: str, epoch: int) -> list[SessionRecord]:
        """Records of the sessions that a node has."""
        ...


def encode_record(record: SessionRecord) -> bytes:
    """A record as the directory keeps it."""
    return msgspec.msgpack.encode(record)


def decode_record(data: bytes) -> SessionRecord | None:
    """A record out of the directory; None for one that this version does not understand."""
    if len(data) > MAX_RECORD_BYTES:
        return None
    try:
        record = _decoder.decode(data)
    except msgspec.DecodeError:
        return None
    return record if record.format == FORMAT else None


def shifted(record: SessionRecord, by_ns: int) -> SessionRecord:
    """The same record with anchors on another clock, which is `by_ns` ahead."""
    playheads = tuple(
        playhead
        if playhead.anchor.due_ns is None
        else replace(
            playhead, anchor=replace(playhead.anchor, due_ns=playhead.anchor.due_ns + by_ns)
        )
        for playhead in record.playheads
    )
    return replace(record, playheads=playheads)
