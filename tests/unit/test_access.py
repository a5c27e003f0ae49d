"""Who may come in: the deciders, without a server."""

import hashlib
import hmac
import logging
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomlink.access import token as token_module
from phantomlink.access.access_policy import AccessPolicy
from phantomlink.access.connection_limits import ConnectionLimits
from phantomlink.access.exposure import is_exposed
from phantomlink.access.pending_connections import PendingConnections
from phantomlink.access.request_identity import UNKNOWN_ADDRESS, address_key, read_request_identity
from phantomlink.access.tickets import Tickets
from phantomlink.access.token import TokenCheck
from phantomlink.errors import (
    BadHeadError,
    ForbiddenError,
    NotAuthorizedError,
    PhantomLinkError,
    TooManyClientsError,
    TooManyRequestsError,
)
from phantomlink.settings import Settings

TOKEN = "correct-horse-battery-staple"
RIGHT = b"Bearer " + TOKEN.encode()
AUTH = b"authorization"
PROTOCOL = b"sec-websocket-protocol"
BEARER = b"phantomlink.bearer." + TOKEN.encode()


HOST = (b"host", b"localhost:8000")


def requester(*headers, method="GET", path="/health", peer="10.0.0.1", **how):
    return read_request_identity(method, path, (HOST, *headers), peer, **how)


def passes(*headers, **how):
    """Whether a request has the token; when not, nothing of what it had is said."""
    check = TokenCheck(TOKEN)
    try:
        check.check(requester(*headers, **how))
    except NotAuthorizedError as error:
        assert error.http_status == 401
        assert dict(error.headers)["WWW-Authenticate"].startswith('Bearer realm="phantomlink"')
        said = f"{error}{error.headers}".encode()
        assert b"horse" not in said.lower()
        return False
    return True


class TestTickets:
    FILE = "/api/captures/a/file?format=nwb"

    def takes(self, tickets, target, **how):
        path, _, query = target.partition("?")
        asked = requester(path=path, query=query, **how)
        assert tickets.is_shown_by(asked) is (how.get("method", "GET") == "GET")
        try:
            tickets.take(asked)
        except NotAuthorizedError as error:
            assert error.http_status == 401
            return False
        return True

    @pytest.mark.parametrize("target", [FILE, "/api/models/a/file", "/api/models/%C3%A9/file"])
    def test_it_opens_its_path_once(self, target):
        tickets = Tickets(TOKEN)
        url = tickets.issue(target)
        assert self.takes(tickets, url)
        assert not self.takes(tickets, url)
        assert self.takes(tickets, tickets.issue(target))

    def test_it_opens_no_other_path(self):
        tickets = Tickets(TOKEN)
        url = tickets.issue(self.FILE)
        for other in (url.replace("/a/", "/b/"), url.replace("nwb", "xdf"), url + "0", url[:-1]):
            assert not self.takes(tickets, other)
        assert not self.takes(tickets, f"{self.FILE}&_ticket=")
        assert not self.takes(Tickets("another-token-of-another-server"), url)
        assert self.takes(tickets, url)

    def test_it_ends_after_a_minute(self):
        now = 1000.0
        tickets = Tickets(TOKEN, lambda: now)
        first, second = tickets.issue(self.FILE), tickets.issue(self.FILE)
        now = 1059.0
        assert self.takes(tickets, first)
        now = 1060.0
        assert not self.takes(tickets, second)
        assert not self.takes(tickets, first)

    def test_it_stands_for_the_token_in_a_get_alone(self):
        policy = AccessPolicy(Settings(api_token=TOKEN))
        path, _, query = policy.tickets.issue(self.FILE).partition("?")
        for how in ({"method": "DELETE"}, {"method": "HEAD"}, {"is_websocket": True}):
            with pytest.raises(NotAuthorizedError):
                policy.check(requester(path=path, query=query, **how))
        policy.check(requester(path=path, query=query))
        assert AccessPolicy(Settings()).tickets is None


