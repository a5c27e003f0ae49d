"""The forms that values of settings have: how each is read, and what is said to be taken."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from phantomlink.settings.redis_url import parse_redis_url
from phantomlink.settings.web_names import parse_host, parse_origin

MAX_PROCESSES = 64
_TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_SAMPLES = re.compile(r"samples@([0-9.eE+]+)\Z")
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
# What may stand in a header and in a sub-protocol alike.
_NODE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9._~+-]{16,256}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Form:
    """How a value is read: `parse` raises ValueError for what `takes` does not describe."""

    parse: Callable[[str], Any]
    takes: str


def _node_name(raw: str) -> str:
    name = raw.strip()
    if not _NODE_NAME.match(name):
        raise ValueError(raw)
    return name


def _node_url(raw: str) -> str:
    url = raw.strip().rstrip("/")
    parts = urlsplit(url)
    is_plain = not (parts.path or parts.query or parts.fragment or parts.username)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not is_plain:
        raise ValueError(raw)
    _ = parts.port  # raises where it is no number
    return url


def text(takes: str) -> Form:
    """Anything but blanks."""
    return Form(_text, takes)


def path(takes: str) -> Form:
    """A path, of which `~` may be the beginning."""
    return Form(_path, takes)


def whole(low: int, high: int, takes: str | None = None) -> Form:
    """A whole number within bounds, which `takes` may say in its own way."""
    return Form(_within(int, low, high), takes or f"a whole number from {low} to {high}")


def number(low: float, high: float, takes: str | None = None) -> Form:
    """A number within bounds, which `takes` may say in its own way."""
    return Form(_within(float, low, high), takes or f"a number from {low} to {high}")


def rate(low: int, high: int) -> Form:
    """A rate within bounds, Hz, as a fraction."""
    within = _within(Fraction, low, high)

    def parse(raw: str) -> Fraction:
        value: Fraction = within(raw.strip())
        # A period must be expressible without a rounding that adds up over days.
        return value.limit_denominator(1_000_000)

    return Form(parse, f"a number from {low} to {high}")


def one_of(words: tuple[str, ...]) -> Form:
    """One of some words, in upper or lower case."""
    by_word = {word.lower(): word for word in words}

    def parse(raw: str) -> str:
        word = by_word.get(raw.strip().lower())
        if word is None:
            raise ValueError(raw)
        return word

    return Form(parse, f"one of {', '.join(words)}")


def _within(kind: Callable[[str], Any], low: float, high: float) -> Callable[[str], Any]:
    def parse(raw: str) -> Any:
        value = kind(raw)
        if not low <= value <= high:
            raise ValueError(raw)
        return value

    return parse


def _text(raw: str) -> str:
    if not raw.strip():
        raise ValueError(raw)
    return raw.strip()


def _path(raw: str) -> Path:
    return Path(_text(raw)).expanduser()


def _boolean(raw: str) -> bool:
    word = raw.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(raw)


def _seconds(raw: str) -> float:
    value = float(raw)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(raw)
    return value


def _cpus(raw: str) -> frozenset[int]:
    cpus = frozenset(int(part) for part in raw.split(","))
    if min(cpus) < 0:
        raise ValueError(raw)
    return cpus


def _processes(raw: str) -> int:
    if raw.strip() == "auto":
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}
        return min(len(cores), MAX_PROCESSES)
    n = int(raw)
    if not 1 <= n <= MAX_PROCESSES:
        raise ValueError(raw)
    return n


def _dataset(raw: str) -> str:
    name = _text(raw).removesuffix(".nwb")
    if Path(name).name != name or name in {".", ".."}:
        raise ValueError(raw)
    return name


def _token(raw: str) -> str:
    token = raw.strip()
    if not _TOKEN.match(token):
        raise ValueError
    return token


def _origins(raw: str) -> tuple[str, ...]:
    origins = tuple(part.strip().lower() for part in raw.split(","))
    if not all(origin == "*" or parse_origin(origin) for origin in origins):
        raise ValueError(raw)
    return origins


def _hosts(raw: str) -> tuple[str, ...]:
    hosts = tuple(part.strip().lower() for part in raw.split(","))
    for host in hosts:
        parsed = parse_host(host)
        if parsed is None or parsed[1] is not None:
            raise ValueError(raw)
    return hosts


def spike_time_factor(unit: str) -> float:
    """Seconds in one unit of stored spike times: s, ms, us or samples@RATE.

    Raises:
        ValueError: it is none of these.
    """
    if unit in _TIME_UNITS:
        return _TIME_UNITS[unit]
    samples = _SAMPLES.match(unit)
    rate = float(samples[1]) if samples else math.nan
    if not (rate > 0 and math.isfinite(rate)):
        raise ValueError(unit)
    return 1 / rate


def _spike_time_unit(raw: str) -> str:
    unit = _text(raw)
    spike_time_factor(unit)
    return unit


REDIS = Form(
    parse_redis_url,
    "a URL like redis://127.0.0.1:6379, or rediss://HOST:6379?ssl_ca_certs=FILE for TLS",
)
NODE_NAME = Form(_node_name, "1 to 64 letters, digits, '-', '.' or '_'")
NODE_URL = Form(_node_url, "a URL like http://10.0.0.5:8000, without a path")
BOOLEAN = Form(_boolean, "true or false")
SPIKE_TIME_UNIT = Form(_spike_time_unit, "s, ms, us, or samples@RATE (samples@30000)")
OFFSET = number(-1e12, 1e12, "a number of seconds")
SECONDS = Form(_seconds, "a number of seconds above 0")
PROCESSES = Form(_processes, f"a whole number from 1 to {MAX_PROCESSES}, or auto: one a core")
CPUS = Form(_cpus, "CPU numbers, separated by commas")
DATASET = Form(_dataset, "the name of a file in the data directory, without .nwb")
TOKEN = Form(_token, "16 to 256 letters, digits, '-', '.', '_', '~' or '+'")
ORIGINS = Form(_origins, "origins like https://lab.example, separated by commas, or *")
HOSTS = Form(_hosts, "names like lab.example, without a port, separated by commas")
