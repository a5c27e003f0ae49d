"""What 300 sessions with a client each notice of what a server does for reasons of its own.

    python tools/many_sessions.py                       # every part, some four minutes
    python tools/many_sessions.py --part play stall --sessions 100

play: for 20 s after all have connected no packet is missing, and no collection takes 5 ms.
stall: the server is stopped for half a second; each session counts one stall.
silent: 1000 connections that say nothing expire together; ticks are no more than 10 ms later than
in the same time without them, which takes turns with it.
churn: 10,000 clients come and go, half of them without a word; memory stays what it was.

Packets that the host held up, as the bench's probes see it, are left out of every lateness, and
what a session lost because the host stood still for so long that it was a stall, of what is due.

Exit code 0: all of it holds; 1: something does not; 2: it could not run.
"""

from __future__ import annotations

import argparse
import json
import resource
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from http.client import HTTPException
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.bench.harness.arrivals import Arrivals, arrivals
from tools.bench.harness.children import Child, ChildError, Message
from tools.bench.harness.frames import masked_frame, upgrade_request
from tools.bench.harness.host import HostWatch, Stall
from tools.bench.harness.server import StartedServer, positive
from tools.bench.harness.text import Verdict, megabytes, us
from tools.bench.jitter.series import touched

_RATE_HZ = Fraction(40)
_PERIOD_NS = int(1e9 / _RATE_HZ)
_READY_SECONDS, _ANSWER_SECONDS = 120.0, 60.0
# What connecting has left to do.
_SETTLE_SECONDS = 2.0
_LONGEST_PAUSE_US = 5_000.0
_STOPPED_SECONDS = 0.5
_BETWEEN_SECONDS = 0.03
# Ten seconds and up to a tenth more are granted to a head; the first two settle.
_EXPIRED_SECONDS = 12.0
_LATER_NS = 10e6
_CHURN_SESSIONS = 10
_CONNECTS_A_SECOND = 100
# What is made once is made in these.
_FIRST_SHARE = 0.3
_GROWTH_BYTES = 2e6
_CLOSE, _GOING_AWAY = 0x8, struct.pack("!H", 1001)
_RESET = struct.pack("ii", 1, 0)


