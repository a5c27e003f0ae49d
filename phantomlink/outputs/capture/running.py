"""One capture while it runs: a session's recorder, and the journal that it fills."""

from __future__ import annotations

import math
import secrets
import string
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from phantomlink import __version__
from phantomlink.captures.journal_writer import JournalWriter
from phantomlink.captures.records import End, Gap, Header, Record, Sent
from phantomlink.captures.source import about_source
from phantomlink.engine.session import Session
from phantomlink.engine.session_codes import is_private
from phantomlink.engine.silent_listener import SilentListener
from phantomlink.outputs.capture.described import SessionDescription
from phantomlink.outputs.capture.limits import CaptureLimits, FolderUse
from phantomlink.outputs.capture.recorder import Recorder, perturbation_of
from phantomlink.outputs.decoders.kind import scores_of
from phantomlink.recordings.blind import hidden_trials
from phantomlink.recordings.trials import Filter

# A disk that stands still for 2 s costs nothing, whatever had come since it was last written.
_QUEUE_SECONDS = 2.5
# Between some packets that are packed in the thread, of 4 us each: a tick that is due waits for
# those at most.
_YIELD_SECONDS = 150e-6
_PACKED_AT_ONCE = 16


class RunningCapture:
    """A capture of one playhead of a session.

    Made on the event loop, where it takes packets from then on; `open`, `write` and `finish` are
    called in one thread, `sync` in another. What fails there ends it: `is_over` says so.

    Args:
        session: that is captured; it is kept from eviction meanwhile.
        wanted: the filter of the playhead.
        title: that it is given.
        folder: for its journal.
        max_seconds: for how long; infinite: until it is stopped.
        limits: what it may write.
        described: what is said of the session.
        keeps_playing: whether the playhead goes on though nobody listens.

    Attributes:
        capture_id: its name.
        packets, lost_packets: that its journal holds, and does not.
        first_packet_id, last_packet_id: of those that it holds.
        state: `running`, `complete` or `torn`.
        reason: why it has ended, or will when it is written; "" while it runs.
    """

    def __init__(
        self,
        session: Session,
        wanted: Filter,
        title: str,
        folder: Path,
        max_seconds: float,
        limits: CaptureLimits,
        described: SessionDescription,
        *,
        keeps_playing: bool = False,
    ) -> None:
        self.capture_id = make_capture_id(session.code)
        self.session = session
        self.session_code = shown_session(session)
        self.wanted = wanted
        self.title = title
        self.started_at = datetime.now(UTC)
        self.state, self.reason = "running", ""
        self.packets = self.lost_packets = 0
        self.first_packet_id: int | None = None
        self.last_packet_id: int | None = None
        self._limits = limits
        self._failed: str | None = None
        self._batch: list[Record] = []
        self._began = time.monotonic()
        self._until = self._began + max_seconds if math.isfinite(max_seconds) else math.inf
        self._ended = math.inf
        self._described = described
        self._header = self._make_header()
        self._writer = JournalWriter(folder, self._header)
        most = math.ceil(_QUEUE_SECONDS * session.rate_hz)
        self._recorder = Recorder(session, wanted, most, described.markers)
        self._attached = ExitStack()
        self._attached.enter_context(session.reserved())
        self._attached.enter_context(session.followed_by(self._recorder.follow))
        self._scores = scores_of(session)
        if self._scores is not None:
            self._attached.enter_context(self._scores.answers_followed_by(self._recorder.answered))
        self._attached.callback(session.unobserve, self._recorder)
        session.observe(wanted, self._recorder)
        if keeps_playing:
            keeper = SilentListener("capture")
            self._attached.callback(session.unsubscribe, keeper)
            session.subscribe(wanted, session.playback(wanted), keeper)

    @property
    def path(self) -> Path:
        """Of its journal."""
        return self._writer.path

    @property
    def n_bytes(self) -> int:
        """Of its records."""
        return self._writer.n_bytes

    @property
    def seconds(self) -> float:
        """For how long it has run."""
        return min(time.monotonic(), self._ended) - self._began

    @property
    def is_over(self) -> bool:
        """Whether it is to be finished: asked for, or for a reason of its own."""
        if not self.reason:
            if self._failed is not None:
                self.detach(self._failed)
            elif self._recorder.ended is not None:
                self.detach(self._recorder.ended)
            elif time.monotonic() >= self._until:
                self.detach("as long as was asked for")
        return bool(self.reason)

    def detach(self, reason: str) -> None:
        """Take no more packets; on the event loop. What has come is still to be written."""
        if not self.reason:
            self.reason = reason
            self._ended = time.monotonic()
            self._attached.close()
            self._recorder.finish()

    async def settle(self) -> None:
        """Wait for what built-in decoders say of the packets that have left."""
        if self._scores is not None:
            await self._scores.decode()

    def open(self) -> None:
        """Begin the journal. In the thread that writes.

        Raises:
            OSError: it cannot be begun.
        """
        self._writer.open()

    def write(self) -> None:
        """Write what has come. In the thread that writes."""
        try:
            self._write()
            self._know_source()
            self._writer.next_segment_if_due()
            self._writer.compress_some()
        except OSError as error:
            self.fail(error)

    def sync(self, use: FolderUse) -> None:
        """See that what was written is on the disk. In another thread.

        Args:
            use: of the folder, a moment ago.
        """
        try:
            self._writer.sync()
        except OSError as error:
            self.fail(error)
        self._failed = self._failed or self._limits.exceeded(self.n_bytes, use)

    def fail(self, error: OSError) -> None:
        """It cannot be written. In any thread."""
        self._failed = self._failed or f"it cannot be written: {error.strerror or error}"

    def finish(self) -> None:
        """Write the rest and the end. In the thread that writes, after `detach`."""
        try:
            self._write()
            torn = self._failed or self._missing()
            state = "complete" if torn is None else "torn"
            self.reason = torn or self.reason
            self._writer.finish(End(state, self.reason, self.packets, self.lost_packets))
            self.state = state
        except OSError as error:
            self.fail(error)
            self._writer.abandon()
            unwritten = [*self._batch, *self._recorder.take()]
            self.lost_packets += sum(isinstance(record, Sent) for record in unwritten)
            self.state, self.reason = "torn", self._failed or ""

    def _missing(self) -> str | None:
        if self.lost_packets:
            return f"{self.lost_packets} packets are missing: the disk was too slow"
        if self._recorder.lost_answers:
            return f"{self._recorder.lost_answers} predictions are missing: there were too many"
        return None

    def _write(self) -> None:
        records = self._recorder.take()
        # Those that could not be written are tried once more at the end.
        while batch := self._batch or list(islice(records, _PACKED_AT_ONCE)):
            self._batch = batch
            self._writer.write(batch)
            self._batch = []
            for record in batch:
                self._count(record)
            time.sleep(_YIELD_SECONDS)

    def _count(self, record: Record) -> None:
        if isinstance(record, Sent):
            self.packets += 1
            self.last_packet_id = record.packet.packet_id
            if self.first_packet_id is None:
                self.first_packet_id = self.last_packet_id
        elif isinstance(record, Gap):
            self.lost_packets += record.packets

    def _know_source(self) -> None:
        sha256 = self.session.open_recording.sha256
        if self._header.sha256 is None and sha256 is not None:
            self._header = self._make_header()
            self._writer.learned(self._header)

    def _make_header(self) -> Header:
        session = self.session
        recording, clock = session.recording, session.parts.clock
        said = perturbation_of(session)
        return Header(
            capture_id=self.capture_id,
            session=self.session_code,
            title=self.title,
            version=__version__,
            dataset=recording.dataset,
            sha256=session.open_recording.sha256,
            unit_ids=recording.unit_ids,
            rate_hz=session.grid.rate_hz,
            speed=session.speed,
            filter={
                name: value
                for name in ("trial_id", "target_id", "reach_id")
                if (value := getattr(self.wanted, name)) is not None
            },
            perturbation=said["perturbation"],  # type: ignore[arg-type]
            perturbation_id=said["perturbation_id"],  # type: ignore[arg-type]
            seed=session.seed,
            clock=(round(clock.wall_seconds() * 1e9), clock.now_ns()),
            trials=self._described.trials,
            about=about_source(recording),
            streams=self._described.streams,
            blind=tuple(sorted(hidden_trials(session.bins))),
        )


def shown_session(session: Session) -> str:
    """The code of a session as its captures have it: none of a private one."""
    return "" if is_private(session.code) else session.code


def make_capture_id(code: str) -> str:
    """A name of its own: when, of which session, and four letters; of a private one, 128 bits."""
    when = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    letters = "".join(secrets.choice(string.ascii_lowercase) for _ in range(4))
    return f"{when}-{secrets.token_hex(16) if is_private(code) else code}-{letters}"
