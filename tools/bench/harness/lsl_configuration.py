"""Lab Streaming Layer for the benchmark and for tests: confined to this machine and to one run."""

from __future__ import annotations

from pathlib import Path

# The default configuration multicasts on every interface, and finds other people's streams.
_CONFIGURATION = """\
[ports]
IPv6 = disable
PortRange = 256
[multicast]
ResolveScope = machine
ListenAddress = 127.0.0.1
Interfaces = {{127.0.0.1}}
[lab]
KnownPeers = {{127.0.0.1}}
SessionID = {session}
[tuning]
MulticastMinRTT = 0.02
MulticastMaxRTT = 0.1
UnicastMinRTT = 0.02
UnicastMaxRTT = 0.2
[log]
level = -2
"""


def write_configuration(path: Path, session: str) -> dict[str, str]:
    """Write a configuration; the environment that makes liblsl take it.

    Args:
        path: of the file to write.
        session: streams of other sessions are not seen.
    """
    path.write_text(_CONFIGURATION.format(session=session))
    return {"LSLAPICFG": str(path)}
