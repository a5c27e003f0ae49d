"""Which session a request is about, by its first line alone. Pure."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote

_OF_SESSION = ("sessions", "control", "stats")
MAKING_PATH = "/api/sessions/create"
_ALL_SESSIONS = frozenset({MAKING_PATH, "/api/sessions/cleanup"})
_NAMED_IN_QUERY = ("/api/metadata", "/api/trials")
_MAX_QUERY_FIELDS = 100
_NOT_PLAIN = frozenset({"trial_id", "target_id", "reach_id", "scores", "decoded", "dataset"})


def code_in(method: str, path: str, query: str) -> str | None:
    """The code of the session that a request names; None where it names none.

    Not checked: it may be no code at all, and then there is no such session.

    Args:
        method: in upper case.
        path: as sent, still percent-encoded.
        query: as sent, without the question mark.
    """
    first, *parts = [unquote(part, errors="replace") for part in path.split("/")]
    if first or not parts:
        return None
    if parts[0] == "stream" and len(parts) == 3 and parts[1] == "binary":
        return parts[2]
    if parts[0] in {"stream", "view", "s"} and len(parts) == 2:
        return parts[1]
    if parts[0] != "api" or len(parts) < 3:
        return _in_query(path, query)
    if method == "POST" and "/".join(("", *parts)) in _ALL_SESSIONS:
        return None
    return parts[2] if parts[1] in _OF_SESSION else _in_query(path, query)


def makes_session(method: str, path: str) -> bool:
    """Whether a session may be made by a request: it belongs where there is most room."""
    return path.startswith("/stream/") or (method == "POST" and path == MAKING_PATH)


def watched_code(method: str, path: str) -> str | None:
    """The code of the session whose stream or view a request is, by its path."""
    parts = path.split("/")[1:]
    if method != "GET" or parts[0] not in {"stream", "view"}:
        return None
    return code_in(method, path, "")


def is_plain(query: str) -> bool:
    """Whether a stream or view is that of the unfiltered packets and of nothing else."""
    try:
        return _NOT_PLAIN.isdisjoint(parse_qs(query, True, max_num_fields=_MAX_QUERY_FIELDS))
    except ValueError:
        return False


def changes_course(method: str, path: str) -> bool:
    """Whether a request may change what a session sends, or end it; its code is in `code_in`."""
    if method == "POST":
        return path.startswith("/api/control/")
    is_of_session = path.startswith("/api/sessions/")
    return (
        method in {"PUT", "DELETE"}
        and is_of_session
        and (path.endswith("/perturbation") or path.count("/") == 3)
    )


def _in_query(path: str, query: str) -> str | None:
    if "session=" not in query or not path.startswith(_NAMED_IN_QUERY):
        return None
    try:
        named = parse_qs(query, max_num_fields=_MAX_QUERY_FIELDS).get("session")
    except ValueError:
        return None
    return named[0] if named else None
