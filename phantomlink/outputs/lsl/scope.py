"""How far LSL streams can be found: the configuration that liblsl is given. Pure.

liblsl reads its configuration once in a process. Where a person has made a file of their own,
that one counts: it names their lab's peers and session, which nothing here knows.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

_NETWORK = """\
[multicast]
ResolveScope = {scope}
[log]
level = -1
"""
# Found by clients with liblsl's own configuration too, which ask the ports of this machine. The
# session id is left as it is, or they would not take the streams for theirs. Without a
# ListenAddress: sockets that were bound to 127.0.0.1 would take queries from `discovery_relay`.
_MACHINE = """\
[ports]
IPv6 = disable
PortRange = 256
[multicast]
ResolveScope = machine
Interfaces = {127.0.0.1}
[lab]
KnownPeers = {127.0.0.1}
[log]
level = -1
"""


def effective_scope(scope: str, host: str) -> str:
    """The scope that a setting means.

    Args:
        scope: machine, link, site, organization, global; or auto: this machine while the server
            listens on loopback only, else site, which is liblsl's own default.
        host: that the server listens on.
    """
    if scope != "auto":
        return scope
    return "machine" if _is_loopback(host) else "site"


def configuration(scope: str) -> str:
    """What liblsl is told for a scope, as the text of a configuration file."""
    return _MACHINE if scope == "machine" else _NETWORK.format(scope=scope)


def own_configuration(env: Mapping[str, str], home: Path, folder: Path) -> Path | None:
    """The configuration file that liblsl would find by itself; None where there is none.

    Args:
        env: the environment.
        home: of the user.
        folder: the working directory.
    """
    candidates = [
        folder / "lsl_api.cfg",
        home / "lsl_api" / "lsl_api.cfg",
        Path("/etc/lsl_api/lsl_api.cfg"),
    ]
    if env.get("LSLAPICFG"):
        candidates.insert(0, Path(env["LSLAPICFG"]))
    return next((path for path in candidates if path.is_file()), None)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
