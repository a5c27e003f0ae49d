"""URLs of a Valkey with a user, a password or TLS, as they are opened."""

from __future__ import annotations

import gc
import re
from contextlib import asynccontextmanager
from functools import partial
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import pytest
import trio
import trustme

from phantomlink.cluster.shared_directory import DirectoryAwayError, NodeRecord
from phantomlink.cluster.valkey import open_directory
from phantomlink.errors import SettingsError
from phantomlink.settings.load import load_settings
from tests.nodes import valkey_at

# The client leaves streams unclosed where it could not connect.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")

NODE = NodeRecord("a", "http://a:8000", ("a/0",), "1")
TTL_MS = 60_000
# As it is, and as it has to stand in a URL.
PASSWORD, IN_URL = "p@ss/w%rd", "p%40ss%2Fw%25rd"


async def join(url):
    """The epoch, or why there is none."""
    assert load_settings({"cluster_url": url}, {}).cluster_url == url
    try:
        async with open_directory(url, "phantomlink", TTL_MS) as directory:
            try:
                return await directory.join(NODE, 0)
            except DirectoryAwayError as error:
                return str(error)
    finally:
        gc.collect()


@pytest.fixture
def guarded(tmp_path):
    """A Valkey that knows one user, and takes a password from anybody else."""
    with valkey_at(tmp_path) as server:
        client = server.client()
        rights = "on", f">{PASSWORD}", "~phantomlink*", "+@all"
        client.execute_command("ACL SETUSER", "user", *rights)
        client.config_set("requirepass", PASSWORD)
        yield server
        # `valkey_at` ends one that answers it.
        client.config_set("requirepass", "")
        client.close()


@pytest.mark.parametrize("user", ["", "user"])
async def test_a_password_is_read_as_urls_write_it(guarded, user):
    assert await join(f"redis://{user}:{IN_URL}@127.0.0.1:{guarded.port}") == 1


@pytest.mark.parametrize("who", ["", ":wrong@", "user:wrong@", f"nobody:{IN_URL}@"])
async def test_who_has_no_password_does_not_get_in(guarded, who):
    reason = await join(f"redis://{who}127.0.0.1:{guarded.port}")
    assert re.search(
        "invalid username-password|must be called with the client already authenticated", reason
    )


@asynccontextmanager
async def behind_tls(valkey, certificate):
    """The port at which a Valkey is reached by TLS."""
    context = SSLContext(PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)

    async def carry(source, sink):
        async for data in source:
            await sink.send_all(data)

    async def serve(client):
        # A client that does not like the certificate says so, or just goes.
        try:
            server = await trio.open_tcp_stream("127.0.0.1", valkey.port)
            async with server, trio.open_nursery() as each:
                each.start_soon(carry, server, client)
                await carry(client, server)
                each.cancel_scope.cancel()
        except* trio.BrokenResourceError:
            pass

    async with trio.open_nursery() as nursery:
        serving = partial(trio.serve_ssl_over_tcp, serve, 0, context, host="127.0.0.1")
        listeners = await nursery.start(serving)
        yield listeners[0].transport_listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


class TestTLS:
    @pytest.fixture(scope="class")
    @staticmethod
    def authority():
        return trustme.CA()

    @pytest.fixture
    def ca_file(self, authority, tmp_path):
        path = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(path)
        return path

    async def test_of_an_authority_of_ones_own(self, guarded, authority, ca_file):
        async with behind_tls(guarded, authority.issue_cert("127.0.0.1")) as port:
            url = f"rediss://:{IN_URL}@127.0.0.1:{port}?ssl_ca_certs={ca_file}"
            assert await join(url) == 1

    async def test_a_certificate_for_another_name_is_refused(self, guarded, authority, ca_file):
        async with behind_tls(guarded, authority.issue_cert("other.example")) as port:
            assert "certificate verify failed" in await join(
                f"rediss://:{IN_URL}@127.0.0.1:{port}?ssl_ca_certs={ca_file}"
            )

    async def test_a_stranger_s_certificate_is_refused(self, guarded, authority):
        async with behind_tls(guarded, authority.issue_cert("127.0.0.1")) as port:
            assert "certificate verify failed" in await join(f"rediss://:{IN_URL}@127.0.0.1:{port}")

    async def test_a_file_that_is_not_there_stops_the_start(self, tmp_path):
        with pytest.raises(SettingsError, match="cluster_url: its TLS files: No such file"):
            await join(f"rediss://:{IN_URL}@127.0.0.1:1?ssl_ca_certs={tmp_path / 'none.pem'}")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1", "redis://", "redis://127.0.0.1:port",
        "redis://127.0.0.1?ssl_ca_certs=a", "rediss://127.0.0.1?ssl_cert_reqs=none",
        "rediss://127.0.0.1?ssl_check_hostname=false", "rediss://127.0.0.1?ssl_keyfile=a",
        "rediss://127.0.0.1?ssl_context=a",
    ],
)  # fmt: skip
def test_what_is_no_url_or_would_check_less_is_refused(url):
    with pytest.raises(SettingsError, match="takes a URL like redis://"):
        load_settings({"cluster_url": url}, {})
