"""The command: listen, then say what was seen; the exit code says whether all was well."""

from __future__ import annotations

import math
import signal
import sys
import time
from dataclasses import replace
from typing import Any

import trio
from rich.live import Live

from phantomlink.errors import InvalidParameterError
from phantomlink.watch.checks import StreamChecker
from phantomlink.watch.client import (
    CannotWatchError,
    ask_session,
    end_session,
    listen,
    wait_for_server,
)
from phantomlink.watch.contract import readable
from phantomlink.watch.figures import Arrivals, measure
from phantomlink.watch.outcome import FAILED, NO_STREAM, PASSED, tell, write_json
from phantomlink.watch.plain import Plain, plain
from phantomlink.watch.report import (
    WatchResult,
    live_line,
    open_console,
    pretty_json,
    result_json,
    result_view,
    stream_facts,
    summary_view,
)
from phantomlink.watch.silence import LOOK_SECONDS, Reason, SilenceLog, why_silent
from phantomlink.watch.target import Target, parse_target, parse_token
from phantomlink.watch.verdicts import Closed, allowed_silence

_REDRAW_NS = 250_000_000
_REDRAW_WHEN_SILENT_SECONDS = 1.0


def run_watch(
    target: str | None,
    *,
    seconds: float,
    as_json: bool,
    sample: bool,
    token: str | None = None,
    wait_seconds: float = 0.0,
) -> int:
    """Watch a stream and print what was seen.

    Args:
        target: see `parse_target`.
        seconds: how long; Ctrl-C ends it sooner, with what was seen until then.
        as_json: print one JSON object instead of text.
        sample: print the metadata's summary and the first packet, and check nothing.
        token: of the server; None for that of the environment, if there is one.
        wait_seconds: how long to wait for a server that is not there yet.

    Returns:
        The exit code: 0 all checks passed, 1 one failed or no packet came, 2 no stream.

    Raises:
        InvalidParameterError: the target, the seconds or the token have the wrong form.
    """
    if math.isnan(seconds) or seconds <= 0:
        raise InvalidParameterError(f"--seconds: got {seconds:g}, takes a number above 0")
    if math.isnan(wait_seconds) or wait_seconds < 0:
        raise InvalidParameterError(f"--wait: got {wait_seconds:g}, takes a number, 0 or above")
    where = replace(parse_target(target), token=parse_token(token))
    watching = _Watching(where, seconds, wait_seconds, sample=sample, show=not (as_json or sample))
    try:
        trio.run(watching.run)
    except CannotWatchError as error:
        if as_json:
            write_json(
                {
                    "target": where.url,
                    "session_code": where.code,
                    "passed": False,
                    "error": str(error),
                    "status": error.status,
                    "problem": error.problem,
                }
            )
        sys.stderr.write(f"phantomlink: {plain(str(error))}\n")
        return NO_STREAM
    return _print_sample(watching, as_json=as_json) if sample else _print(watching, as_json=as_json)


