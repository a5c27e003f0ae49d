"""The playheads of one session: the unfiltered one, and one for each filter that has a listener.

A filtered playhead goes with its last listener. Observers stay: one that observes a filter has
the packets of whichever playhead plays it, now or later.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Protocol

import trio

from phantomlink.engine.counters import TickCounters
from phantomlink.engine.events import NO_FILTER
from phantomlink.engine.fanout import Observer
from phantomlink.engine.parts import PlaybackParts
from phantomlink.engine.perturbed import AppliedPerturbation
from phantomlink.engine.playback import Playback
from phantomlink.engine.selection import Selection
from phantomlink.recordings.trials import Filter


class PlayheadOwner(Protocol):
    """The session, as its playheads see it."""

    @property
    def may_play(self) -> bool:
        """Whether they may advance now."""
        ...

    @property
    def rate_hz(self) -> Fraction:
        """Packets a second of each."""
        ...

    @property
    def applied(self) -> AppliedPerturbation | None:
        """What is done to their packets."""
        ...

    def on_end(self, playback: Playback) -> None:
        """One has played its last bin, and does not loop."""
        ...

    def on_stall(self, playback: Playback) -> None:
        """A tick of one was too late: its deadlines have moved, or its packets were skipped."""
        ...

    def on_anchor(self, playback: Playback) -> None:
        """The deadlines of one begin."""
        ...


class Playheads:
    """Playbacks by filter, each with its task.

    Args:
        parts: what they share.
        owner: the session; not kept alive by them.

    Attributes:
        main: the unfiltered one, which stays.
        gone: what the filtered playheads that have gone had counted.
    """

    def __init__(self, parts: PlaybackParts, owner: PlayheadOwner) -> None:
        self._parts = parts
        # A session and playbacks that held each other would stay, with all that they have counted,
        # until the oldest garbage is collected, a minute or two after they have ended.
        self._owner = weakref.ref(owner)
        self.main = self._make(Selection(((0, parts.grid.n_bins),)), 0)
        self.gone = TickCounters()
        self._by_filter: dict[Filter, Playback] = {NO_FILTER: self.main}
        self._scopes: dict[Playback, trio.CancelScope] = {}
        self._observers: dict[Observer, Filter] = {}
        self._nursery: trio.Nursery | None = None

    def __iter__(self) -> Iterator[Playback]:
        return iter(list(self._by_filter.values()))

    def by_filter(self) -> Mapping[Filter, Playback]:
        """Those that there are now, the unfiltered one first."""
        return dict(self._by_filter)

    def get(self, wanted: Filter) -> Playback:
        """The playhead of a filter; a new one, not yet playing, where nobody listens to it.

        A new one starts at the first match at or after the unfiltered position, wrapping.

        Raises:
            NoMatchingBinsError: the filter matches nothing.
        """
        existing = self._by_filter.get(wanted)
        if existing is not None:
            return existing
        selection = Selection(self._parts.bins.trials.ranges(wanted, self._parts.grid))
        return self._make(selection, self.main.playhead.bin_index)

    def filter_of(self, playback: Playback) -> Filter:
        """Which bins a playhead plays."""
        return next(
            (wanted for wanted, each in self._by_filter.items() if each is playback), NO_FILTER
        )

    def add(self, wanted: Filter, playback: Playback) -> Playback:
        """Somebody is about to listen to a filter.

        Args:
            wanted: the filter.
            playback: of it; if there is one already, that one counts.

        Returns:
            The one that counts.
        """
        existing = self._by_filter.get(wanted)
        if existing is None:
            self._by_filter[wanted] = playback
            for observer, observed in self._observers.items():
                if observed == wanted:
                    playback.observe(observer)
        else:
            playback = existing
        if playback not in self._scopes and self._nursery is not None:
            self._start(playback)
        return playback

    def observe(self, wanted: Filter, observer: Observer) -> None:
        """Let `observer` have the packets of a filter, as long as anybody listens to it."""
        self._observers[observer] = wanted
        playback = self._by_filter.get(wanted)
        if playback is not None:
            playback.observe(observer)

    def unobserve(self, observer: Observer) -> None:
        """`observer` gets nothing more; no matter whether it did."""
        self._observers.pop(observer, None)
        for playback in self._by_filter.values():
            playback.unobserve(observer)

    def end_observers(self, code: int, reason: str) -> None:
        """No packets come any more."""
        for observer in list(self._observers):
            self.unobserve(observer)
            observer.end(code, reason)

    def drop_unheard(self) -> None:
        """Let the filtered playheads without a listener go."""
        for wanted, playback in list(self._by_filter.items()):
            if playback is not self.main and not len(playback.fanout):
                del self._by_filter[wanted]
                self.gone.add(playback.timing)
                playback.update()
                scope = self._scopes.pop(playback, None)
                if scope is not None:
                    scope.cancel()

    def start_in(self, nursery: trio.Nursery) -> None:
        """Run the playbacks that there are, and those that come, as tasks of this nursery."""
        self._nursery = nursery
        for playback in self:
            self._start(playback)

    def _make(self, selection: Selection, from_bin: int) -> Playback:
        weak = self._owner
        owner = weak()
        assert owner is not None

        def may_play() -> bool:
            owner = weak()
            return owner is not None and owner.may_play

        def on_end(playback: Playback) -> None:
            owner = weak()
            if owner is not None:
                owner.on_end(playback)

        def on_stall(playback: Playback) -> None:
            owner = weak()
            if owner is not None:
                owner.on_stall(playback)

        def on_anchor(playback: Playback) -> None:
            owner = weak()
            if owner is not None:
                owner.on_anchor(playback)

        return Playback(
            self._parts,
            selection,
            rate_hz=owner.rate_hz,
            from_bin=from_bin,
            may_play=may_play,
            on_end=on_end,
            on_stall=on_stall,
            on_anchor=on_anchor,
            applied=owner.applied,
        )

    def _start(self, playback: Playback) -> None:
        assert self._nursery is not None
        self._scopes[playback] = trio.CancelScope()
        self._nursery.start_soon(self._run, playback, self._scopes[playback])

    async def _run(self, playback: Playback, scope: trio.CancelScope) -> None:
        with scope:
            await playback.run()
