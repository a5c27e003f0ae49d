"""The Redis streams of one session: a listener, and the task that sends what it gets.

Theory of operation. A session that was made with them has a listener from then on: it plays
without anybody else, as an implant does. The task takes what has gathered and sends it in one
pipeline; packets that cannot be sent are lost and counted, since late ones are of no use to a
graph. A server that cannot be reached is tried again until the session ends.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import trio

from phantomlink.engine.events import NO_FILTER, SessionEvent, SessionEventKind
from phantomlink.engine.fanout import Release
from phantomlink.engine.session import Session
from phantomlink.engine.session_codes import shown_code
from phantomlink.errors import leaves
from phantomlink.outputs.redis.brand_entries import STATE, EntryWriter, state_entry, stream_names
from phantomlink.outputs.redis.sink import BRAND, BrandSink
from phantomlink.settings import Settings
from phantomlink.settings.redis_url import redis_options

if TYPE_CHECKING:
    from coredis import Redis

logger = logging.getLogger(__name__)

_MOST_WAITING = 80
_RETRY_SECONDS = 1.0
_ANSWER_SECONDS = 2.0
_FAREWELL_SECONDS = 0.5
_TOLD = {
    SessionEventKind.PAUSED: "paused",
    SessionEventKind.RESUMED: "resumed",
    SessionEventKind.SOUGHT: "sought",
    SessionEventKind.STOPPED: "stopped",
    SessionEventKind.ENDED: "ended",
}


class BrandOutput:
    """The streams of one session.

    Args:
        settings: where the server of Redis is, and in which form it has counts.
        is_wanted: whether the session was asked for with them.

    Attributes:
        reason: why nothing is sent now; None while it is.
        settled: set once it is known whether something is.
    """

    kind = BRAND

    def __init__(self, settings: Settings, *, is_wanted: bool) -> None:
        self._settings = settings
        self.is_wanted = is_wanted
        self.reason: str | None = "the Redis server is being connected to"
        self.settled = trio.Event()
        self._names: dict[str, str] = {}
        self._writer = EntryWriter(settings.brand_count_type)
        self._sink = BrandSink(_MOST_WAITING, lambda _code: self._hold())
        self._is_held = False
        self._changed = trio.Event()
        self._sent = 0

    def as_json(self) -> Mapping[str, Any] | None:
        """What REST says of the streams; None for a session without."""
        if not self.is_wanted:
            return None
        return {
            "is_available": self.reason is None,
            "reason": self.reason,
            "streams": self._names,
            "count_type": self._writer.count_type,
            "sent": self._sent,
            "dropped": self._sink.dropped,
            "saturated": self._writer.saturated,
        }

    async def run(self, session: Session) -> None:
        """Send as long as the session lives; return at once when it is to have none."""
        if not self.is_wanted:
            self.settled.set()
            return
        self._names = stream_names(session.code)
        try:
            with session.followed_by(self._on_event):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._listen, session)
                    await self._send_always(shown_code(session.code))
        finally:
            session.unsubscribe(self._sink)
            if self.reason is None:
                await self._say_goodbye()

    async def _listen(self, session: Session) -> None:
        """Be a listener, but for the time after the session was stopped or has ended."""
        while True:
            if self._is_held:
                session.unsubscribe(self._sink)
            else:
                session.subscribe(NO_FILTER, session.main, self._sink)
            was_held = self._is_held
            while self._is_held == was_held:
                self._changed = trio.Event()
                await self._changed.wait()

    async def _send_always(self, name: str) -> None:
        from coredis import Redis  # noqa: PLC0415 - takes 0.4 s
        from coredis.exceptions import RedisError  # noqa: PLC0415

        # Set where there are sessions with this output at all, see the kind.
        url = self._settings.brand_url or ""
        while True:
            try:
                opening = Redis.from_url(url, connect_timeout=_ANSWER_SECONDS, **redis_options(url))
                async with opening as redis:
                    await self._send(redis)
            except* (RedisError, OSError, trio.TooSlowError) as group:
                self._failed(name, group)
            await trio.sleep(_RETRY_SECONDS)

    async def _send(self, redis: Redis[bytes]) -> None:
        """Send what comes until the server fails.

        Raises:
            RedisError, OSError: it has.
            trio.TooSlowError: it does not answer.
        """
        await self._write(redis, [], ["initialized"])
        self.reason = None
        self.settled.set()
        while True:
            releases, statuses = await self._sink.take()
            try:
                await self._write(redis, releases, statuses)
            except BaseException:
                self._sink.lose(len(releases))
                raise
            self._sent += len(releases)

    async def _write(
        self, redis: Redis[bytes], releases: list[Release], statuses: list[str]
    ) -> None:
        with trio.fail_after(_ANSWER_SECONDS):
            async with redis.pipeline(transaction=False) as pipe:
                for release in releases:
                    entries = self._writer.entries(release.packet, release.deadline_ns)
                    for kind, entry in entries.items():
                        self._add(pipe, kind, entry)
                for status in statuses:
                    self._add(pipe, STATE, state_entry(status))

    async def _say_goodbye(self) -> None:
        """Tell the graph, over a connection of its own: the other is cancelled by now."""
        from coredis import Redis  # noqa: PLC0415
        from coredis.exceptions import RedisError  # noqa: PLC0415

        url = self._settings.brand_url or ""
        with trio.move_on_after(_FAREWELL_SECONDS, shield=True):
            try:
                async with Redis.from_url(url, **redis_options(url)) as redis:
                    await self._write(redis, [], ["done"])
            except* (RedisError, OSError, trio.TooSlowError) as group:
                logger.warning("The end of BRAND streams could not be told: %s", _first(group))

    def _add(self, pipe: Any, kind: str, entry: dict[str, bytes]) -> None:
        from coredis.tokens import PureToken  # noqa: PLC0415

        pipe.xadd(
            self._names[kind],
            entry,
            trim_strategy=PureToken.MAXLEN,
            trim_operator=PureToken.APPROXIMATELY,
            threshold=self._settings.brand_max_entries,
        )

    def _failed(self, name: str, group: BaseExceptionGroup[BaseException]) -> None:
        reason = f"the Redis server fails: {_first(group)}"
        if self.reason != reason:
            logger.warning("Session %s has no BRAND streams now: %s", name, reason)
        self.reason = reason
        self.settled.set()

    def _hold(self) -> None:
        self._is_held = True
        self._changed.set()

    def _on_event(self, event: SessionEvent) -> None:
        if event.filter != NO_FILTER:
            return
        status = _TOLD.get(event.kind)
        if status is not None:
            self._sink.tell(status)
        is_start = event.kind is SessionEventKind.RESUMED or event.starts_main
        if is_start and self._is_held:
            self._is_held = False
            self._changed.set()


def _first(group: BaseExceptionGroup[BaseException]) -> str:
    """What the first error of a group says, in a line."""
    error = next(leaves(group))
    return " ".join(str(error).split()) or type(error).__name__
