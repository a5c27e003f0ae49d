"""Sessions as requests make and change them: what may be asked for, and what becomes of it.

The engine makes a session of what is right and ready. Here is what comes before that: values out
of a request are checked, bins of their width and what takes long is made ready in a thread, and a
session that exists already is compared with what was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING

import trio

from phantomlink.engine.digest import payload_digest, runs_within
from phantomlink.engine.events import NO_FILTER
from phantomlink.engine.fence import Fence
from phantomlink.engine.output import Output, OutputKind
from phantomlink.engine.pace import check_pace, exact_speed, rate_of_bin_size
from phantomlink.engine.parts import PlaybackParts, blind_parts
from phantomlink.engine.perturbed import AppliedPerturbation, apply_perturbation, warm_up
from phantomlink.engine.registry import Registry
from phantomlink.engine.selection import Selection
from phantomlink.engine.session import REAL_TIME, Session
from phantomlink.engine.session_codes import is_private, make_private_code, make_up_code
from phantomlink.errors import (
    BinRangeError,
    InvalidParameterError,
    SessionDiffersError,
    UnavailableError,
)
from phantomlink.outputs.websocket.admission import Admission
from phantomlink.perturbation import SEEDS, Perturbation
from phantomlink.recordings.bins import Bins
from phantomlink.recordings.trials import Filter
from phantomlink.scheduling.worker_thread import run_in_thread
from phantomlink.service.ownership import Ownership
from phantomlink.service.same_file import check_same
from phantomlink.service.same_session import (
    check_same_bins,
    check_same_hidden,
    check_same_perturbation,
    check_same_speed,
)
from phantomlink.service.session_outputs import SessionOutputs

if TYPE_CHECKING:
    from phantomlink.state.file import SessionState

# LSL outlets take some 5 ms to make; a creation is not held up by an LSL that hangs.
_OUTPUTS_SECONDS = 5.0
_MAX_LOOP = 2**32 - 1
_NO_CHOICE: Mapping[str, bool] = MappingProxyType({})


class Sessions:
    """Makes and changes the sessions of a recording.

    Args:
        registry: of them.
        kinds: of outputs that each of them has.
        rate_hz: packets a second of one that asks for no width of its bins.
        parts_of: what plays a dataset at a rate, kept open while it is used; None: the default.
        ownership: which process may make a session.
        mirrored: sessions that other nodes own and this one plays too.
    """

    def __init__(
        self,
        registry: Registry,
        kinds: Sequence[OutputKind[Session]],
        rate_hz: Fraction,
        parts_of: Callable[[str | None, Fraction], AbstractAsyncContextManager[PlaybackParts]],
        ownership: Ownership,
        mirrored: Registry,
    ) -> None:
        self._mirrored = mirrored
        self._registry = registry
        self._outputs = SessionOutputs(kinds)
        self._rate_hz = rate_hz
        self._parts_of = parts_of
        self._ownership = ownership
        self._threads = trio.CapacityLimiter(1)

    async def of_listener(self, admission: Admission) -> Session:
        """The session that a stream is of, made when it does not exist.

        Args:
            admission: of who listens.

        Raises:
            NoMatchingBinsError: the filter matches nothing; no session has been made.
            SessionDiffersError: the session plays another dataset than was asked for.
            TooManySessionsError: there is no room.
            UnavailableError: the server goes away, or the dataset is not open yet.
        """
        mirror = self._mirrored.find(admission.code)
        if mirror is not None and admission.is_plain:
            return mirror
        existing = self._registry.find(admission.code)
        if existing is not None:
            if admission.dataset is not None:
                check_same_dataset(existing, admission.dataset)
            _check_filter(admission, existing.bins)
            return self._registry.create(admission.code)[0]
        await self._outputs.prepare()
        async with self._parts_of(admission.dataset, self._rate_hz) as parts:
            # Before a session is made: a filter that matches nothing must not leave one behind.
            _check_filter(admission, parts.bins)
            if (lost := parts.open_recording.lost) is not None:
                raise UnavailableError(f"the recording cannot be read: {lost}")
            async with self._ownership.reserved(admission.code) as keep:
                existing = self._registry.find(admission.code)
                if existing is not None and admission.dataset is not None:
                    check_same_dataset(existing, admission.dataset)
                outputs = self._outputs.make(admission.code, {}) if existing is None else ()
                session, _ = self._registry.create(admission.code, parts=parts, outputs=outputs)
                keep(session)
                return session

    async def create(
        self,
        code: str | None = None,
        *,
        bin_size_ms: float | None = None,
        speed: float | None = None,
        outputs: Mapping[str, bool] = _NO_CHOICE,
        perturbation: object = None,
        seed: int | None = None,
        private: bool | None = None,
        test_trials: Sequence[int] | None = None,
        dataset: str | None = None,
    ) -> tuple[Session, bool]:
        """The session of this code, or of a made-up one; and whether it is new.

        Args:
            code: its name; None for one that we make up.
            bin_size_ms: width of its bins; None for the server's.
            speed: how many times faster than recorded; None for 1.
            outputs: which kinds of output it is to have and which not, by name; one that is not
                named it has if its kind is there by default. They are there when this returns.
            perturbation: a preset's name or JSON of what is to be done to its packets; None for
                the server's.
            seed: of the perturbation; None for the server's.
            private: make up a code that is a secret, for a session that is not listed; it has no
                outlets, whose names would tell the code.
            test_trials: whose truth is hidden from everybody; None for none.
            dataset: that it plays; None for the default one.

        Raises:
            InvalidParameterError: something has the wrong form or is out of range.
            SessionDiffersError: the session exists and is not as it was asked for.
            TooManySessionsError: there is no room.
        """
        if private:
            if code is not None:
                raise InvalidParameterError(
                    "custom_code: got it with private, takes one of them: a private code is made up"
                )
            code = make_private_code()
        elif code is None:
            code = make_up_code(self._registry)
        self._outputs.check_offered(outputs)
        if is_private(code):
            self._outputs.check_private(outputs)
        rate_hz = self._rate_hz if bin_size_ms is None else rate_of_bin_size(bin_size_ms)
        factor = REAL_TIME if speed is None else exact_speed(speed)
        check_pace(rate_hz, factor)
        _check_seed(seed)
        await self._outputs.prepare()
        async with self._parts_of(dataset, rate_hz) as usual:
            parts = usual if test_trials is None else blind_parts(usual, test_trials)
            wanted, applied = None, None
            if perturbation is not None:
                wanted_seed = self._registry.seed if seed is None else seed
                wanted, applied = await self._prepare(perturbation, wanted_seed, parts)
            async with self._ownership.reserved(code) as keep:
                existing = self._registry.find(code)
                if existing is not None:
                    if dataset is not None:
                        check_same_dataset(existing, parts.open_recording.recording.dataset)
                    check_same_bins(existing, bin_size_ms)
                    check_same_hidden(existing, test_trials)
                    check_same_speed(existing, speed)
                    self._outputs.check_same(existing, outputs)
                    check_same_perturbation(existing, wanted, seed)
                made = self._outputs.make(code, outputs)
                session, created = self._registry.create(
                    code,
                    parts=parts,
                    speed=factor,
                    perturbation=wanted,
                    seed=seed,
                    applied=applied,
                    outputs=made,
                )
                keep(session)
        if created:
            with trio.move_on_after(_OUTPUTS_SECONDS):
                for output in made:
                    await output.settled.wait()
        return session, created

    async def set_perturbation(
        self, session: Session, perturbation: object, seed: int | None
    ) -> int:
        """Perturb a session's packets from its next one on.

        Args:
            session: whose.
            perturbation: a preset's name, or JSON.
            seed: of it; None for the one that the session has.

        Returns:
            The first `packet_id` that the unfiltered playhead sends so.

        Raises:
            InvalidParameterError: something has the wrong form or is out of range.
        """
        _check_seed(seed)
        seed = session.seed if seed is None else seed
        _, applied = await self._prepare(perturbation, seed, session.parts)
        return session.apply(applied, seed)

    async def prepared(
        self, session: Session, perturbation: object, seed: int
    ) -> AppliedPerturbation | None:
        """A perturbation made ready for `Session.apply`.

        Raises:
            InvalidParameterError: it has the wrong form.
        """
        return (await self._prepare(perturbation, seed, session.parts))[1]

    async def _prepare(
        self, perturbation: object, seed: int, parts: PlaybackParts
    ) -> tuple[Perturbation, AppliedPerturbation | None]:
        """What was asked for, read and made ready: in a thread, a long one takes 50 ms."""

        def prepare() -> tuple[Perturbation, AppliedPerturbation | None]:
            from phantomlink.perturbation.presets import parse_perturbation  # noqa: PLC0415

            wanted = parse_perturbation(perturbation)
            applied = apply_perturbation(wanted, seed, parts.bins)
            if applied is not None:
                warm_up(applied, parts.bins)
            return wanted, applied

        return await run_in_thread(prepare, limiter=self._threads)

    async def digest(
        self, session: Session, wanted: Filter, *, start: int, stop: int, loop: int
    ) -> tuple[str, int]:
        """SHA-256 of what a session's packets say, sent or not, and how many these are.

        Args:
            session: whose perturbation, seed and bins it is.
            wanted: only packets of these trials.
            start: first bin.
            stop: the bin after the last one.
            loop: in which they are sent.

        Raises:
            InvalidParameterError: there are no such packets, or too many.
            NoMatchingBinsError: the filter matches nothing.
            RecordingError: the recording cannot be read.
        """
        bins, n_bins = session.bins, session.grid.n_bins
        if not 0 <= start < n_bins:
            raise BinRangeError(f"start: got {start}, takes 0 to {n_bins - 1}")
        if not start < stop <= n_bins:
            raise BinRangeError(f"stop: got {stop}, takes {start + 1} to {n_bins}")
        if not 0 <= loop <= _MAX_LOOP:
            raise InvalidParameterError(f"loop: got {loop}, takes 0 to {_MAX_LOOP}")
        runs = runs_within(Selection(bins.trials.ranges(wanted, bins.grid)), start, stop)
        sha256 = await payload_digest(session.parts, session.applied, runs, loop, self._threads)
        return sha256, sum(last - first for first, last in runs)

    def set_speed(self, session: Session, speed: float) -> None:
        """Let a session play so many times faster than recorded, from its next packet on.

        Raises:
            InvalidParameterError: it is out of range for the session's bins.
        """
        factor = exact_speed(speed)
        check_pace(session.grid.rate_hz, factor)
        session.set_speed(factor)

    async def make_again(
        self,
        state: SessionState,
        *,
        mirrors: tuple[Fence, Sequence[Output[Session]]] | None = None,
    ) -> Session:
        """A new session as one of an earlier run or another process was, at its beginning.

        Args:
            state: what it was.
            mirrors: for one that another node owns: until when its packets may leave, and its
                outputs; it lies apart from the others then.

        Raises:
            PhantomLinkError: it cannot be: its code is taken, its bins or perturbation do not fit
                the recording, there is no room, or its dataset is gone or has another file.
        """
        check_pace(state.rate_hz, state.speed)
        await self._outputs.prepare()
        async with self._parts_of(state.dataset, state.rate_hz) as usual:
            parts = usual
            if state.test_trials is not None:
                parts = blind_parts(usual, state.test_trials)
            if state.dataset_file is not None:
                await check_same(usual.open_recording, state.dataset_file)
            applied = None
            if not state.perturbation.is_identity:
                asked = state.perturbation.as_json()
                _, applied = await self._prepare(asked, state.seed, parts)
            registry = self._registry
            if mirrors is None:
                outputs: Sequence[Output[Session]] = self._outputs.make(state.code, state.outputs)
            else:
                registry, (fence, outputs) = self._mirrored, mirrors
                parts = replace(parts, fence=fence)
            session, _ = registry.create(
                state.code,
                parts=parts,
                speed=state.speed,
                perturbation=state.perturbation,
                seed=state.seed,
                applied=applied,
                outputs=outputs,
            )
        session.was_stopped = state.was_stopped
        return session


def _check_filter(admission: Admission, bins: Bins) -> None:
    if admission.filter != NO_FILTER:
        bins.trials.ranges(admission.filter, bins.grid)


def _check_seed(seed: int | None) -> None:
    if seed is not None and not SEEDS.low <= seed <= SEEDS.high:
        raise InvalidParameterError(f"seed: got {seed}, takes {SEEDS.low} to {SEEDS.high}")


def check_same_dataset(session: Session, dataset: str) -> None:
    """Whether a session plays this dataset.

    Raises:
        SessionDiffersError: it plays another: a session plays one for life.
    """
    if session.recording.dataset != dataset:
        raise SessionDiffersError(
            f"dataset: got {dataset!r}, but session {session.code!r} plays "
            f"{session.recording.dataset!r}; delete it first, or take another code"
        )
