"""GET requests that leave no doubt: TLS only, also after redirects; errors told apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urljoin, urlsplit

import requests

from phantomlink.recordings.fetch.errors import FetchError, TransientError

CONNECT_SECONDS = 15.0
READ_SECONDS = 60.0
_MAX_REDIRECTS = 10
_MAX_WAIT_SECONDS = 300.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def new_session() -> requests.Session:
    """A session that follows no redirect by itself and keeps no cookies between hosts."""
    session = requests.Session()
    session.headers["User-Agent"] = "phantomlink"
    return session


def check_address(url: str) -> None:
    """Only https is used; http only on this machine.

    Raises:
        FetchError: it is another.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname in _LOOPBACK:
        return
    raise FetchError(f"{url}: takes an https address (http only on this machine)")


@contextmanager
def opened(
    session: requests.Session, url: str, headers: Mapping[str, str] | None = None
) -> Iterator[requests.Response]:
    """The answer to a GET, with its body still to be read; redirects are followed.

    Raises:
        TransientError: no connection, or an answer that may be another one later.
        FetchError: any other status than 200, 206 and 416.
    """
    for _ in range(_MAX_REDIRECTS):
        check_address(url)
        try:
            answer = session.get(
                url,
                headers=dict(headers or {}),
                stream=True,
                allow_redirects=False,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
            )
        except requests.RequestException as error:
            raise TransientError(f"{_host(url)}: {reason_of(error)}") from error
        with answer:
            if answer.status_code in _REDIRECTS and "Location" in answer.headers:
                url = urljoin(url, answer.headers["Location"])
                continue
            _check_status(url, answer)
            yield answer
            return
    raise FetchError(f"{_host(url)}: redirects more than {_MAX_REDIRECTS} times")


def reason_of(error: BaseException) -> str:
    """What a failed request is about, in a few words."""
    text = str(error)
    for sign, said in (
        ("Name or service not known", "its name is not known"),
        ("Temporary failure in name resolution", "its name cannot be looked up now"),
        ("nodename nor servname", "its name is not known"),
        ("Connection refused", "refuses connections"),
        ("No route to host", "no route to it"),
        ("Network is unreachable", "the network cannot be reached"),
        ("certificate verify failed", "its certificate is not trusted"),
        ("timed out", "does not answer in time"),
        ("IncompleteRead", "broke off"),
        ("Connection aborted", "broke off"),
        ("Connection reset", "broke off"),
    ):
        if sign in text:
            return said
    return f"cannot be asked ({type(error).__name__})"


def _check_status(url: str, answer: requests.Response) -> None:
    status = answer.status_code
    if status in (200, 206, 416):
        return
    said = f"{_host(url)}: answers {status} {answer.reason or ''}".rstrip()
    if status in _TRANSIENT:
        raise TransientError(said, _wait_of(answer.headers.get("Retry-After")))
    raise FetchError(f"{said} to {urlsplit(url).path}")


def _wait_of(told: str | None) -> float | None:
    try:
        seconds = float(told) if told else None
    except ValueError:  # a date: our own pause will do
        return None
    return None if seconds is None else min(max(seconds, 0.0), _MAX_WAIT_SECONDS)


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2] or url