class TestToken:
    @pytest.mark.parametrize(
        "header",
        [RIGHT, RIGHT.replace(b"Bearer", b"bearer"), RIGHT.replace(b"Bearer ", b"BEARER   ")],
    )
    def test_the_header(self, header):
        assert passes((AUTH, header))
        assert passes((AUTH, header), is_websocket=True)

    @pytest.mark.parametrize(
        "header",
        [
            b"", b"Bearer", b"Bearer ", TOKEN.encode(), b"Basic " + TOKEN.encode(),
            b"Bearer" + TOKEN.encode(), b"Bearer=" + TOKEN.encode(), RIGHT[:-1], RIGHT + b"x",
            RIGHT + b", " + RIGHT, RIGHT.upper(), b"Bearer \xe9\xff" + TOKEN.encode(),
            b"Bearer " + b"x" * 60_000, b"Bearer " + TOKEN.encode() * 2_000, b"Token " + RIGHT,
            b"Bearer\t" + TOKEN.encode(), b"Bearer \x00", b'Bearer "' + TOKEN.encode() + b'"',
        ],
    )  # fmt: skip
    def test_anything_else(self, header):
        assert not passes((AUTH, header))
        # Where there is a header, that is what counts.
        assert not passes((AUTH, header), (PROTOCOL, BEARER), is_websocket=True)

    def test_two_headers_are_never_right(self):
        assert not passes((AUTH, RIGHT), (AUTH, RIGHT))
        assert not passes((AUTH, RIGHT), (AUTH, b"Bearer other"))

    @pytest.mark.parametrize("rest", [b"", b", phantomlink.v1.json", b",a,b", b" ,x"])
    def test_the_first_subprotocol_of_a_websocket(self, rest):
        assert passes((PROTOCOL, BEARER + rest), is_websocket=True)
        assert passes((PROTOCOL, BEARER), (PROTOCOL, b"x"), is_websocket=True)
        # Of a plain request it means nothing.
        assert not passes((PROTOCOL, BEARER + rest))

    @pytest.mark.parametrize(
        "protocol",
        [
            b"", b",", b"phantomlink.bearer.", BEARER[:-1], BEARER + b"x", BEARER.upper(),
            b"phantomlink.v1.json, " + BEARER, b"bearer." + TOKEN.encode(), TOKEN.encode(),
            b"x," + BEARER, b"phantomlink.bearer.caf\xe9", b"phantomlink.bearer." + b"x" * 60_000,
        ],
    )  # fmt: skip
    def test_any_other_subprotocol(self, protocol):
        assert not passes((PROTOCOL, protocol), is_websocket=True)
        assert not passes((PROTOCOL, protocol), (PROTOCOL, BEARER), is_websocket=True)

    @given(st.binary(max_size=80), st.booleans())
    def test_whatever_comes_is_not_the_token(self, value, is_websocket):
        headers = [(AUTH, value), (AUTH, b"Bearer " + value)]
        for one in headers:
            assert not passes(one, is_websocket=is_websocket)
        if is_websocket:
            assert not passes((PROTOCOL, b"phantomlink.bearer." + value), is_websocket=True)

    def test_it_is_compared_in_constant_time(self, monkeypatch):
        compared, compare_digest = [], hmac.compare_digest

        def compare(left, right):
            compared.append((left, right))
            return compare_digest(left, right)

        monkeypatch.setattr(token_module.hmac, "compare_digest", compare)
        assert not passes((AUTH, b"Bearer c"))
        assert passes((AUTH, RIGHT))
        digest = hashlib.sha256(TOKEN.encode()).digest()
        assert compared == [(hashlib.sha256(b"c").digest(), digest), (digest, digest)]

    @pytest.mark.parametrize("path", ["/livez", "/readyz"])
    def test_what_machines_ask_is_open(self, path):
        for method in ("GET", "HEAD"):
            assert passes(path=path, method=method)
            assert passes((AUTH, b"Basic x"), path=path, method=method)
        assert not passes(path=path, method="POST")
        assert not passes(path=path + "/")
        assert not passes(path=path.upper())
        assert not passes(path="/x" + path)

    def test_the_question_before_a_request_of_a_page_is_open(self):
        asks = (b"access-control-request-method", b"POST")
        origin = (b"origin", b"http://localhost:3000")
        assert passes(asks, origin, method="OPTIONS")
        assert not passes(asks, method="OPTIONS")
        assert not passes(origin, method="OPTIONS")
        assert not passes(asks, origin, method="GET")
        assert not passes(asks, origin, method="POST")


