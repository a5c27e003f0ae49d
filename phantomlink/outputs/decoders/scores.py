"""The scoreboard of a session that is being played.

Theory of operation. Each playhead is tapped: a packet that leaves is noted, which costs a tick an
append. While nobody answers, that is all. The first prediction makes a scoreboard; from then on
what was noted goes onto it whenever a prediction comes, and once a second (five times while a
view shows it), when packets that are 2 s old are closed and the arithmetic of trials that are over
is done, in steps between which ticks come first. When the last decoder has gone and its packets
are closed, it is quiet again; scores stay as long as the session.

The fifth of the p99 speed above which directions are compared needs a look at the whole recording,
which is taken when the first prediction comes, in the recording's thread. The arithmetic waits
for it; pairing does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import trio
from msgspec.structs import replace

from phantomlink.engine.events import NO_FILTER, SessionEvent, SessionEventKind
from phantomlink.engine.session import Session
from phantomlink.evaluation.truth import HiddenTruth, Truth, read_hidden
from phantomlink.outputs.decoders import KIND
from phantomlink.outputs.decoders.client_input import ClientInput, GivenAnswer, InputCounters
from phantomlink.outputs.decoders.decoded import DecodedPackets
from phantomlink.outputs.decoders.errors import BlindSessionError, DecoderNameError
from phantomlink.outputs.decoders.player import Player
from phantomlink.outputs.decoders.players import Players
from phantomlink.outputs.decoders.playheads import FollowedPlayheads, PlayheadKey
from phantomlink.outputs.decoders.shared_scores import SharedScores
from phantomlink.recordings.blind import BlindBins, hidden_trials
from phantomlink.recordings.trials import Filter
from phantomlink.scheduling.loop_budget import LoopBudget, after_late_ticks
from phantomlink.scheduling.running_time import StallGrace, running_seconds
from phantomlink.scheduling.spreading import SpreadRounds
from phantomlink.scheduling.worker_thread import run_in_thread, run_in_thread_patiently
from phantomlink.scoring import (
    MAX_DECODERS,
    OPEN_SECONDS,
    Outcome,
    Scoreboard,
    ScoringRules,
)
from phantomlink.wire.packet import Packet

T = TypeVar("T")
_CLOSE_EVERY_SECONDS = 1.0
_WATCHED_EVERY_SECONDS = 0.2


class SessionScores:
    """What the decoders of one session are worth.

    Args:
        shared: by all sessions.

    Attributes:
        board: of the session; None before the first prediction.
        counters: of what its clients sent, of all of them together.
        decoded: its packets together with what built-in decoders make of them.
        settled: set: there is nothing to wait for.
    """

    kind = KIND
    is_wanted = True

    def __init__(self, shared: SharedScores) -> None:
        self.settled = trio.Event()
        self.settled.set()
        self.board: Scoreboard | None = None
        self.counters = InputCounters()
        self._shared = shared
        self._session: Session | None = None
        self._playheads: FollowedPlayheads | None = None
        self._truth: Truth | None = None
        self._hidden: HiddenTruth = {}
        self._test_trials: frozenset[int] = frozenset()
        self._is_active = False
        self._woken = trio.Event()
        self._has_min_speed = trio.Event()
        # Who closes packets and decodes does it alone: it waits for threads in between.
        self._closing = trio.Lock()
        self._stall_grace = StallGrace(OPEN_SECONDS, running_seconds)
        self._clients: dict[ClientInput, None] = {}
        self._answer_followers: dict[Callable[[GivenAnswer], None], None] = {}
        self._players = Players()
        self.decoded = DecodedPackets(self.decode, self.with_decoded)
        self._summaries: list[dict[str, Any]] = []
        self._rounds = SpreadRounds()
        self._asked_at = -math.inf
        self._watching = trio.Event()

    def as_json(self) -> None:
        """Nothing: a session's answers have routes of their own for this."""

    async def run(self, session: Session) -> None:
        """See `Output.run`."""
        self._session = session
        self._playheads = FollowedPlayheads(session)
        bins = session.bins
        self._test_trials = hidden_trials(bins)
        whole = bins.unhidden if isinstance(bins, BlindBins) else bins
        if bins.in_memory:
            self._hidden = read_hidden(bins)
        elif self._test_trials:
            thread = session.open_recording.thread
            self._hidden = await run_in_thread_patiently(read_hidden, bins, limiter=thread)
        self._truth = self._shared.of(whole)
        try:
            with session.followed_by(self._on_event):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.decoded.run)
                    await self._close_forever(session)
        finally:
            self.decoded.close()

    async def _close_forever(self, session: Session) -> None:
        while True:
            await self._woken.wait()
            if not self._has_min_speed.is_set():
                assert self.board is not None
                self.board.rules.min_speed = await self._shared.min_speed(session)
                self._has_min_speed.set()
            while self._is_active:
                every = _WATCHED_EVERY_SECONDS if self._is_watched else _CLOSE_EVERY_SECONDS
                with trio.move_on_after(self._rounds.seconds_to_next(trio.current_time(), every)):
                    await self._watching.wait()
                    self._watching = trio.Event()
                async with self._closing:
                    await self._close_and_work()

    @contextmanager
    def client(
        self, client_id: int, wanted: Filter, tell: Callable[[dict[str, Any]], None] | None = None
    ) -> Iterator[ClientInput]:
        """What one connection sends, for as long as it is open.

        Args:
            client_id: number of the connection.
            wanted: the filter of its packets.
            tell: sends it a message, where it wants to have its scores after each trial.
        """
        client = ClientInput(self, client_id, wanted, tell)
        self._clients[client] = None
        try:
            yield client
        finally:
            del self._clients[client]
            if self.board is not None:
                self.sync()
                self.board.disconnect(client)

    @contextmanager
    def answers_followed_by(self, follower: Callable[[GivenAnswer], None]) -> Iterator[None]:
        """Tell `follower`, which must not wait, of every prediction of a decoder until left."""
        self._answer_followers[follower] = None
        try:
            yield
        finally:
            del self._answer_followers[follower]

    @property
    def are_answers_followed(self) -> bool:
        """See `ScoresOfSession`."""
        return bool(self._answer_followers)

    def tell_answer(self, answer: GivenAnswer) -> None:
        """See `ScoresOfSession`."""
        for follower in self._answer_followers:
            follower(answer)

    @property
    def _was_stopped(self) -> bool:
        return self._session is not None and self._session.was_stopped

    @property
    def is_blind(self) -> bool:
        """Whether scores are hidden: of a blind session that has not been stopped."""
        return bool(self._test_trials) and not self._was_stopped

    @property
    def takes_predictions(self) -> bool:
        """Whether predictions are scored: once a blind session has told its scores, no more."""
        return not (self._test_trials and self._was_stopped)

    def summaries(self) -> list[dict[str, Any]]:
        """Every decoder in short, as of the last time that packets were closed.

        That is five times a second while this is asked for. While it is not, they are not made:
        they cost more than all else that is done for an answer.
        """
        if not self._is_watched:
            self._watching.set()
        self._asked_at = trio.current_time()
        return self._summaries

    @property
    def _is_watched(self) -> bool:
        return trio.current_time() - self._asked_at < _CLOSE_EVERY_SECONDS

    def count(self, what: str) -> None:
        """Count a message of a client by its outcome."""
        self.counters[what] += 1
        self._shared.messages[what] += 1

    @property
    def players(self) -> Mapping[str, Player]:
        """The built-in decoders that play along, by name."""
        return self._players.by_name

    def put(self, player: Player) -> None:
        """Let a built-in decoder play along, in the place of one of its name.

        Raises:
            DecoderNameError: a client has the name, or all names are in use.
        """
        board = self.activated()
        before = self._players.discard(player.name)
        if before is not None:
            board.disconnect(before)
        elif player.name in board.names and board.decoder(player.name).connection is not None:
            raise DecoderNameError(f"decoder {player.name!r} is a client that is connected")
        playhead = self.playhead(NO_FILTER)
        if player.name in board.names:
            board.remove(player.name)  # another decoder's score is not this one's
        outcome = board.connect(player.name, player, playhead, board.next_number(playhead))
        if outcome is not Outcome.SCORED:
            raise DecoderNameError(f"{MAX_DECODERS} decoders are connected: remove one first")
        board.decoder(player.name).unscored = player.training_trials
        self._players.add(player)

    async def reset(self, name: str) -> None:
        """Begin a new run of a decoder with the next packet.

        Raises:
            KeyError: there is none of this name.
        """
        async with self._closing:
            if self.board is None or name not in self.board.names:
                raise KeyError(name)
            self.board.reset(name)

    async def take_off(self, name: str) -> None:
        """Forget a decoder and its score: a built-in one stops, a client begins anew.

        Raises:
            KeyError: there is none of this name.
        """
        async with self._closing:
            if self.board is None or name not in self.board.names:
                raise KeyError(name)
            self._players.discard(name)
            self.board.remove(name)

    async def decode(self, on_wait: Callable[[], None] | None = None) -> None:
        """Let built-in decoders decode what has left by now, where there are any.

        Args:
            on_wait: called before a decoder is fitted again, which takes a while.
        """
        if self.board is not None and self._players:
            self.sync()
            tell = self.tell_answer if self.are_answers_followed else None
            await self._players.decode(self.board, LoopBudget(), tell, on_wait)

    def with_decoded(self, packet: Packet) -> Packet:
        """A packet of the unfiltered playhead, with what built-in decoders have said of it."""
        return replace(packet, decoded=self._players.velocities(packet))

    def playhead(self, wanted: Filter) -> PlayheadKey:
        """The playhead of a filter that somebody listens to."""
        assert self._playheads is not None
        return self._playheads.follow(wanted)

    def activated(self) -> Scoreboard:
        """The scoreboard, which somebody is about to answer on."""
        if self.board is None:
            assert self._session is not None
            period_ns = round(1e9 / self._session.rate_hz)
            bin_size_ms = self._session.grid.bin_size_ms
            self.board = Scoreboard(ScoringRules(period_ns, bin_size_ms, 0.0))
        if not self._is_active:
            self._is_active = True
            assert self._playheads is not None
            self._playheads.keep_all(True)
            self._woken.set()
        self.sync()
        return self.board

    def sync(self) -> None:
        """Put what has left onto the scoreboard."""
        board, playheads, truth = self.board, self._playheads, self._truth
        if board is None or playheads is None or truth is None:
            return
        for key, packet, counts in playheads.take(truth, self._hidden):
            board.sent(key, packet)
            if key.filter == NO_FILTER:
                is_taught = packet.packet_id not in self._hidden
                self._players.sent(key, packet, counts, is_taught=is_taught)

    def now_ns(self) -> int:
        """By the clock of the session."""
        assert self._session is not None
        return self._session.parts.clock.now_ns()

    async def settle(self) -> Scoreboard | None:
        """The scoreboard with everything on it that has happened; None where nobody answered.

        Raises:
            BlindSessionError: the session is blind and has not been stopped.
        """
        if self.is_blind:
            raise BlindSessionError(
                "the session is blind: its scores are told once it is stopped, and then it takes "
                "no more predictions"
            )
        if self.board is not None:
            await self._has_min_speed.wait()
            async with self._closing:
                await self._close_and_work()
        return self.board

    async def read(self, reader: Callable[[Scoreboard], T]) -> T | None:
        """What `reader` makes of the scoreboard, in a thread; None where nobody answered.

        Packets stay open meanwhile, so that nothing changes under it.

        Raises:
            BlindSessionError: see `settle`.
        """
        if await self.settle() is None:
            return None
        async with self._closing:
            board = self.board
            assert board is not None
            await self._close_and_work()
            return await run_in_thread(reader, board)

    async def _close_and_work(self) -> None:
        board, playheads = self.board, self._playheads
        assert board is not None
        assert playheads is not None
        await self.decode()
        # What leaves while others have their turn is decoded before it is closed.
        now_ns = self.now_ns()
        async with self._shared.turn:
            await after_late_ticks()
            budget = LoopBudget()
            self.sync()
            if self._stall_grace.is_over(now_ns / 1e9):
                board.close(now_ns)
            for key in playheads.gone():
                board.close_all(key)
            await _work(board, budget)
            summaries = []
            for name in board.names if self._is_watched and not self.is_blind else ():
                summaries.append(board.summary(name))
                if budget.is_over:
                    await budget.end_after_late_ticks()
            self._summaries = summaries
            for trial, names in board.take_finished():
                if self.is_blind:
                    break
                for client in self._clients:
                    client.tell_scores(board, trial, names)
            if not board.has_connections:
                # Nobody is left who could answer.
                board.close_everything()
                await _work(board, budget)
        if not board.has_connections and self._is_active:
            self._is_active = False
            self._woken = trio.Event()
            playheads.keep_all(False)

    def _on_event(self, event: SessionEvent) -> None:
        if event.kind is SessionEventKind.LISTENER_CAME:
            self.playhead(event.filter)
        elif event.kind is SessionEventKind.PACED and self.board is not None:
            assert self._session is not None
            self.board.rules.period_ns = round(1e9 / self._session.rate_hz)


async def _work(board: Scoreboard, budget: LoopBudget) -> None:
    """Do the arithmetic that waits."""
    while board.work():
        if budget.is_over:
            await budget.end_after_late_ticks()
