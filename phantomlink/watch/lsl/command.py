"""The command: find the streams, receive, say what was seen; the exit code says whether all was
well."""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rich.live import Live
from rich.text import Text

from phantomlink.errors import InvalidParameterError
from phantomlink.settings.load import load_settings
from phantomlink.watch.figures import measure
from phantomlink.watch.lsl.checks import Seen, ServerCount, judge
from phantomlink.watch.lsl.figures import StampFigures, measure_stamps, missing_beside
from phantomlink.watch.lsl.names import NEURAL, source_id
from phantomlink.watch.lsl.report import LslResult, found_view, live_line, result_json, result_view
from phantomlink.watch.lsl.server import (
    Position,
    ask_position,
    ask_session,
    count_sent,
    has_session,
    shifted,
)
from phantomlink.watch.lsl.streams import (
    CannotWatchLslError,
    Stream,
    configuration,
    find_streams,
    load_pylsl,
    now_ns,
    receiving,
)
from phantomlink.watch.outcome import FAILED, NO_STREAM, PASSED, tell, write_json
from phantomlink.watch.plain import Plain, plain
from phantomlink.watch.report import open_console
from phantomlink.watch.silence import LOOK_SECONDS, Reason, SilenceLog, why_silent
from phantomlink.watch.target import parse_target, parse_token
from phantomlink.watch.verdicts import allowed_silence