@pytest.mark.parametrize(
    ("peer", "key"),
    [
        ("127.0.0.1", "127.0.0.1"), ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"), ("::1", "::1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("2001:DB8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"), ("fe80::1%eth0", "fe80::/64"),
        (None, UNKNOWN_ADDRESS), ("", UNKNOWN_ADDRESS), ("lab.example", UNKNOWN_ADDRESS),
        ("1.2.3", UNKNOWN_ADDRESS), ("1" * 100_000, UNKNOWN_ADDRESS),
        # As proxies write them: with a port, in brackets, with a zone.
        ("203.0.113.7:49152", "203.0.113.7"), ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:443", "2001:db8:1:2::/64"), ("[fe80::1%eth0]:443", "fe80::/64"),
        ("[::ffff:203.0.113.7]:1", "203.0.113.7"), ("203.0.113.7:", UNKNOWN_ADDRESS),
        ("[::1", UNKNOWN_ADDRESS), ("::1]", UNKNOWN_ADDRESS),
        ("[::1]x", UNKNOWN_ADDRESS), ("203.0.113.7:x", UNKNOWN_ADDRESS),
    ],
)  # fmt: skip
def test_addresses_are_counted_by_network(peer, key):
    assert address_key(peer) == key


def test_a_proxy_is_believed_only_when_told_to_and_only_in_what_it_added():
    forwarded = (b"x-forwarded-for", b"1.1.1.1, 2.2.2.2 , 203.0.113.7")
    assert requester(forwarded).address == "10.0.0.1"
    assert requester(forwarded, trust_proxy=True).address == "203.0.113.7"
    # A second header is the later part of the list.
    second = (b"x-forwarded-for", b"203.0.113.8")
    assert requester(forwarded, second, trust_proxy=True).address == "203.0.113.8"
    assert requester(trust_proxy=True).address == "10.0.0.1"
    broken = (b"x-forwarded-for", b"1.1.1.1, <script>\xff")
    assert requester(broken, trust_proxy=True).address == UNKNOWN_ADDRESS


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class TestCrowd:
    def test_each_limit_says_which_it_is(self):
        connection_limits = ConnectionLimits(3, 2, 2)
        with connection_limits.counted("a", "s"), connection_limits.counted("a", "t"):
            with pytest.raises(TooManyClientsError, match=r"from a: there are 2.*PER_ADDRESS") as c:
                connection_limits.check("a", "u")
            assert c.value.http_status == 429
            with connection_limits.counted("b", "s"):
                with pytest.raises(TooManyClientsError, match=r"in all: there are 3") as c:
                    connection_limits.check("c", "u")
                assert (c.value.http_status, c.value.retry_after_seconds) == (503, 5)
            connection_limits.check("b", "s")
            with (
                ConnectionLimits.counted(connection_limits, "b", "s"),
                pytest.raises(TooManyClientsError),
            ):
                connection_limits.check("b", "s")
        connection_limits.check("a", "s")
        assert connection_limits.n_clients == 0

    def test_clients_of_other_processes_count(self):
        connection_limits, told = ConnectionLimits(4, 2, 2), []
        connection_limits.after_change = lambda *change: told.append(change)
        connection_limits.count_elsewhere("1", "a", 1)
        connection_limits.check("a", "s")
        with connection_limits.counted("a", "s"):
            with pytest.raises(TooManyClientsError, match="from a: there are 2"):
                connection_limits.check("a", "t")
            connection_limits.count_elsewhere("1", "b", 2)
            with pytest.raises(TooManyClientsError, match="in all: there are 4"):
                connection_limits.check("c", "t")
            connection_limits.count_elsewhere("1", "b", 0)
            connection_limits.check("c", "t")
        assert told == [("a", 1), ("a", 0)]
        connection_limits.count_elsewhere("1", "a", 2)
        connection_limits.forget_elsewhere(["0", "2"])
        connection_limits.check("a", "s")

    def test_the_limit_of_a_session(self):
        connection_limits = ConnectionLimits(100, 1, 100)
        with connection_limits.counted("a", "s"):
            with pytest.raises(TooManyClientsError, match="of this session: there are 1") as caught:
                connection_limits.check("b", "s")
            assert caught.value.http_status == 503
            connection_limits.check("b", "t")

    def test_those_who_left_are_forgotten(self):
        connection_limits = ConnectionLimits(10, 10, 10)
        for n in range(1000):
            with connection_limits.counted(f"a{n}", f"s{n}"):
                pass
        assert not connection_limits._of_session
        assert not connection_limits._from_address
        with pytest.raises(RuntimeError), connection_limits.counted("a", "s"):
            raise RuntimeError
        assert (connection_limits.n_clients, len(connection_limits._from_address)) == (0, 0)

    def test_asking_is_not_remembered(self):
        connection_limits = ConnectionLimits(10, 10, 10)
        for n in range(1000):
            connection_limits.check(f"a{n}", f"s{n}")
        assert not connection_limits._of_session
        assert not connection_limits._from_address


