"""What a URL of a Valkey or Redis server means to its client."""

from __future__ import annotations

import ssl
from typing import TypedDict
from urllib.parse import SplitResult, parse_qs, urlsplit

_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


class RedisOptions(TypedDict, total=False):
    """For `coredis.Redis.from_url`."""

    decode_components: bool
    ssl_context: ssl.SSLContext


def parse_redis_url(raw: str) -> str:
    """The URL without the blanks around it.

    Raises:
        ValueError: it is none, or asks of TLS what we do not take.
    """
    url = raw.strip()
    parts = urlsplit(url)
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname:
        raise ValueError(url)
    _ = parts.port  # raises where it is no number
    given = {name for name in _query(parts) if name.startswith("ssl_")}
    if given - set(_TLS_FILES if parts.scheme == "rediss" else ()):
        raise ValueError(url)
    if "ssl_keyfile" in given and "ssl_certfile" not in given:
        raise ValueError(url)
    return url


def redis_options(url: str) -> RedisOptions:
    """How the client is to open a URL that `parse_redis_url` took.

    By itself coredis takes `%40` in a password as it stands, and believes a certificate for any
    name.

    Raises:
        OSError: a file of TLS cannot be read, or has something else in it.
    """
    options = RedisOptions(decode_components=True)
    parts = urlsplit(url)
    if parts.scheme == "rediss":
        query = _query(parts)
        context = ssl.create_default_context(cafile=query.get("ssl_ca_certs"))
        if "ssl_certfile" in query:
            context.load_cert_chain(query["ssl_certfile"], query.get("ssl_keyfile"))
        options["ssl_context"] = context
    return options


def _query(parts: SplitResult) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(parts.query).items()}
