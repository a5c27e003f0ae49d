"""Steering a session over REST."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, Self, Unpack

from phantomlink.client.address import check_code, parse_address
from phantomlink.client.options import Perturbation, SessionOptions
from phantomlink.client.rest import Rest


class Session:
    """A session of a server, and what can be done with it.

    Every method is one REST call and blocks for about a millisecond; in async code,
    `await asyncio.to_thread(session.pause)` does not. Answers are the JSON objects of the
    REST reference. A `with` block deletes the session at its end. `connect(session=...)` takes a
    `Session` too.

    Args:
        code: of the session.
        url: of the server; None for PHANTOM_URL, or else http://127.0.0.1:8000.
        token: of the server; None for PHANTOM_API_TOKEN, if set.

    Attributes:
        code: of the session.
        rest: calls of the server, for routes that have no method here.

    Every method raises `RefusedError` where the server says no (404: there is no such session)
    and `UnreachableError` where none answers.
    """

    def __init__(self, code: str, url: str | None = None, *, token: str | None = None) -> None:
        self.code = check_code(code)
        self.rest = Rest(parse_address(url, token))

    @classmethod
    def create(
        cls,
        code: str | None = None,
        url: str | None = None,
        *,
        token: str | None = None,
        **options: Unpack[SessionOptions],
    ) -> Self:
        """Make a session, or find the one of this code.

        Args:
            code: of it; None for one that the server makes up.
            url: of the server, as for `Session`.
            token: of the server, as for `Session`.
            **options: what it is to be: `perturbation`, `seed`, `speed`, `bin_size_ms`, ...: see
                `SessionOptions`.

        Raises:
            RefusedError: an option is not known or has the wrong form (422), or the session
                exists with other options (409).
            UnreachableError: no server answers.
        """
        rest = Rest(parse_address(url, token))
        return cls(create_session(rest, code, options)["session_code"], url, token=token)

    def info(self) -> dict[str, Any]:
        """What the server says of it: `GET /api/sessions/{code}`."""
        return self._get(f"/api/sessions/{self.code}")

    def pause(self) -> dict[str, Any]:
        """Hold it where it is. Twice is fine."""
        return self._control("pause")

    def resume(self) -> dict[str, Any]:
        """Go on after a pause or a stop, with the next bin."""
        return self._control("resume")

    def stop(self) -> dict[str, Any]:
        """Close its streams with 1000 and rewind it; the next listener starts it again."""
        return self._control("stop")

    def seek(
        self,
        packet_id: int | None = None,
        *,
        position_seconds: float | None = None,
        trial_id: int | None = None,
        event: str | None = None,
    ) -> dict[str, Any]:
        """Go to a bin, a time of the recording, or a trial; take one of the three.

        Args:
            packet_id: the bin.
            position_seconds: since the recording's beginning.
            trial_id: of the trial to whose start it goes.
            event: one of the trial's own times in place of its start, as `go_cue_time`.
        """
        given = {
            "packet_id": packet_id,
            "position_seconds": position_seconds,
            "trial_id": trial_id,
            "event": event,
        }
        return self._control("seek", {name: v for name, v in given.items() if v is not None})

    def step(self, packets: int = 1) -> dict[str, Any]:
        """Send so many packets of a paused session, then pause again."""
        return self._control("step", {"packets": packets})

    def set_speed(self, speed: float) -> dict[str, Any]:
        """Play so many times faster than recorded (0.1 to 100), from the next packet on."""
        return self._control("speed", {"speed": speed})

    def position(self) -> dict[str, Any]:
        """Where it is, whether it plays, and what it waits for."""
        return self._get(f"/api/control/{self.code}/position")

    def stats(self) -> dict[str, Any]:
        """What it has sent, and how late."""
        return self._get(f"/api/stats/{self.code}")

    def timing(self) -> dict[str, Any]:
        """How punctual it has been, in full."""
        return self._get(f"/api/sessions/{self.code}/timing")

    def perturbation(self) -> dict[str, Any]:
        """What is done to its packets."""
        return self._get(f"/api/sessions/{self.code}/perturbation")

    def perturb(self, perturbation: Perturbation, seed: int | None = None) -> dict[str, Any]:
        """Perturb its packets from the next one on.

        Args:
            perturbation: a preset's name, or what to do in full.
            seed: of it; None for the session's own.
        """
        body: dict[str, Any] = {"perturbation": perturbation}
        if seed is not None:
            body["seed"] = seed
        return self.rest.call("PUT", f"/api/sessions/{self.code}/perturbation", body)

    def clear_perturbation(self) -> dict[str, Any]:
        """Send the recording's own counts again."""
        return self.rest.call("DELETE", f"/api/sessions/{self.code}/perturbation")

    def decoders(self) -> dict[str, Any]:
        """Who decodes it, clients and models, and how well in short."""
        return self._get(f"/api/sessions/{self.code}/decoders")

    def score(
        self, decoder: str, window: Literal["trials", "movement"] = "trials"
    ) -> dict[str, Any]:
        """All figures of a decoder.

        Args:
            decoder: its name.
            window: all bins in trials, or those around movement onset.
        """
        path = f"/api/sessions/{self.code}/decoders/{decoder}/score"
        return self.rest.call("GET", path, query={"window": window})

    def report(self) -> dict[str, Any]:
        """All its decoders compared with each other."""
        return self._get(f"/api/sessions/{self.code}/report")

    def trials(self) -> list[dict[str, Any]]:
        """Every trial of the session's recording, a dict each."""
        query = {"session": self.code}
        trials: list[dict[str, Any]] = self.rest.call("GET", "/api/trials", query=query)["trials"]
        return trials

    def delete(self) -> dict[str, Any]:
        """End it, whoever is connected."""
        return self.rest.call("DELETE", f"/api/sessions/{self.code}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.delete()

    def __repr__(self) -> str:
        return f"Session({self.code!r}, {self.rest.address.http_url!r})"

    def _get(self, path: str) -> dict[str, Any]:
        return self.rest.call("GET", path)

    def _control(self, verb: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self.rest.call("POST", f"/api/control/{self.code}/{verb}", body)


def create_session(rest: Rest, code: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Make a session, or find it: the answer of `POST /api/sessions/create`.

    Args:
        rest: of the server.
        code: of the session; None for one that the server makes up.
        options: further members of the body; those that are None are left out.
    """
    body = {name: value for name, value in options.items() if value is not None}
    if code is not None:
        body["custom_code"] = code
    return rest.call("POST", "/api/sessions/create", body)
