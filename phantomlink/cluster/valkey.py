"""The shared directory in Valkey, or Redis from 7.0 on.

Every call has one deadline, and every failure of the server or of the way there becomes
`DirectoryAwayError`, here and nowhere else.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from phantomlink.cluster import valkey_scripts as scripts
from phantomlink.cluster.shared_directory import (
    DirectoryAwayError,
    DirectoryReturnedError,
    Estate,
    Followed,
    Following,
    LeaseRefusedError,
    NodeNameTakenError,
    NodeRecord,
    Ownership,
    Renewal,
    decode_record,
    encode_record,
)
from phantomlink.engine.directory import FORMAT, SessionRecord
from phantomlink.errors import SettingsError, leaves
from phantomlink.settings.redis_url import redis_options

if TYPE_CHECKING:
    from coredis import Redis

_NS, _NS_PER_MS = 1_000_000_000, 1_000_000
_REFUSED, _LAPSED = 0, 2


class ValkeyDirectory:
    """As `SharedDirectory`; made by `open_directory`.

    Args:
        redis: open client.
        prefix: of all keys.
        ttl_ms: of a lease.
    """

    def __init__(self, redis: Redis[bytes], prefix: str, ttl_ms: int) -> None:
        self._redis = redis
        self._prefix = prefix
        self._ttl_ms = ttl_ms
        # Longer than that, the lease has ended anyway.
        self._seconds = ttl_ms / 1000

    async def join(self, node: NodeRecord, known_epoch: int) -> int:
        """As `SharedDirectory.join`."""
        record = msgspec.json.encode(node)
        epoch: int = await self._run(
            scripts.JOIN, node.name, record, str(self._ttl_ms), str(known_epoch)
        )
        if not epoch:
            raise NodeNameTakenError(f"a node {node.name!r} is there")
        return epoch

    async def renew(self, node: NodeRecord, epoch: int) -> Renewal:
        """As `SharedDirectory.renew`."""
        record = msgspec.json.encode(node)
        state, *rest = await self._run(
            scripts.RENEW, node.name, record, str(self._ttl_ms), str(epoch)
        )
        if state == _REFUSED:
            raise LeaseRefusedError(f"another node {node.name!r} has joined")
        seconds, microseconds, living, waiting, mirrors = rest
        names = [name.decode() for name in living[::3]]
        left_ms = dict(zip(names, living[2::3], strict=True))
        left_ms.pop(node.name, None)
        return Renewal(
            state == _LAPSED,
            int(seconds) * _NS + int(microseconds) * 1000,
            tuple(sorted(_nodes(living[1::3]), key=_name)),
            {
                had.decode(): Estate(n_left, n_all)
                for had, n_left, n_all in zip(*(waiting[n::3] for n in range(3)), strict=True)
            },
            min(left_ms.values()) * _NS_PER_MS if left_ms else None,
            _by_code(mirrors),
        )

    async def leave(self, node: str, epoch: int) -> None:
        """As `SharedDirectory.leave`."""
        await self._run(scripts.LEAVE, node, str(epoch))

    async def create(self, code: str, node: str, epoch: int) -> Ownership:
        """As `SharedDirectory.create`."""
        owner: bytes | int = await self._run(scripts.CREATE, code, node, str(epoch))
        if isinstance(owner, int):
            raise DirectoryReturnedError(
                "the directory has just come back: sessions that it does not know yet may be "
                "there; try again"
            )
        return Ownership(owner.decode() or None)

    async def find(self, codes: Sequence[str]) -> dict[str, Ownership]:
        """As `SharedDirectory.find`."""
        owners: list[bytes | None] = await self._run(scripts.FIND, *codes)
        return {
            code: Ownership(owner.decode() or None)
            for code, owner in zip(codes, owners, strict=True)
            if owner is not None
        }

    async def write(self, node: str, epoch: int, records: Sequence[SessionRecord]) -> list[str]:
        """As `SharedDirectory.write`."""
        told: list[str | bytes] = []
        for record in records:
            told += [record.code, str(record.format), record.sha256 or "", str(record.revision)]
            told.append(encode_record(record))
        refused: list[bytes] = await self._run(scripts.WRITE, node, str(epoch), *told)
        return [code.decode() for code in refused]

    async def forget(self, node: str, epoch: int, codes: Sequence[str]) -> None:
        """As `SharedDirectory.forget`."""
        await self._run(scripts.FORGET, node, str(epoch), "ended", *codes)

    async def unreserve(self, node: str, epoch: int, codes: Sequence[str]) -> None:
        """As `SharedDirectory.unreserve`."""
        await self._run(scripts.FORGET, node, str(epoch), "reserved", *codes)

    async def release(self, node: str, codes: Sequence[str]) -> None:
        """As `SharedDirectory.release`."""
        await self._run(scripts.RELEASE, node, *codes)

    async def claim(
        self, node: str, epoch: int, most: Mapping[str, int], digests: Collection[str]
    ) -> list[SessionRecord]:
        """As `SharedDirectory.claim`; records of a newer format are left for newer nodes."""
        limits = [str(each) for had in most.items() for each in had]
        claimed: list[bytes] = await self._run(
            scripts.CLAIM, node, str(epoch), str(FORMAT), str(len(most)), *limits, *sorted(digests)
        )
        return _records(claimed)

    async def follow(
        self, node: str, epoch: int, wanted: Sequence[Following]
    ) -> dict[str, Followed]:
        """As `SharedDirectory.follow`."""
        asked = [part for each in wanted for part in (each.code, each.ticket, each.version)]
        told = await self._run(scripts.FOLLOW, node, str(epoch), *asked)
        if told == _REFUSED:
            raise LeaseRefusedError(f"node {node!r} has no lease")
        return {
            code.decode(): Followed(
                owner.decode() or None, version.decode(), decode_record(data) if data else None
            )
            for code, owner, version, data in zip(*(told[n::4] for n in range(4)), strict=True)
        }

    async def owned(self, node: str, epoch: int) -> list[SessionRecord]:
        """As `SharedDirectory.owned`."""
        return _records(await self._run(scripts.OWNED, node, str(epoch)))

    async def _run(self, script: str, *arguments: str | bytes) -> Any:
        """One step of the directory.

        Raises:
            DirectoryAwayError: it did not answer, or with an error.
        """
        from coredis.exceptions import RedisError  # noqa: PLC0415 - takes 0.3 s

        answer = None
        try:
            with trio.fail_after(self._seconds):
                answer = await self._redis.eval(script, [self._prefix], list(arguments))
        except* (RedisError, OSError, trio.TooSlowError) as group:
            error = next(leaves(group))
            # Of TLS and of a name that is not known only the cause tells.
            error = error.__cause__ or error
            text = " ".join(str(error).split()) or type(error).__name__
            raise DirectoryAwayError(f"the directory cannot be reached: {text}") from None
        return answer


@asynccontextmanager
async def open_directory(url: str, prefix: str, ttl_ms: int) -> AsyncIterator[ValkeyDirectory]:
    """The directory at a URL; it need not be there yet.

    Args:
        url: redis:// or rediss://.
        prefix: of all keys.
        ttl_ms: of leases.

    Raises:
        SettingsError: a file of TLS that the URL names cannot be read.
    """
    from coredis import Redis  # noqa: PLC0415 - takes 0.3 s

    # It logs a traceback for each connection that cannot be made, which is said here in one line.
    logging.getLogger("coredis").setLevel(logging.CRITICAL)
    try:
        options = redis_options(url)
    except OSError as error:
        raise SettingsError(f"cluster_url: its TLS files: {error.strerror or error}") from error
    async with Redis.from_url(url, connect_timeout=ttl_ms / 1000, **options) as redis:
        yield ValkeyDirectory(redis, prefix, ttl_ms)


def _nodes(records: Sequence[bytes]) -> list[NodeRecord]:
    """Records of nodes; one that this version does not understand is left out."""
    nodes = []
    for data in records:
        try:
            nodes.append(msgspec.json.decode(data, type=NodeRecord))
        except msgspec.DecodeError:
            continue
    return nodes


def _by_code(mirrors: Sequence[bytes]) -> dict[str, tuple[str, ...]]:
    """Tickets by code, out of a list of one after the other."""
    found: dict[str, list[str]] = {}
    for code, ticket in zip(mirrors[::2], mirrors[1::2], strict=True):
        found.setdefault(code.decode(), []).append(ticket.decode())
    return {code: tuple(sorted(tickets)) for code, tickets in found.items()}


def _records(data: Sequence[bytes]) -> list[SessionRecord]:
    records = (decode_record(each) for each in data)
    return [record for record in records if record is not None]


def _name(node: NodeRecord) -> str:
    return node.name
