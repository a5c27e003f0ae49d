"""The log: lines for people, or one JSON object a line for machines.

`bind` says once, at the beginning of a task, whom it serves; every line that the task and those it
starts log then has the ids of the session and the client as members.
"""

from __future__ import annotations

import errno
import itertools
import json
import logging
import re
import sys
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from phantomlink.files.shown import shown

TEXT_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
# What `Authorization` or a sub-protocol holds; whatever logs a request's headers, it must not show
# it.
_BEARER = re.compile(r"(?i)\b(bearer)([\s,:'\"=]+|\.)[\w.~+/=-]+")
# The end of a private session's code.
_PRIVATE = re.compile(r"(private-[0-9a-f]{6})-[0-9a-f]{32}(?![0-9a-f])")
_LINE_CHARACTERS = 2000
_DESCRIPTOR_LINE_SECONDS = 60.0
# What accepting a connection can fail with for the time being.
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_IDS: dict[str, Any] = {}
_ids: ContextVar[dict[str, Any]] = ContextVar("phantomlink_log_ids", default=_NO_IDS)
_clients = itertools.count(1)


def bind(**ids: object) -> None:
    """Let the lines of this task, and of tasks that it starts from now on, have these ids.

    Args:
        ids: by name; those that were bound before stay, None takes one away.
    """
    bound = {**_ids.get(), **ids}
    _ids.set({name: value for name, value in bound.items() if value is not None})


def next_client_id() -> int:
    """A number for a client, 1 for the first of this process."""
    return next(_clients)


def without_secrets(text: str) -> str:
    """The text with every bearer token struck out, and the codes of private sessions shortened."""
    return _PRIVATE.sub(r"\1...", _BEARER.sub(r"\1\2***", text))


class TextLines(logging.Formatter):
    """A line for people.

    Args:
        node: which of several processes logs it; None where there is one.
    """

    def __init__(self, node: str | None = None) -> None:
        super().__init__(TEXT_FORMAT if node is None else f"{TEXT_FORMAT} [process {node}]")

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback below it."""
        return without_secrets(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - of logging
        """The line: what a stranger has named stays on it, and does nothing to a terminal."""
        record.message = shown(record.message, _LINE_CHARACTERS)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - of logging
        """The traceback, in which errors quote strangers too."""
        return "\n".join(map(shown, super().formatException(ei).split("\n")))


class JsonLines(JsonFormatter):
    """One JSON object: ts, level, logger, message, the bound ids, `exception` with a traceback.

    What is logged with `extra` becomes a member too. ts is ISO 8601 UTC.

    Args:
        node: which of several processes logs it, a member then; None where there is one.
    """

    def __init__(self, node: str | None = None) -> None:
        names = {"levelname": "level", "name": "logger", "exc_info": "exception"}
        of_all = None if node is None else {"node": node}
        super().__init__(
            ["levelname", "name", "message"], rename_fields=names, static_fields=of_all
        )

    def add_fields(
        self,
        log_data: dict[str, Any],
        record: logging.LogRecord,
        message_dict: dict[str, Any],
    ) -> None:
        """The members, in the order in which they are shown."""
        moment = datetime.fromtimestamp(record.created, UTC)
        log_data["ts"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        super().add_fields(log_data, record, message_dict)
        for name, value in _ids.get().items():
            log_data.setdefault(name, value)

    def serialize_log_record(self, log_data: dict[str, Any]) -> str:
        """The line."""
        clean = {
            name: without_secrets(value) if isinstance(value, str) else value
            for name, value in log_data.items()
        }
        return json.dumps(clean, default=str)


class DescriptorLines(logging.Filter):
    """Makes one line a minute of what event loops log again and again without descriptors."""

    def __init__(self) -> None:
        super().__init__()
        self._said_at: float | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log; a record about something else stays as it is."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, OSError) or error.errno not in _OUT_OF_RESOURCES:
            return True
        now = time.monotonic()
        if self._said_at is not None and now - self._said_at < _DESCRIPTOR_LINE_SECONDS:
            return False
        self._said_at = now
        record.exc_info = record.exc_text = None
        record.msg = (
            "New connections wait or are closed: %s. Streams go on. Raise the limit (ulimit -n), "
            "or lower PHANTOM_MAX_CLIENTS and PHANTOM_MAX_PENDING_CONNECTIONS"
        )
        record.args = (error.strerror,)
        return True


def limit_descriptor_lines() -> None:
    """Let running out of descriptors cost one line a minute, on whichever loop."""
    for name in ("trio.serve_listeners", "asyncio"):
        logger = logging.getLogger(name)
        if not any(isinstance(each, DescriptorLines) for each in logger.filters):
            logger.addFilter(DescriptorLines())


def set_up_logging(level: str, form: str, node: str | None = None) -> None:
    """Log to stderr from this level on, Python's warnings and errors that nobody caught included.

    What other packages log for their own debugging (h5py, hypercorn) is left out.

    Args:
        level: as `logging` names it.
        form: "text" or "json".
        node: which of several processes this is; None where there is one.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(node) if form == "json" else TextLines(node))
    wanted = logging.getLevelNamesMapping()[level]
    logging.basicConfig(level=max(wanted, logging.INFO), handlers=[handler])
    logging.getLogger("phantomlink").setLevel(wanted)
    if form == "json":
        # In text they are what people know; among JSON they would be lines that are none.
        logging.captureWarnings(True)
        sys.excepthook = _log_uncaught


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    logging.getLogger("phantomlink").critical("The server failed", exc_info=(kind, error, trace))