class TestPendingConnections:
    def test_each_limit_says_which_it_is_once_a_minute(self, caplog):
        clock = Clock()
        pending = PendingConnections(3, 2, clock)
        with pending.counted("10.0.0.1"), pending.counted("10.0.0.1"):
            for _ in range(3):
                with pending.counted("10.0.0.1") as settle:
                    assert settle is None
            assert caplog.text.count("2 from 10.0.0.1 have sent no whole request yet") == 1
            assert "(PHANTOM_MAX_PENDING_CONNECTIONS_PER_ADDRESS)" in caplog.text
            clock.now += 60
            with pending.counted("10.0.0.2") as settle, pending.counted("10.0.0.3") as more:
                assert settle is not None
                assert more is None
            assert "3 in all have sent no whole request yet" in caplog.text
            assert "(PHANTOM_MAX_PENDING_CONNECTIONS)" in caplog.text
        assert pending.n_pending == 0

    def test_who_has_settled_is_not_counted_and_not_twice(self):
        pending = PendingConnections(1, 1)
        with pending.counted("10.0.0.1") as settle:
            settle()
            settle()
            with pending.counted("10.0.0.1") as other:
                assert other is not None
                assert pending.n_pending == 1
        assert pending.n_pending == 0
        with pytest.raises(RuntimeError), pending.counted("10.0.0.1"):
            raise RuntimeError
        assert (pending.n_pending, len(pending._from_address)) == (0, 0)

    def test_behind_a_trusted_proxy_the_address_says_nothing(self):
        settings = Settings(trust_proxy=True, max_pending_connections_per_address=1)
        pending = AccessPolicy(settings).pending_connections
        with pending.counted("10.0.0.1"), pending.counted("10.0.0.1") as settle:
            assert settle is not None


@pytest.mark.parametrize("where", ["path", "query", "name", "value", "method"])
def test_a_head_is_measured_as_a_whole(where):
    policy = AccessPolicy(Settings(max_head_bytes=4096))
    for n_bytes, allowed in ((3900, True), (4097, False)):
        long = "x" * n_bytes
        head = {"path": "/health", "query": "", "name": "a", "value": "b", "method": "GET"}
        head[where] = long
        headers = (HOST, (head["name"].encode(), head["value"].encode()))
        who = read_request_identity(
            head["method"], head["path"], headers, "10.0.0.1", query=head["query"]
        )
        if allowed:
            policy.check(who)
            continue
        with pytest.raises(BadHeadError, match=r"takes 4096 \(PHANTOM_MAX_HEAD_BYTES\)") as caught:
            policy.check(who)
        assert caught.value.http_status == 431


