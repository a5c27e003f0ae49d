"""Streams that fall silent while `phantomlink watch` listens: it says why, and that it is over."""

import json
import os
import queue
import signal
import threading
from contextlib import contextmanager

from tests import commands
from tests.large_files import overwrite
from tests.servers import live_server
from tests.waiting import until

_SECONDS = 40
STEADY = "packets keep coming"
AGAIN = "packets come again"


class Watching:
    """A `phantomlink watch` whose stderr is read while it runs."""

    def __init__(self, *arguments):
        self._process = commands.start("watch", *arguments, "--seconds", "600")
        self._lines = queue.Queue()
        self.err = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self._process.stderr:
            self._lines.put(line)

    def line(self, part):
        """The next line on stderr, which says this."""
        line = self._lines.get(timeout=_SECONDS)
        self.err.append(line)
        assert line.startswith("phantomlink: ")
        assert part in line
        return line

    def finish(self):
        """(exit code, stdout) after Ctrl-C; it says no more on stderr."""
        self._process.send_signal(signal.SIGINT)
        out = self._process.stdout.read()
        returncode = self._process.wait(_SECONDS)
        self._reader.join()
        assert self._lines.empty(), self._lines.get()
        return returncode, out

    def close(self):
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._process.stderr.close()


@contextmanager
def watching(*arguments):
    it = Watching(*arguments)
    try:
        yield it
    finally:
        it.close()


def n_sent(server, code):
    status, stats = server.get(f"/api/stats/{code}")
    return stats["packets_sent"] if status == 200 else 0


def wait_for_packets(server, code):
    until(lambda: n_sent(server, code) > 20, f"packets of {code}")


def result_of(watched):
    """The JSON of a watching in which packets did not keep coming."""
    returncode, out = watched.finish()
    assert returncode == 1
    result = json.loads(out)
    assert STEADY in {check["name"] for check in result["checks"] if not check["passed"]}
    return result


def check_one_silence(result, *kinds, is_over=True):
    (silence,) = result["silences"]
    assert [reason["kind"] for reason in silence["reasons"]] == list(kinds)
    assert silence["is_over"] is is_over
    assert silence["seconds"] > 2
    assert silence["from_seconds"] >= 0
    assert (result["note"] is None) is is_over


def test_a_recording_that_is_lost_and_found(recording):
    data = recording.read_bytes()
    env = {"XDG_CACHE_HOME": str(recording.parent / "cache")}
    with live_server(recording, env=env) as server:
        url = f"{server.ws}/stream/a"
        with watching(url, "--json") as to_the_end, watching(url) as in_between:
            wait_for_packets(server, "a")
            until(
                lambda: server.get("/api/sessions/a")[1]["active_connections"] == 2,
                "both",
            )
            os.truncate(recording, len(data) // 3)
            for each in (to_the_end, in_between):
                line = each.line("the session waits for its recording: ")
                assert "no more packets for the last " in line
                assert recording.name in line
                assert str(recording) not in line
                assert "cut" in line
            returncode, out = in_between.finish()
            assert returncode == 1
            assert f"FAIL  {STEADY}" in out
            said = " ".join(out.split())
            assert " s: the session waits for its recording: " in said
            overwrite(recording, data)
            to_the_end.line(AGAIN)
            result = result_of(to_the_end)
    check_one_silence(result, "waiting")
    assert "cut" in result["silences"][0]["reasons"][0]["text"]


def test_a_session_that_is_paused_and_resumed(maze_server):
    url = f"{maze_server.ws}/stream/resting?trial_id=3"
    with watching(url, "--json") as resumed, watching(url) as read:
        until(lambda: maze_server.get("/api/sessions/resting")[0] == 200, "the session")
        until(
            lambda: maze_server.get("/api/sessions/resting")[1]["active_connections"] == 2,
            "both",
        )
        maze_server.post("/api/control/resting/pause")
        for each in (resumed, read):
            line = each.line("the session is paused")
            assert "/api/control/resting/resume" in line
        maze_server.post("/api/control/resting/resume")
        for each in (resumed, read):
            each.line(AGAIN)
        check_one_silence(result_of(resumed), "paused")
        returncode, out = read.finish()
    assert returncode == 1
    said = " ".join(out.split())
    assert "silent for " in said
    assert " s after the start: the session is paused; POST " in said


def test_a_server_that_does_not_answer_any_more(synthetic_recording):
    with live_server(synthetic_recording) as server:
        with watching(f"{server.ws}/stream/a", "--json") as over:
            wait_for_packets(server, "a")
            server.process.send_signal(signal.SIGSTOP)
            over.line(f"the server at {server.http} does not answer")
            server.process.send_signal(signal.SIGCONT)
            over.line(AGAIN)
            check_one_silence(result_of(over), "unreachable")
        with watching(f"{server.ws}/stream/b", "--json") as to_the_end:
            wait_for_packets(server, "b")
            server.process.send_signal(signal.SIGSTOP)
            to_the_end.line("does not answer")
            result = result_of(to_the_end)
    check_one_silence(result, "unreachable", is_over=False)
    assert "does not answer" in result["note"]
