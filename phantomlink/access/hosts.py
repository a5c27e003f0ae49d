"""By which names the server may be called.

The browser of somebody on this machine reaches ports that the network does not. A page of
evil.example whose name is then pointed at 127.0.0.1 (DNS rebinding) has the server's own origin, so
the rule about origins lets it pass; only the `Host` header still says evil.example. An address, and
a name that no stranger can register, cannot be pointed here by a stranger.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable

from phantomlink.settings import Settings
from phantomlink.settings.web_names import is_ip_address, parse_host, parse_origin

TAKES = (
    "an IP address, localhost, a name without a dot, this machine's name, or one of "
    "PHANTOM_ALLOWED_HOSTS"
)


class HostRule:
    """Decides which hosts are allowed.

    Args:
        names: that are allowed beside addresses, localhost and names without a dot.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(name.lower() for name in names)
        self._asked: threading.Thread | None = None

    def learn_full_name(self) -> None:
        """Allow the machine's full name too, as soon as it is known; twice is fine.

        Only for a server that other machines reach anyway: the domain of a full name may be what a
        network told this machine. Looking it up may wait for a name server, so a thread does.
        """
        if self._asked is None:
            self._asked = threading.Thread(target=self._learn, name="full name", daemon=True)
            try:
                self._asked.start()
            except RuntimeError:  # the system has no thread left: the next one asks
                self._asked = None

    def _learn(self) -> None:
        name = full_name()
        if name is not None:
            self._names |= {name.lower().removesuffix(".")}

    def allows(self, host: str) -> bool:
        """Whether a request may call the server so.

        Args:
            host: as the `Host` header says it, with or without a port.
        """
        parsed = parse_host(host)
        if parsed is None:
            return False
        name = parsed[0].removesuffix(".")
        return (
            "." not in name
            or name.endswith(".localhost")
            or is_ip_address(name)
            or name in self._names
        )


def full_name() -> str | None:
    """The machine's name with its domain, as `hostname -f` has it; None where it has none."""
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, flags=socket.AI_CANONNAME)
    except (OSError, UnicodeError):
        return None
    return found[0][3] or None


def allowed_names(settings: Settings) -> set[str]:
    """The names that a server with these settings may be called by."""
    machine = socket.gethostname()
    # By the second it is found in a local network (mDNS).
    names = {settings.host, machine, f"{machine.partition('.')[0]}.local"}
    names.update(settings.allowed_hosts or ())
    # "*" allows every page to call, under a name that is ours; it makes no name ours.
    origins = map(parse_origin, settings.allowed_origins or ())
    names.update(origin.host for origin in origins if origin is not None)
    return names