@pytest.mark.parametrize(
    ("address", "exposed"),
    [
        ("127.0.0.1", False), ("127.8.8.8", False), ("::1", False), ("::ffff:127.0.0.1", False),
        ("0.0.0.0", True), ("::", True), ("192.168.1.5", True), ("fe80::1%eth0", True),
        ("::ffff:10.0.0.1", True), ("/run/phantom.sock", False), ("", False),
    ],
)  # fmt: skip
def test_where_others_can_reach_it(address, exposed):
    assert is_exposed(address) is exposed


class TestDoor:
    def test_without_a_token_everybody_is_let_in(self):
        AccessPolicy(Settings()).check(requester((AUTH, b"nonsense")))

    def test_wrong_tokens_use_up_requests_too(self):
        clock = Clock()
        policy = AccessPolicy(
            Settings(api_token=TOKEN, max_requests_per_second=0.5, request_burst=3), clock
        )
        for _ in range(3):
            with pytest.raises(NotAuthorizedError):
                policy.check(requester((AUTH, b"Bearer guess")))
        with pytest.raises(TooManyRequestsError) as caught:
            policy.check(requester((AUTH, RIGHT)))
        error = caught.value
        assert (error.http_status, error.retry_after_seconds) == (429, 2)
        assert str(error).startswith(
            "requests from 10.0.0.1: got more than 0.5 a second after 3 at once"
        )
        policy.check(requester((AUTH, RIGHT), peer="10.0.0.2"))
        clock.now += 2
        policy.check(requester((AUTH, RIGHT)))

    def test_the_open_routes_count_too(self):
        policy = AccessPolicy(Settings(request_burst=2), Clock())
        for _ in range(2):
            policy.check(requester(path="/livez"))
        with pytest.raises(TooManyRequestsError):
            policy.check(requester(path="/livez"))

    def test_what_another_process_has_counted_does_not(self):
        policy = AccessPolicy(Settings(request_burst=1), Clock())
        policy.check(requester())
        policy.check(replace(requester(), is_counted=True))
        with pytest.raises(TooManyRequestsError):
            policy.check(requester())

    def test_it_warns_once_and_only_where_it_is_open(self, caplog):
        caplog.set_level(logging.WARNING)
        locked, opened = AccessPolicy(Settings(api_token=TOKEN)), AccessPolicy(Settings())
        locked.warn_if_exposed("0.0.0.0")
        opened.warn_if_exposed("127.0.0.1")
        assert caplog.text == ""
        opened.warn_if_exposed("192.168.1.5")
        opened.warn_if_exposed("192.168.1.5")
        assert caplog.text.count("Listening on 192.168.1.5, beyond this machine") == 1

    @pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "lab.example", "::"])
    def test_costly_work_needs_a_token_where_others_reach_the_server(self, host):
        with pytest.raises(ForbiddenError, match="captures need PHANTOM_API_TOKEN"):
            AccessPolicy(Settings(host=host)).check_costly("captures")
        AccessPolicy(Settings(host=host, api_token=TOKEN)).check_costly("captures")

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
    def test_costly_work_is_for_everybody_of_this_machine(self, host):
        policy = AccessPolicy(Settings(host=host))
        policy.warn_if_exposed("127.0.0.1")
        policy.check_costly("captures")
        # hypercorn was told to listen elsewhere.
        policy.warn_if_exposed("192.168.1.5")
        with pytest.raises(ForbiddenError):
            policy.check_costly("captures")

    @given(
        st.text(max_size=10),
        st.text(max_size=20),
        st.lists(st.tuples(st.sampled_from([AUTH, PROTOCOL, b"origin"]), st.binary(max_size=50))),
        st.none() | st.text(max_size=50),
        st.booleans(),
        st.booleans(),
    )
    def test_whatever_comes_is_let_in_or_refused_and_nothing_else(
        self, method, path, headers, peer, is_websocket, trust_proxy
    ):
        policy = AccessPolicy(Settings(api_token=TOKEN))
        who = read_request_identity(
            method, path, headers, peer, is_websocket=is_websocket, trust_proxy=trust_proxy
        )
        with pytest.raises(PhantomLinkError):
            policy.check(who)
