"""How far LSL streams can be found."""

from __future__ import annotations

import configparser

import pytest

from phantomlink.outputs.lsl.scope import configuration, effective_scope, own_configuration
from phantomlink.settings import LSL_SCOPES


@pytest.mark.parametrize(
    ("scope", "host", "expected"),
    [
        ("auto", "127.0.0.1", "machine"),
        ("auto", "127.8.0.1", "machine"),
        ("auto", "::1", "machine"),
        ("auto", "localhost", "machine"),
        ("auto", "0.0.0.0", "site"),
        ("auto", "192.168.1.7", "site"),
        ("auto", "rig.lab", "site"),
        ("link", "127.0.0.1", "link"),
        ("machine", "0.0.0.0", "machine"),
    ],
)
def test_loopback_servers_keep_to_their_machine_unless_told(scope, host, expected):
    assert effective_scope(scope, host) == expected


def test_every_scope_is_told_to_liblsl_and_no_session_id_hides_the_streams():
    for scope in LSL_SCOPES[1:]:
        parsed = configparser.ConfigParser()
        parsed.read_string(configuration(scope))
        assert parsed["multicast"]["ResolveScope"] == scope
        assert not parsed.has_option("lab", "SessionID")


def test_on_one_machine_nothing_else_is_listened_on():
    parsed = configparser.ConfigParser()
    parsed.read_string(configuration("machine"))
    # An address would take the queries of others from the relay; ports are kept to loopback.
    assert "ListenAddress" not in parsed["multicast"]
    assert parsed["multicast"]["Interfaces"] == "{127.0.0.1}"
    assert parsed["ports"]["IPv6"] == "disable"


def test_a_configuration_of_the_users_own_is_found_where_liblsl_looks(tmp_path):
    home, folder = tmp_path / "home", tmp_path / "work"
    (home / "lsl_api").mkdir(parents=True)
    folder.mkdir()
    assert own_configuration({}, home, folder) in (None, own_configuration({}, home, home))
    in_home = home / "lsl_api" / "lsl_api.cfg"
    in_home.write_text("")
    assert own_configuration({}, home, folder) == in_home
    here = folder / "lsl_api.cfg"
    here.write_text("")
    assert own_configuration({}, home, folder) == here
    named = tmp_path / "mine.cfg"
    assert own_configuration({"LSLAPICFG": str(named)}, home, folder) == here
    named.write_text("")
    assert own_configuration({"LSLAPICFG": str(named)}, home, folder) == named
