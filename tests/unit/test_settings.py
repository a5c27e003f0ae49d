from fractions import Fraction
from pathlib import Path

import pytest

from phantomlink.errors import RecordingError, SettingsError
from phantomlink.recordings.locate import locate_recording
from phantomlink.settings import Settings
from phantomlink.settings.load import describe_settings, load_settings, unknown_variables
from tools import settings_page


def test_defaults_are_those_of_the_contract():
    settings = load_settings(env={})
    assert settings == Settings()
    assert (settings.host, settings.port, settings.max_sessions) == ("127.0.0.1", 8000, 10)
    assert settings.stream_frequency_hz == 40
    assert settings.session_ttl_seconds == 3600
    assert (settings.loop, settings.trust_proxy) == (True, False)
    assert settings.noise_injection_enabled is False
    assert settings.drift_period_seconds == 60
    assert settings.default_recording_path == Path("data/mc_maze.nwb")


def test_a_flag_wins_over_its_variable():
    env = {"PHANTOM_PORT": "9000", "PHANTOM_LOOP": "off"}
    assert load_settings(env=env).port == 9000
    assert load_settings(env=env).loop is False
    assert load_settings({"port": "9001", "loop": "yes"}, env).port == 9001
    assert load_settings({"port": "9001", "loop": "yes"}, env).loop is True