class _Watching:
    """One watching: what it gathers, and the line that shows it meanwhile."""

    def __init__(
        self, target: Target, seconds: float, wait_seconds: float, *, sample: bool, show: bool
    ) -> None:
        self.target = target
        self.checker = StreamChecker(target.filter)
        self.arrivals = Arrivals()
        self.silences = SilenceLog(self.arrivals)
        self.first_packet: dict[str, Any] | None = None
        self.closed: Closed | None = None
        self.interrupted = False
        self.note: str | None = None
        self._seconds = seconds
        self._wait_seconds = wait_seconds
        self._sample = sample
        self._drawn_ns = 0
        console = open_console(stderr=True)
        self._live: Live | None = None
        if show and console.is_terminal:
            # Drawn by us right after a packet, in the slack: a thread of rich's would draw
            # while one arrives.
            self._live = Live(console=console, auto_refresh=False, transient=True)

    @property
    def metadata(self) -> dict[str, Any] | None:
        """The `data` of the first message, when that was metadata."""
        data = (self.checker.metadata or {}).get("data")
        return data if isinstance(data, dict) else None

    def result(self) -> WatchResult:
        """What was seen."""
        checker = self.checker
        figures = measure(self.arrivals, gaps=checker.gaps, lost=checker.lost)
        checks = checker.results(figures, self.closed)
        return WatchResult(
            self.target,
            self.metadata,
            figures,
            checks,
            self.closed,
            self.interrupted,
            self.note,
            self.silences.silences(),
        )

    async def run(self) -> None:
        """Listen until the time is over, the server closes, or Ctrl-C.

        Raises:
            CannotWatchError: no connection.
        """
        error: CannotWatchError | None = None
        if self._live is not None:
            self._live.start()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._stop_on_interrupt, nursery.cancel_scope)
                if self._wait_seconds:
                    await wait_for_server(self.target, self._wait_seconds)
                nursery.start_soon(self._tell_of_silence)
                if self._live is not None:
                    nursery.start_soon(self._redraw_when_silent)
                try:
                    self.closed = await listen(
                        self.target, self._seconds, self.checker, self.arrivals, self._on_message
                    )
                except CannotWatchError as caught:
                    error = caught
                nursery.cancel_scope.cancel()
        finally:
            if self._live is not None:
                self._live.stop()
        if error is not None:
            # Not out of the nursery, which would make a group of it.
            raise error
        if self.closed is None:
            await self._note_silence()
        if self.target.made_up:
            await end_session(self.target)

    def _on_message(self, received_ns: int, packet: dict[str, Any] | None) -> bool:
        if packet is not None and self.first_packet is None:
            self.first_packet = readable(packet)
            if self._sample:
                return False
        if received_ns - self._drawn_ns >= _REDRAW_NS:
            self._draw(received_ns)
        return True

    def _draw(self, now_ns: int) -> None:
        if self._live is not None:
            self._drawn_ns = now_ns
            checker = self.checker
            line = live_line(self.arrivals, checker.n_failing, checker.gaps, now_ns)
            self._live.update(Plain(line), refresh=True)

    async def _redraw_when_silent(self) -> None:
        while True:
            await trio.sleep(_REDRAW_WHEN_SILENT_SECONDS)
            now_ns = time.monotonic_ns()
            if now_ns - self._drawn_ns >= _REDRAW_WHEN_SILENT_SECONDS * 1e9:
                self._draw(now_ns)

    async def _tell_of_silence(self) -> None:
        """Say why nothing comes, while nothing does."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            if (line := self.silences.ended()) is not None:
                tell(line, self._live)
            now_ns = time.monotonic_ns()
            if self.silences.is_due(now_ns, self.checker.frequency_hz):
                n_packets = self.silences.begin(now_ns)
                reason = await self._reason()
                line = self.silences.learned(n_packets, reason, time.monotonic_ns())
                if line is not None:
                    tell(line, self._live)

    async def _note_silence(self) -> None:
        """Note why nothing comes at the end, when nothing does."""
        self.silences.ended()
        ended_ns = self.arrivals.ended_ns
        if self.arrivals.silent_seconds(ended_ns) > allowed_silence(self.checker.frequency_hz):
            reason = await self._reason()
            self.silences.learned(self.silences.begin(ended_ns), reason, ended_ns)
            self.note = f"{self.silences.said(ended_ns)}: {reason.text}"

    async def _reason(self) -> Reason:
        target = self.target
        answer = await ask_session(target)
        return why_silent(answer, target.api_url, target.code, target.filter)

    async def _stop_on_interrupt(self, scope: trio.CancelScope) -> None:
        with trio.open_signal_receiver(signal.SIGINT) as signals:
            async for _ in signals:
                self.interrupted = True
                scope.cancel()


def _print(watching: _Watching, *, as_json: bool) -> int:
    result = watching.result()
    if as_json:
        write_json(result_json(result))
    else:
        open_console().print(Plain(result_view(result)))
    return PASSED if result.passed else FAILED


def _print_sample(watching: _Watching, *, as_json: bool) -> int:
    metadata, packet = watching.metadata, watching.first_packet
    if as_json:
        facts = None if metadata is None else stream_facts(metadata)
        write_json({"metadata": facts, "packet": packet, "note": watching.note})
    else:
        open_console().print(Plain(summary_view(watching.target, metadata)))
        if packet is not None:
            sys.stdout.write(f"\n{pretty_json(packet)}\n")
    if packet is None:
        note = watching.note or "no packet came"
        sys.stderr.write(f"phantomlink: {plain(note)}\n")
        return FAILED
    return PASSED
