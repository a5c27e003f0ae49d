"""Ports of outlets are kept to this machine."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager

from phantomlink.outputs.lsl.loopback import keep_to_loopback, ports_of, service_ports_of


@contextmanager
def listening(kind=socket.SOCK_STREAM, family=socket.AF_INET):
    with socket.socket(family, kind) as sock:
        sock.bind(("", 0))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        yield sock, sock.getsockname()[1]


def device(sock):
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0")


def test_the_ports_of_an_outlet():
    xml = (
        "<info><name>4242</name><v4data_port>16572</v4data_port><v4service_port>16573"
        "</v4service_port><v6data_port>0</v6data_port><v6service_port>16580</v6service_port></info>"
    )
    assert ports_of(xml) == {16572, 16573, 16580}
    assert ports_of("<info />") == frozenset()
    assert service_ports_of(xml) == {16573}


def test_sockets_of_these_ports_hear_this_machine_only_and_others_are_left_alone():
    with (
        listening() as (data, data_port),
        listening(socket.SOCK_DGRAM) as (service, service_port),
        listening() as (other, other_port),
    ):
        before = len(os.listdir("/proc/self/fd"))
        assert keep_to_loopback(frozenset({data_port, service_port}))
        assert device(data) == device(service) == b"lo"
        assert device(other) == b""
        assert len(os.listdir("/proc/self/fd")) == before
        for port in (data_port, other_port):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                client.sendall(b"x")


def test_where_the_system_cannot_it_says_so(monkeypatch):
    monkeypatch.delattr(socket, "SO_BINDTODEVICE")
    assert not keep_to_loopback(frozenset({1}))