_REDRAW_SECONDS = 0.25
_STEP_SECONDS = 0.02
# What was sent before the last question is here by then.
_LINGER_SECONDS = 0.2
_FRESH_STEP_SECONDS, _FRESH_SECONDS = 0.001, 0.5
_PREFIX = re.compile(r"[^'\"<>&\s]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class LslTarget:
    """What to watch.

    Attributes:
        code: of the session.
        prefix: of its source ids.
        api_url: of its server, for REST; no slash at its end.
        token: of its server; None where it has none.
    """

    code: str
    prefix: str
    api_url: str
    token: str | None = field(default=None, repr=False)


def parse_lsl_target(
    code: str, prefix: str | None, url: str | None, token: str | None = None
) -> LslTarget:
    """Check what a person typed.

    Args:
        code: of the session, or the URL of a stream of it, ws://host:port/stream/code.
        prefix: of the source ids; None for that of the settings.
        url: of the server, http://host:port; None for that of the settings.
        token: of the server; None for that of the settings.

    Raises:
        InvalidParameterError: one has the wrong form.
        SettingsError: a setting in the environment has.
    """
    where = parse_target(code)
    if where.made_up or where.filter:
        raise InvalidParameterError(
            f"cannot watch {code!r} over LSL: takes the code of a session (letters, digits, - and "
            "_), which has one set of streams and no filters"
        )
    if prefix is None:
        prefix = load_settings().lsl_source_id
    if not _PREFIX.match(prefix):
        raise InvalidParameterError(
            f"--source-id: got {prefix!r}, takes 1 to 64 characters without blanks, quotes, <, > "
            "and &"
        )
    api_url = where.api_url if url is None else parse_target(url).api_url
    return LslTarget(where.code, prefix, api_url, parse_token(token))


def run_lsl_watch(
    code: str,
    *,
    seconds: float,
    timeout: float,
    prefix: str | None = None,
    url: str | None = None,
    token: str | None = None,
    as_json: bool = False,
) -> int:
    """Watch the LSL streams of a session and print what was seen.

    Args:
        code: see `parse_lsl_target`.
        prefix: likewise.
        url: likewise.
        token: likewise.
        seconds: how long; Ctrl-C ends it sooner, with what was seen until then.
        timeout: how long to look for the streams, s.
        as_json: print one JSON object instead of text.

    Returns:
        The exit code: 0 all checks passed, 1 one failed or no sample came, 2 no stream.

    Raises:
        InvalidParameterError: an argument has the wrong form.
    """
    for name, value in (("--seconds", seconds), ("--timeout", timeout)):
        if not 0 < value < math.inf:
            raise InvalidParameterError(f"{name}: got {value:g}, takes a number above 0")
    target = parse_lsl_target(code, prefix, url, token)
    try:
        pylsl = load_pylsl()
        connecting_ns = now_ns(pylsl)
        streams = find_streams(pylsl, target.prefix, target.code, timeout)
        if NEURAL not in streams:
            raise _not_found(target, timeout, bool(streams))
        result = _Watching(pylsl, target, streams, show=not as_json).run(seconds, connecting_ns)
    except CannotWatchLslError as error:
        if as_json:
            write_json(
                {
                    "session_code": target.code,
                    "passed": False,
                    "error": str(error),
                    "cures": list(error.cures),
                }
            )
        cures = "".join(f"\n  - {cure}" for cure in error.cures)
        sys.stderr.write(f"phantomlink: {plain(f'{error}{cures}')}\n")
        return NO_STREAM
    if as_json:
        write_json(result_json(result))
    else:
        open_console().print(Plain(result_view(result)))
    return PASSED if result.passed else FAILED


class _Watching:
    """One watching of streams that were found."""

    def __init__(
        self, pylsl: Any, target: LslTarget, streams: dict[str, Stream], *, show: bool
    ) -> None:
        self._pylsl = pylsl
        self._target = target
        self._streams = streams
        self._neural = streams[NEURAL]
        self._silences = SilenceLog(self._neural.arrivals, "sample")
        self._show = show
        console = open_console(stderr=True)
        self._live: Live | None = None
        if show and console.is_terminal:
            self._live = Live(console=console, auto_refresh=False, transient=True)

    def run(self, seconds: float, connecting_ns: int) -> LslResult:
        """Receive for so long, or until the streams end or Ctrl-C."""
        before: Position | None = None
        after: Position | None = None
        interrupted = False
        if self._show:
            facts = {kind: stream.facts for kind, stream in self._streams.items()}
            open_console().print(Plain(found_view(facts)))
        if self._live is not None:
            self._live.start()
        try:
            with receiving(self._pylsl, list(self._streams.values()), connecting_ns):
                try:
                    until = time.monotonic() + seconds
                    # Asked right after a sample: the next one is a period away, so that no
                    # packet is under way while the server answers.
                    self._wait(until, lambda: self._neural.n_samples >= 1)
                    before = self._ask()
                    self._neural.measure_offset()
                    self._wait(until, self._all_ended)
                    self._await_fresh()
                    after = self._ask()
                    time.sleep(_LINGER_SECONDS)
                except KeyboardInterrupt:
                    interrupted = True
                # Long known by now, and the newest estimate is the one to have.
                self._neural.measure_offset()
        finally:
            if self._live is not None:
                self._live.stop()
        return self._result(before, after, interrupted=interrupted)

    def _ask(self) -> Position | None:
        target = self._target
        return ask_position(target.api_url, target.code, self._pylsl.local_clock, target.token)

    def _all_ended(self) -> bool:
        return all(stream.ended for stream in self._streams.values())

    def _await_fresh(self) -> None:
        seen = self._neural.n_samples
        until = time.monotonic() + _FRESH_SECONDS
        while self._neural.n_samples == seen and time.monotonic() < until:
            time.sleep(_FRESH_STEP_SECONDS)

    def _wait(self, until: float, enough: Callable[[], bool]) -> None:
        drawn = looked = 0.0
        while (now := time.monotonic()) < until and not enough():
            if now - looked >= LOOK_SECONDS:
                looked = now
                self._tell_of_silence()
            if self._live is not None and now - drawn >= _REDRAW_SECONDS:
                drawn = now
                self._live.update(Plain(self._line()), refresh=True)
            time.sleep(_STEP_SECONDS)

    def _tell_of_silence(self) -> None:
        """Say why nothing comes, while nothing does."""
        if (line := self._silences.ended()) is not None:
            tell(line, self._live)
        asked_ns = now_ns(self._pylsl)
        if self._silences.is_due(asked_ns, self._neural.facts.nominal_rate_hz):
            n_samples = self._silences.begin(asked_ns)
            reason = self._reason()
            line = self._silences.learned(n_samples, reason, now_ns(self._pylsl))
            if line is not None:
                tell(line, self._live)

    def _reason(self) -> Reason:
        target = self._target
        answer = ask_session(target.api_url, target.code, target.token)
        return why_silent(answer, target.api_url, target.code)

    def _line(self) -> Text:
        markers = self._streams.get("markers")
        return live_line(
            self._neural.arrivals,
            None if markers is None else markers.n_samples,
            now_ns(self._pylsl),
        )

    def _result(
        self, before: Position | None, after: Position | None, *, interrupted: bool
    ) -> LslResult:
        neural = self._neural
        offset = neural.offset_seconds
        stamps = {kind: shifted(s.stamps, offset) for kind, s in self._streams.items()}
        regular = {k: s for k, s in self._streams.items() if s.facts.nominal_rate_hz > 0}
        of_stream: dict[str, StampFigures] = {
            kind: measure_stamps(s.stamps, s.received, s.facts.nominal_rate_hz, offset or 0.0)
            for kind, s in regular.items()
        }
        beside = dict.fromkeys(regular, 0)
        if neural.facts.nominal_rate_hz > 0:
            beside = missing_beside(
                {kind: stamps[kind] for kind in regular}, 1 / neural.facts.nominal_rate_hz
            )
        server: ServerCount | None = count_sent(before, after, stamps[NEURAL], neural.received)
        neural_steps = of_stream[NEURAL].steps if NEURAL in of_stream else None
        figures = measure(
            neural.arrivals,
            gaps=0 if neural_steps is None else neural_steps.gaps,
            lost=0 if neural_steps is None else neural_steps.missing,
        )
        markers = self._streams.get("markers")
        facts = {kind: stream.facts for kind, stream in self._streams.items()}
        seen = Seen(
            facts=facts,
            figures=figures,
            stamps=of_stream,
            missing_beside=beside,
            negative_counts=neural.negative_counts,
            server=server,
            ended=[kind for kind, stream in self._streams.items() if stream.ended],
        )
        note = self._note()
        return LslResult(
            code=self._target.code,
            seen=seen,
            checks=judge(seen),
            samples={kind: stream.n_samples for kind, stream in self._streams.items()},
            offset_seconds=offset,
            markers=() if markers is None else tuple(markers.markers),
            interrupted=interrupted,
            note=note,
            silences=self._silences.silences(),
        )

    def _note(self) -> str | None:
        """Why nothing comes, when nothing does."""
        arrivals, silences = self._neural.arrivals, self._silences
        silences.ended()
        allowed_s = allowed_silence(self._neural.facts.nominal_rate_hz)
        if self._neural.ended or arrivals.silent_seconds(arrivals.ended_ns) <= allowed_s:
            return None
        reason = self._reason()
        silences.learned(silences.begin(arrivals.ended_ns), reason, arrivals.ended_ns)
        return f"{silences.said(arrivals.ended_ns)}: {reason.text}"


def _not_found(target: LslTarget, timeout: float, some: bool) -> CannotWatchLslError:
    """What is missing, what the server says of it, and what can be done."""
    wanted = source_id(target.prefix, NEURAL, target.code)
    others = ", though other streams of the session were" if some else ""
    found = has_session(target.api_url, target.code, target.token)
    cures = []
    if found is None:
        what = f"no server answers at {target.api_url}"
        cures.append(
            "is the server running? --url says where it is, --token its token, if it has one"
        )
    elif not found:
        what = f"the server at {target.api_url} has no session {target.code!r}"
        cures.append(
            f"make it: curl -X POST '{target.api_url}/api/sessions/create"
            f"?custom_code={target.code}'"
        )
    else:
        what = f"the server at {target.api_url} has the session"
        session = ask_session(target.api_url, target.code, target.token).body or {}
        streams = session.get("lsl")
        reason = streams.get("reason") if isinstance(streams, dict) else "it does not say why"
        if reason is None:
            what += ", with its streams: they are not seen from here"
        else:
            what += f", without streams: {reason}"
    cures += [
        "source ids begin with the server's setting lsl_source_id; --source-id says another one",
        f"SessionID has to be the same on both sides; this side is configured by "
        f"{configuration() or 'nothing (the default)'}",
        "a server that listens on loopback keeps LSL on its machine: watch there, or let it "
        "listen elsewhere or set lsl_scope",
        "a firewall must let UDP 16571 and TCP and UDP 16572 to 16604 through; where multicast "
        "does not pass, name the server's address under KnownPeers in lsl_api.cfg",
        "without multicast only outlets on as many ports are found as PortRange under [ports] says "
        "in the client's lsl_api.cfg, 32 by default; outlets of other programs take ports too",
    ]
    return CannotWatchLslError(
        f"no LSL stream with the source id {wanted} was found in {timeout:g} s{others}; {what}",
        cures,
    )