class Sessions:
    """Sessions with a client each, on a server of their own, while entered.

    Args:
        n: how many.
        folder: for the server's log.
    """

    def __init__(self, n: int, folder: Path) -> None:
        self.n = n
        self.server = StartedServer(None, _RATE_HZ, n, folder)
        self.codes = [f"many-{k}" for k in range(n)]
        self._clients: Child | None = None

    def __enter__(self) -> Sessions:
        paths = [f"/stream/binary/{code}" for code in self.codes]
        where: Message = {"host": self.server.host, "port": self.server.port, "paths": paths}
        try:
            self._clients = Child("harness.receiver", where)
            self._clients.read(_READY_SECONDS)
            self.receive(_SETTLE_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._clients is not None:
            self._clients.stop()
        self.server.stop()

    def receive(self, seconds: float) -> tuple[list[Arrivals], Message]:
        """What each client has in so many seconds from now."""
        with self.receiving(seconds) as result:
            pass
        return result()

    @contextmanager
    def receiving(self, seconds: float) -> Iterator[Callable[[], tuple[list[Arrivals], Message]]]:
        """The same, with something else done meanwhile, and what came said by a call after it."""
        clients = self._clients
        assert clients is not None
        end_ns = time.monotonic_ns() + int(1e9 * seconds)
        clients.say({"end_ns": end_ns})

        def result() -> tuple[list[Arrivals], Message]:
            told = clients.read(seconds + _ANSWER_SECONDS)
            return arrivals(told), told

        yield result

    def longest_pause_us(self) -> float:
        """Of the collector, since the server started."""
        timing = self.server.must("GET", f"/api/sessions/{self.codes[0]}/timing")
        return float(timing["server"]["gc_pauses_us"]["max"] or 0)

    def stalls(self) -> list[int]:
        """Of each session, since it began. Asked slowly: the asking must cause none."""
        found = []
        for code in self.codes:
            time.sleep(_BETWEEN_SECONDS)
            timing = self.server.must("GET", f"/api/sessions/{code}/timing")
            found.append(timing["playheads"][0]["stalls"])
        return found


@dataclass(frozen=True, slots=True)
class Punctuality:
    """How the ticks of one session came.

    Attributes:
        packets: how many.
        latest_ns: of those that the host did not hold up.
        left_out: how many it did.
        moved_ns: by how much stalls that the host caused have moved the deadlines.
    """

    packets: int
    latest_ns: float
    left_out: int
    moved_ns: float


def punctuality(of: Arrivals, stalls: Sequence[Stall]) -> Punctuality:
    """How the ticks of one session came: the server's stamps against the grid they are on.

    A stall moves the grid, always to later; by how much is how late its own tick was.

    Args:
        of: what its client has, at least one packet.
        stalls: of the host.
    """
    on_grid = of.stamp_ns - (of.sequence - of.sequence[0]) * _PERIOD_NS
    # Whatever comes later is on this grid or behind it.
    grid = np.minimum.accumulate(on_grid[::-1])[::-1]
    moved = np.diff(grid, prepend=grid[:1])
    late = on_grid - grid + moved
    hit = touched(of.stamp_ns, late, _PERIOD_NS, stalls)
    # Nothing but a stall moves the grid by a period.
    by_host = moved[hit & (moved > _PERIOD_NS)]
    return Punctuality(
        packets=len(late),
        latest_ns=float(np.max(late[~hit], initial=0)),
        left_out=int(hit.sum()),
        moved_ns=float(by_host.sum()),
    )


@contextmanager
def _host() -> Iterator[HostWatch]:
    host = HostWatch(probe=True)
    if host.not_permitted:
        print(f"the host's own stalls count too: {host.not_permitted}", file=sys.stderr)
    try:
        yield host
    finally:
        host.stop()


def _received(
    sessions: Sessions, host: HostWatch, seconds: float
) -> tuple[list[Punctuality], Message]:
    # What has waited since the last time, and what opening connections costs, is not of this time.
    sessions.receive(_SETTLE_SECONDS)
    host.begin()
    began_ns = time.monotonic_ns()
    arrived, told = sessions.receive(seconds)
    if not all(len(each.sequence) for each in arrived):
        raise ChildError("a client got nothing")
    stalls = host.end(began_ns, time.monotonic_ns()).stalls or ()
    return [punctuality(each, stalls) for each in arrived], told


def _latest(found: Sequence[Punctuality]) -> float:
    return max(each.latest_ns for each in found)


def play(sessions: Sessions, arguments: argparse.Namespace) -> list[Verdict]:
    with _host() as host:
        found, told = _received(sessions, host, arguments.seconds)
    packets = [each.packets for each in found]
    by_host = [each.moved_ns / _PERIOD_NS for each in found]
    due = [float(_RATE_HZ) * arguments.seconds - lost for lost in by_host]
    left_out = sum(each.left_out for each in found) / sum(packets)
    pause_us = sessions.longest_pause_us()
    return [
        Verdict(
            f"{sessions.n} sessions: 40 packets a second each",
            f"{min(packets)} to {max(packets)} in {arguments.seconds:g} s, where stalls of the "
            f"host took {min(by_host):.1f} to {max(by_host):.1f}; the latest tick "
            f"{us(_latest(found))} late, without {left_out:.0%} that the host held up",
            max(abs(n - most) for n, most in zip(packets, due, strict=True)) <= 2,
        ),
        Verdict("no gap, none closed", f"{told['n_gaps']} gaps", _is_whole(told)),
        Verdict("longest collection below 5 ms", us(1e3 * pause_us), pause_us < _LONGEST_PAUSE_US),
    ]


def stall(sessions: Sessions, _: argparse.Namespace) -> list[Verdict]:
    process = sessions.server.process
    assert process is not None
    # Nobody may fall behind while the sessions are asked.
    seconds = 2 * _SETTLE_SECONDS + 3 * sessions.n * _BETWEEN_SECONDS
    with sessions.receiving(seconds) as result:
        before = sessions.stalls()
        process.suspend()
        time.sleep(_STOPPED_SECONDS)
        process.resume()
        time.sleep(_SETTLE_SECONDS)
        stalls = [after - b for after, b in zip(sessions.stalls(), before, strict=True)]
    told = result()[1]
    return [
        Verdict(
            f"stopped for {_STOPPED_SECONDS} s: one stall a session",
            f"{min(stalls)} to {max(stalls)}",
            set(stalls) == {1},
        ),
        Verdict("none closed for it", f"{told['n_gaps']} gaps", _is_whole(told)),
    ]


def silent(sessions: Sessions, arguments: argparse.Namespace) -> list[Verdict]:
    latest: dict[int, list[float]] = {0: [], arguments.silent: []}
    with _host() as host:
        for n in [0, arguments.silent] * arguments.turns:
            with _silent_connections(sessions.server, n) as left:
                found, told = _received(sessions, host, _EXPIRED_SECONDS)
                n_left = left()
                if n_left or not _is_whole(told):
                    raise ChildError(f"{n_left} silent connections are open; {told['n_gaps']} gaps")
            latest[n].append(_latest(found))
    without, beside = (float(np.median(found)) for found in latest.values())
    return [
        Verdict(
            f"{arguments.silent} silent connections expire: ticks at most 10 ms later",
            f"latest {', '.join(map(us, latest[arguments.silent]))}; without them "
            f"{', '.join(map(us, latest[0]))}",
            beside - without < _LATER_NS,
        )
    ]


def churn(sessions: Sessions, arguments: argparse.Namespace) -> list[Verdict]:
    process = sessions.server.process
    assert process is not None
    n, rss, began = arguments.connects, [], time.monotonic()
    with sessions.receiving(n / _CONNECTS_A_SECOND) as result:
        for k in range(n):
            if k in (round(n * _FIRST_SHARE), n // 2):
                rss.append(process.memory_info().rss)
            code = sessions.codes[k % len(sessions.codes)]
            _come_and_go(sessions.server, code, says_so=k % 2 == 0)
        seconds = time.monotonic() - began
        rss.append(process.memory_info().rss)
    _, told = result()
    pause_us = sessions.longest_pause_us()
    return [
        Verdict(
            f"{n} clients come and go: memory stays",
            f"{', '.join(map(megabytes, rss))} after {_FIRST_SHARE:.0%}, half and all of them, "
            f"{n / seconds:.0f} a second",
            rss[-1] - rss[0] < _GROWTH_BYTES,
        ),
        Verdict("no gap meanwhile, none closed", f"{told['n_gaps']} gaps", _is_whole(told)),
        Verdict("longest collection below 5 ms", us(1e3 * pause_us), pause_us < _LONGEST_PAUSE_US),
    ]


def _is_whole(told: Message) -> bool:
    return told["n_gaps"] == 0 and not any(told["closed"])


@contextmanager
def _silent_connections(server: StartedServer, n: int) -> Iterator[Callable[[], int]]:
    """So many that are opened at once and say nothing; calling it says how many are open."""
    with ExitStack() as stack:
        made = [
            stack.enter_context(socket.create_connection((server.host, server.port)))
            for _ in range(n)
        ]

        def left() -> int:
            for each in made:
                each.setblocking(False)
            return sum(not _has_ended(each) for each in made)

        yield left


def _has_ended(connection: socket.socket) -> bool:
    try:
        while connection.recv(4096):  # first it is told why
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        pass
    return True


def _come_and_go(server: StartedServer, code: str, *, says_so: bool) -> None:
    address = server.host, server.port
    with socket.create_connection(address, timeout=_ANSWER_SECONDS) as connection:
        connection.sendall(upgrade_request(*address, f"/stream/binary/{code}"))
        if b" 101 " not in connection.recv(65536).partition(b"\r\n")[0]:
            raise ChildError(f"{code}: not let in")
        if says_so:
            connection.sendall(masked_frame(_CLOSE, _GOING_AWAY))
        else:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


PARTS = {"play": play, "stall": stall, "silent": silent, "churn": churn}


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; the exit code."""
    arguments = parser().parse_args(argv)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 8192), hard), hard))
    verdicts: list[Verdict] = []
    try:
        for name in arguments.part:
            n = min(arguments.sessions, _CHURN_SESSIONS) if name == "churn" else arguments.sessions
            with (
                tempfile.TemporaryDirectory(prefix="many-sessions-") as folder,
                Sessions(n, Path(folder)) as sessions,
            ):
                found = PARTS[name](sessions, arguments)
            for each in found:
                word = "holds" if each.passed else "FAILS"
                print(f"{name:<7} {word}  {each.criterion}: {each.figure}", flush=True)
            verdicts += found
    except (ChildError, OSError, HTTPException, psutil.Error) as error:
        print(f"many_sessions: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(each) for each in verdicts], indent=1) + "\n")
    return 0 if all(each.passed for each in verdicts) else 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole = positive(int)
    made.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS), help="(all of them)")
    made.add_argument("--sessions", type=whole, default=300, help="at once (%(default)s)")
    made.add_argument("--seconds", type=positive(float), default=20.0, help="of play (%(default)s)")
    made.add_argument(
        "--silent", type=whole, default=1000, help="connections that say nothing (%(default)s)"
    )
    made.add_argument("--turns", type=whole, default=3, help="with and without them (%(default)s)")
    made.add_argument("--connects", type=whole, default=10_000, help="of churn (%(default)s)")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the verdicts here")
    return made


if __name__ == "__main__":
    sys.exit(main())