def test_a_rate_is_kept_exactly():
    assert load_settings({"stream_frequency_hz": "62.5"}, {}).stream_frequency_hz == Fraction(
        125, 2
    )
    assert load_settings({"stream_frequency_hz": "100/3"}, {}).stream_frequency_hz == Fraction(
        100, 3
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "abc"), ("port", "70000"), ("port", "-1"), ("port", ""), ("host", "  "),
        ("stream_frequency_hz", "0"), ("stream_frequency_hz", "1001"),
        ("stream_frequency_hz", "nan"), ("stream_frequency_hz", "1/0"),
        ("max_sessions", "0"), ("session_ttl_seconds", "0"), ("session_ttl_seconds", "inf"),
        ("loop", "maybe"), ("trust_proxy", ""), ("log_level", "LOUD"), ("dataset", "../x"),
        ("noise_std", "-1"), ("noise_std", "nan"), ("drift_amplitude", "1.5"),
        ("drift_period_seconds", "0"), ("noise_seed", "-1"), ("noise_seed", str(2**63)),
        ("noise_injection_enabled", "maybe"), ("dataset", ".."), ("data_dir", ""),
        ("position_series", ""),
        ("state_dir", ""),
        ("allowed_origins", "lab.example"), ("allowed_origins", "https://a/b"),
        ("allowed_origins", "null"), ("allowed_origins", "https://a,,"), ("max_clients", "0"),
        ("max_requests_per_second", "-1"), ("max_requests_per_second", "nan"),
        ("request_burst", "0"), ("max_body_bytes", "1"), ("max_message_bytes", "x"),
        ("max_head_bytes", "100"), ("api_token_file", ""),
        ("log_format", "xml"), ("grace_seconds", "0"), ("grace_seconds", "nan"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("by_flag", [True, False])
def test_a_value_of_the_wrong_form_is_one_line_that_names_it(name, value, by_flag):
    variable = f"PHANTOM_{name.upper()}"
    flags, env = ({name: value}, {}) if by_flag else ({}, {variable: value})
    source = "--" + name.replace("_", "-") if by_flag else variable
    with pytest.raises(SettingsError) as caught:
        load_settings(flags, env)
    message = str(caught.value)
    assert message.startswith(f"{source}: got {value!r}, takes ")
    assert "\n" not in message


TOKEN = "correct-horse-battery-staple"


class TestToken:
    @pytest.mark.parametrize(
        "value",
        [
            "short", "", "x" * 257, "fifteen-letters", "a" * 20 + " b", "a" * 20 + "/=",
            "caf\xe9" * 10, "a" * 20 + "\nb",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("by_flag", [True, False])
    def test_a_wrong_one_is_not_shown(self, value, by_flag):
        flags, env = ({"api_token": value}, {}) if by_flag else ({}, {"PHANTOM_API_TOKEN": value})
        with pytest.raises(SettingsError, match="got something else, takes 16 to 256") as caught:
            load_settings(flags, env)
        assert value == "" or value not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_from_a_variable_or_a_file(self, tmp_path):
        path = tmp_path / "token"
        path.write_text(f"\n {TOKEN}\r\n")
        assert load_settings(env={"PHANTOM_API_TOKEN": TOKEN}).api_token == TOKEN
        settings = load_settings(env={"PHANTOM_API_TOKEN_FILE": str(path)})
        assert settings.api_token == TOKEN
        assert TOKEN not in repr(settings)

    def test_so_is_the_secret_of_nodes(self, tmp_path):
        path = tmp_path / "secret"
        path.write_text(f"{TOKEN}\n")
        env = {"PHANTOM_CLUSTER_SECRET_FILE": str(path)}
        settings = load_settings(env=env)
        assert (settings.cluster_secret, settings.api_token) == (TOKEN, None)
        assert TOKEN not in repr(settings)
        with pytest.raises(SettingsError, match="cluster_secret_file: got both"):
            load_settings({"cluster_secret": TOKEN}, env)

    def test_both_are_one_too_many(self, tmp_path):
        (tmp_path / "token").write_text(TOKEN)
        with pytest.raises(SettingsError, match="got both"):
            load_settings({"api_token_file": str(tmp_path / "token")}, {"PHANTOM_API_TOKEN": TOKEN})

    @pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 30, b"x" * 5000, None])
    def test_a_file_without_one_stops_the_start(self, tmp_path, content):
        path = tmp_path / "token"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(SettingsError, match="the token file") as caught:
            load_settings(env={"PHANTOM_API_TOKEN_FILE": str(path)})
        assert "short" not in str(caught.value)


def test_origins_are_read_as_a_list():
    def origins(raw):
        return load_settings({"allowed_origins": raw}, {}).allowed_origins

    assert origins("https://Lab.example, http://10.0.0.5:3000") == (
        "https://lab.example",
        "http://10.0.0.5:3000",
    )
    assert origins("http://[2001:db8::1]:80") == ("http://[2001:db8::1]:80",)
    assert origins("*") == ("*",)


class TestAnAlias:
    """`max_connections` was the name of `max_sessions`."""

    def test_either_name_will_do_and_so_will_both_if_they_agree(self):
        for flags, env in (
            ({"max_connections": "3"}, {}),
            ({}, {"PHANTOM_MAX_CONNECTIONS": "3"}),
            ({}, {"PHANTOM_MAX_CONNECTIONS": "3", "PHANTOM_MAX_SESSIONS": " 3"}),
            ({"max_sessions": "3"}, {"PHANTOM_MAX_CONNECTIONS": "4"}),
            ({"max_connections": "3"}, {"PHANTOM_MAX_SESSIONS": "4"}),
        ):
            assert load_settings(flags, env).max_sessions == 3
        assert unknown_variables({"PHANTOM_MAX_CONNECTIONS": "3"}) == ()

    @pytest.mark.parametrize(
        ("flags", "env", "said"),
        [
            (
                {},
                {"PHANTOM_MAX_CONNECTIONS": "3", "PHANTOM_MAX_SESSIONS": "4"},
                "PHANTOM_MAX_SESSIONS and PHANTOM_MAX_CONNECTIONS: got '4' and '3', takes one",
            ),
            (
                {"max_connections": "3", "max_sessions": "4"},
                {},
                "--max-sessions and --max-connections: got '4' and '3', takes one",
            ),
            ({}, {"PHANTOM_MAX_CONNECTIONS": "x"}, "PHANTOM_MAX_CONNECTIONS: got 'x', takes a"),
        ],
    )
    def test_two_that_differ_stop_the_start(self, flags, env, said):
        with pytest.raises(SettingsError) as caught:
            load_settings(flags, env)
        assert str(caught.value).startswith(said)


def test_misspelt_variables_are_noticed():
    env = {"PHANTOM_PROT": "1", "PHANTOM_PORT": "1", "PHANTOM_TEST_RECORDINGS": "x", "HOME": "y"}
    env["PHANTOM_URL"] = "http://of-clients:8000"
    assert unknown_variables(env) == (
        "PHANTOM_PROT is not a setting of this version and is ignored; did you mean PHANTOM_PORT?",
    )


def test_every_setting_is_documented_as_it_is():
    """Mend it by `python tools/settings_page.py`."""
    text = settings_page.PAGE.read_text(encoding="utf-8")
    assert text == settings_page.page_of(text, describe_settings())


class TestWhichRecording:
    def test_a_path_or_a_name_in_the_data_directory(self, tmp_path):
        (tmp_path / "mine.nwb").touch()
        settings = Settings(data_dir=tmp_path)
        for wanted in ("mine", str(tmp_path / "mine.nwb")):
            assert locate_recording(settings, wanted) == tmp_path / "mine.nwb"

    def test_a_dataset_of_a_folder_by_the_name_that_the_catalogue_gives_it(self, tmp_path):
        for place in ("a/mine.nwb", "b/mine.nwb", "b/other.nwb"):
            (tmp_path / place).parent.mkdir(exist_ok=True)
            (tmp_path / place).touch()
        settings = Settings(data_dir=tmp_path)
        for wanted, place in (("b~mine", "b/mine.nwb"), ("other", "b/other.nwb")):
            assert locate_recording(settings, wanted) == tmp_path / place
        with pytest.raises(RecordingError, match="phantomlink fetch mc_rtt"):
            locate_recording(settings, "mc_rtt")

    def test_the_settings_file_when_none_is_named(self, tmp_path):
        (tmp_path / "mine.nwb").touch()
        settings = Settings(data_dir=tmp_path, dataset="mine")
        assert locate_recording(settings, None) == tmp_path / "mine.nwb"

    @pytest.mark.parametrize("wanted", ["other", "other.nwb", "sub/other", None])
    def test_one_that_is_missing_is_an_error_that_says_what_is_there(self, tmp_path, wanted):
        (tmp_path / "mine.nwb").touch()
        with pytest.raises(RecordingError, match=r"no such file.*has mine"):
            locate_recording(Settings(data_dir=tmp_path), wanted)

    def test_a_dataset_that_was_named_and_is_missing_is_not_replaced(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(RecordingError, match="no recordings"):
            locate_recording(Settings(dataset="mine"), None)
