"""Which origins and hosts are let in, and what is refused because it is not plain."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomlink.access.access_policy import AccessPolicy
from phantomlink.access.hosts import HostRule, allowed_names
from phantomlink.access.origins import OriginRule
from phantomlink.access.request_identity import read_request_identity
from phantomlink.errors import HostNotAllowedError, OriginNotAllowedError
from phantomlink.settings import Settings
from phantomlink.settings.web_names import Origin, parse_host, parse_origin

TOKEN = "correct-horse-battery-staple"

# What some parsers take for an origin on localhost, and others for one elsewhere.
NOT_PLAIN = (
    "http://%6cocalhost", "http://localhost%2eevil.example", "http://[localhost]",
    "http://[::1].evil.example", "http://[::1", "http://::1", "http://localhost.evil.example",
    "http://evillocalhost", "http://localhost/", "http://localhost/x", "http://localhost?x",
    "http://localhost#x", "http://localhost@evil.example", "http://evil.example@localhost",
    "http://localhost:1:2", "http://localhost:", "http://localhost:0", "http://localhost:99999",
    "http://localhost:+80", "http://localhost:\uff180", "http://localhost, http://localhost",
    "http://localhost ", " http://localhost", "http://localhost\\.evil.example", "http:/localhost",
    "http:localhost", "//localhost", "localhost", "http://localhost\t", "http://loca\nlhost",
    "http://[::1%25lo]", "http://127.0.0.1.evil.example", "http://127.0.0.1%00.evil.example",
    "null", "", "*", "file://", "file://localhost", "ftp://localhost", "https://", "data:,x",
    "http://loc\u212alhost", "http://\u017flocalhost",
)  # fmt: skip


class TestOrigins:
    RULE = OriginRule(("https://lab.example", "http://10.0.0.5:3000", "http://[2001:db8::1]"))

    @pytest.mark.parametrize(
        ("origin", "host", "allowed"),
        [
            ("http://localhost:3000", "lab.example:8000", True),
            ("https://127.0.0.1", "lab.example:8000", True),
            ("http://[::1]:5173", "lab.example:8000", True),
            ("http://dash.localhost", "lab.example:8000", True),
            ("http://lab.example:8000", "lab.example:8000", True),
            ("http://LAB.example:8000", "lab.EXAMPLE:8000", True),
            ("https://lab.example", "lab.example", True),
            ("https://lab.example:443", "lab.example", True),
            ("http://[2001:db8::1]:8000", "[2001:db8::1]:8000", True),
            # A program says the scheme that it uses: ws counts as http.
            ("ws://localhost:3000", "lab.example:8000", True),
            ("ws://lab.example:8000", "lab.example:8000", True),
            ("wss://lab.example", "lab.example", True),
            ("ws://lab.example", "lab.example:80", True),
            ("ws://evil.example:8000", "lab.example:8000", False),
            ("http://lab.example", "lab.example:8000", False),
            ("http://lab.example:8000", "lab.example", False),
            ("https://evil.example", "localhost:8000", False),
            ("https://evil.example", "evil.example@x", False),
        ],
    )  # fmt: skip
    def test_the_servers_own_and_localhost(self, origin, host, allowed):
        assert OriginRule().allows(origin, host) is allowed

    @pytest.mark.parametrize(
        "origin",
        [
            "https://lab.example", "https://LAB.example", "https://lab.example:443",
            "http://10.0.0.5:3000", "http://[2001:db8::1]:80", "http://localhost:5173",
            "wss://lab.example", "ws://10.0.0.5:3000",
        ],
    )  # fmt: skip
    def test_those_named_are_allowed_whatever_the_host(self, origin):
        assert self.RULE.allows(origin, "127.0.0.1:8000")
        assert self.RULE.allows(origin, "")

    @pytest.mark.parametrize(
        "origin",
        [
            "http://lab.example", "https://lab.example:8443", "https://a.lab.example",
            "https://lab.example.evil.example", "https://evil.example/https://lab.example",
            "http://10.0.0.5", "https://lab.example\\@x", "https://x@evil.example", *NOT_PLAIN,
        ],
    )  # fmt: skip
    def test_others_are_not(self, origin):
        for host in ("127.0.0.1:8000", "localhost", ""):
            assert not self.RULE.allows(origin, host)
        assert OriginRule("*").allows(origin, "127.0.0.1:8000")

    def test_one_named_by_the_scheme_of_its_websocket(self):
        assert OriginRule(("wss://lab.example",)).allows("https://lab.example", "")

    @given(st.text(max_size=60), st.text(max_size=60))
    def test_nothing_breaks_it(self, origin, host):
        assert self.RULE.allows(origin, host) in (True, False)

    def test_messages_say_what_is_taken(self):
        assert OriginRule().takes == "this server's own or one on localhost"
        assert self.RULE.takes.endswith("or one of PHANTOM_ALLOWED_ORIGINS")


def test_origins_and_hosts_are_read():
    assert parse_origin("WSS://Lab.example") == Origin("https", "lab.example", 443)
    assert parse_origin("http://[2001:DB8:0::1]:8000") == Origin("http", "2001:db8::1", 8000)
    assert parse_host("Lab.example:8000") == ("lab.example", 8000)
    assert parse_host("[fe80::1%eth0]:80") == ("fe80::1", 80)
    assert parse_host("lab.example") == ("lab.example", None)


class TestHosts:
    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1", "127.0.0.1:8000", "203.0.113.7", "0.0.0.0:1", "[::1]:8000",
            "[2001:db8::1]", "[fe80::1%eth0]:8000", "localhost", "LOCALHOST:8000", "localhost.",
            "a.localhost:3", "b.a.localhost", "phantomlink", "phantom_link:8000", "lab.example",
            "LAB.example:8000", "lab.example.:8000",
        ],
    )  # fmt: skip
    def test_allowed(self, host):
        assert HostRule({"lab.example"}).allows(host)

    @pytest.mark.parametrize(
        "host",
        [
            "", "evil.example", "evil.example:8000", "a.lab.example", "lab.example.evil.example",
            "localhost.evil.example", "evil.localhost.example", "127.0.0.1.evil.example",
            "127.1.evil", "1.2.3.4.5", "lab.example:x", "lab.example:0", "lab.example:99999",
            "lab.example@evil", "evil.example/localhost", "localhost/", "[localhost]", "::1",
            "[::1]x", "localhost, localhost", "l\u00f6calhost", "evil.example\\localhost", ":80",
        ],
    )  # fmt: skip
    def test_refused(self, host):
        assert not HostRule({"lab.example"}).allows(host)

    def test_the_machines_own_names_and_those_of_the_settings(self, monkeypatch):
        monkeypatch.setattr(socket, "gethostname", lambda: "Rig-3.lab.example")
        settings = Settings(
            host="stream.lab.example",
            allowed_hosts=("proxy.example",),
            allowed_origins=("https://dash.example", "*"),
        )
        rule = HostRule(allowed_names(settings))
        for host in (
            "rig-3.lab.example", "rig-3.local", "stream.lab.example:8000", "proxy.example",
            "dash.example:8000",
        ):  # fmt: skip
            assert rule.allows(host), host
        for host in ("evil.example", "local", "x.local", "rig-3.evil.example"):
            assert rule.allows(host) is ("." not in host), host

    @pytest.mark.parametrize(("host", "allowed"), [("0.0.0.0", True), ("127.0.0.1", False)])
    def test_the_full_name_where_other_machines_come_in_anyway(self, host, allowed, monkeypatch):
        """Where they do not, its domain may be one that a network has made up."""
        info = (socket.AF_INET, socket.SOCK_STREAM, 6, "Rig-3.Lab.Example", ("192.0.2.7", 0))
        monkeypatch.setattr(socket, "gethostname", lambda: "rig-3")
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, flags: [info])
        policy = AccessPolicy(Settings(host=host))
        if allowed:
            policy._hosts._asked.join()
        else:
            assert policy._hosts._asked is None
        assert policy._hosts.allows("rig-3.lab.example:8000") is allowed
        assert not policy._hosts.allows("other.lab.example")
        # Behind a server that binds the port itself, it is known with the first request.
        policy.warn_if_exposed("192.0.2.7")
        policy._hosts._asked.join()
        assert policy._hosts.allows("rig-3.lab.example:8000")

    def test_no_full_name_is_no_failure(self, monkeypatch):
        def unknown(*_, flags):
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        policy = AccessPolicy(Settings(host="0.0.0.0"))
        policy._hosts._asked.join()
        assert not policy._hosts.allows("rig-3.lab.example")

    @given(st.text(max_size=60))
    def test_nothing_breaks_it(self, host):
        assert HostRule().allows(host) in (True, False)


def check(*headers, method="GET", settings=None, **how):
    """Ask the policy about a request; the default one allows no name beyond the fixed ones."""
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    AccessPolicy(settings or Settings()).check(
        read_request_identity(method, "/api/sessions", raw, "127.0.0.1", **how)
    )


LOCAL = ("host", "127.0.0.1:8000")
EVIL = ("host", "evil.example:8000")


class TestPolicy:
    def test_a_name_that_was_pointed_here_is_refused_with_the_way_to_allow_it(self):
        with pytest.raises(HostNotAllowedError) as caught:
            check(EVIL)
        assert caught.value.http_status == 421
        said = str(caught.value)
        assert said.startswith("host: got 'evil.example:8000', takes an IP address, localhost, ")
        assert said.endswith("allow it with PHANTOM_ALLOWED_HOSTS or --allowed-hosts")
        check(EVIL, settings=Settings(allowed_hosts=("evil.example",)))

    def test_no_host_is_refused_and_every_one_of_several_must_be_allowed(self):
        with pytest.raises(HostNotAllowedError, match=r"^host: got none, takes "):
            check()
        with pytest.raises(HostNotAllowedError):
            check(LOCAL, EVIL)

    def test_with_a_token_it_is_the_token_that_counts(self):
        settings = Settings(api_token=TOKEN)
        check(EVIL, ("authorization", f"Bearer {TOKEN}"), settings=settings)

    def test_every_origin_allows_no_host(self):
        with pytest.raises(HostNotAllowedError):
            check(EVIL, settings=Settings(allowed_origins=("*",)))

    def test_what_a_trusted_proxy_says_must_be_allowed_too(self):
        forwarded = ("x-forwarded-host", "evil.example, inner")
        check(LOCAL, forwarded)
        with pytest.raises(HostNotAllowedError, match=r"got 'evil\.example'"):
            check(LOCAL, forwarded, trust_proxy=True)
        # A page can make a browser send that header, but not another Host.
        with pytest.raises(HostNotAllowedError, match=r"got 'evil\.example:8000'"):
            check(EVIL, ("x-forwarded-host", "localhost"), trust_proxy=True)

    def test_behind_a_trusted_proxy_the_servers_own_origin_is_the_proxys(self):
        settings = Settings(allowed_hosts=("lab.example",))
        headers = LOCAL, ("x-forwarded-host", "lab.example"), ("origin", "https://lab.example")
        check(*headers, method="POST", settings=settings, trust_proxy=True)
        with pytest.raises(OriginNotAllowedError):
            check(*headers, method="POST", settings=settings)

    @pytest.mark.parametrize(
        ("method", "is_websocket"), [("POST", False), ("DELETE", False), ("GET", True)]
    )
    @pytest.mark.parametrize("origin", ["https://evil.example", *NOT_PLAIN[:4], "http://l\u00f6"])
    def test_foreign_pages_change_nothing_and_do_not_listen(self, method, is_websocket, origin):
        with pytest.raises(OriginNotAllowedError, match=r"^origin: got "):
            check(LOCAL, ("origin", origin), method=method, is_websocket=is_websocket)
        local = ("origin", "http://localhost:3000")
        check(LOCAL, local, method=method, is_websocket=is_websocket)
        if not is_websocket:
            check(LOCAL, ("origin", origin))

    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
    def test_two_origins_are_refused_whatever_they_say(self, method):
        local = ("origin", "http://localhost:3000")
        with pytest.raises(OriginNotAllowedError, match=r"^origin: got 2, takes one"):
            check(LOCAL, local, local, method=method)
