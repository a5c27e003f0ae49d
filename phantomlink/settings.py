"""Settings: read once from flags and the environment, validated, frozen, passed in.

Every field is one fact with one name: field `port` is the variable `PHANTOM_PORT` and the flag
`--port`. A value of the wrong form stops the start with one line that names where it came from,
what it was and what is taken.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

from phantomlink.errors import SettingsError

ENV_PREFIX = "PHANTOM_"
# Read by the tests, not by the server: naming it must not look like a misspelt setting.
_NOT_OURS = frozenset({"PHANTOM_TEST_RECORDINGS"})

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOG_FORMATS = ("text", "json")
MIN_RATE_HZ, MAX_RATE_HZ = 1, 1000
MAX_SEED = 2**63 - 1
LSL_SCOPES = ("auto", "machine", "link", "site", "organization", "global")
DEFAULT_DATA_DIR = Path("data")
DEFAULT_DATASET = "mc_maze"

# What may stand in a header and in a sub-protocol alike.
_TOKEN = re.compile(r"[A-Za-z0-9._~+-]{16,256}\Z", re.ASCII)
_TOKEN_TAKES = "16 to 256 letters, digits, '-', '.', '_', '~' or '+'"
_MAX_TOKEN_FILE_BYTES = 4096
_ORIGIN = re.compile(
    r"https?://(?:[a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?\Z", re.ASCII
)

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class _Form:
    """How a setting is read: `parse` raises ValueError for what `takes` does not describe."""

    parse: Callable[[str], Any]
    takes: str
    help: str
    is_secret: bool = False


def _text(raw: str) -> str:
    if not raw.strip():
        raise ValueError(raw)
    return raw.strip()


def _boolean(raw: str) -> bool:
    word = raw.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(raw)


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        value = int(raw)
        if not low <= value <= high:
            raise ValueError(raw)
        return value

    return parse


def _seconds(raw: str) -> float:
    value = float(raw)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(raw)
    return value


def _rate(raw: str) -> Fraction:
    value = Fraction(raw.strip())
    if not MIN_RATE_HZ <= value <= MAX_RATE_HZ:
        raise ValueError(raw)
    # A period must be expressible without a rounding that adds up over days.
    return value.limit_denominator(1_000_000)


def _number(low: float, high: float) -> Callable[[str], float]:
    def parse(raw: str) -> float:
        value = float(raw)
        if not low <= value <= high:
            raise ValueError(raw)
        return value

    return parse


def _share(raw: str) -> float:
    value = float(raw)
    if not 0 <= value <= 1:
        raise ValueError(raw)
    return value


def _cpus(raw: str) -> frozenset[int]:
    cpus = frozenset(int(part) for part in raw.split(","))
    if min(cpus) < 0:
        raise ValueError(raw)
    return cpus


def _log_level(raw: str) -> str:
    level = raw.strip().upper()
    if level not in LOG_LEVELS:
        raise ValueError(raw)
    return level


def _lsl_scope(raw: str) -> str:
    scope = raw.strip().lower()
    if scope not in LSL_SCOPES:
        raise ValueError(raw)
    return scope


def _log_format(raw: str) -> str:
    form = raw.strip().lower()
    if form not in LOG_FORMATS:
        raise ValueError(raw)
    return form


def _dataset(raw: str) -> str:
    name = _text(raw).removesuffix(".nwb")
    if Path(name).name != name or name in {".", ".."}:
        raise ValueError(raw)
    return name


def _path(raw: str) -> Path:
    return Path(_text(raw)).expanduser()


def _token(raw: str) -> str:
    token = raw.strip()
    if not _TOKEN.match(token):
        raise ValueError
    return token


def _origins(raw: str) -> tuple[str, ...]:
    origins = tuple(part.strip().lower() for part in raw.split(","))
    if not all(origin == "*" or _ORIGIN.match(origin) for origin in origins):
        raise ValueError(raw)
    return origins


def _setting(
    default: Any,
    parse: Callable[[str], Any],
    takes: str,
    help: str,
    *,
    is_secret: bool = False,
) -> Any:
    form = _Form(parse, takes, help, is_secret)
    return field(default=default, repr=not is_secret, metadata={"form": form})


@dataclass(frozen=True, slots=True)
class Settings:
    """What the server was told. Durations in s, rates in Hz."""

    host: str = _setting("127.0.0.1", _text, "a host name or address", "address to listen on")
    port: int = _setting(
        8000, _integer(0, 65535), "a whole number from 0 to 65535 (0: any free one)", "TCP port"
    )
    data_dir: Path | None = _setting(
        None, _path, "a directory", "where recordings are looked for (default: data)"
    )
    dataset: str | None = _setting(
        None,
        _dataset,
        "the name of a file in the data directory, without .nwb",
        "recording to play when none is named (default: mc_maze)",
    )
    stream_frequency_hz: Fraction = _setting(
        Fraction(40), _rate, f"a number from {MIN_RATE_HZ} to {MAX_RATE_HZ}", "packets a second"
    )
    max_connections: int = _setting(
        10, _integer(1, 10_000), "a whole number from 1 to 10000", "sessions at once"
    )
    session_ttl_seconds: float = _setting(
        3600.0,
        _seconds,
        "a number of seconds above 0",
        "a session without listeners or calls ends after this time",
    )
    loop: bool = _setting(
        True, _boolean, "true or false", "start again when the recording has been played"
    )
    trust_proxy: bool = _setting(
        False,
        _boolean,
        "true or false",
        "believe X-Forwarded-Proto and X-Forwarded-Host in stream_url, and the last "
        "X-Forwarded-For",
    )
    api_token: str | None = _setting(
        None,
        _token,
        _TOKEN_TAKES,
        "token that every request must have (default: none is needed)",
        is_secret=True,
    )
    api_token_file: Path | None = _setting(
        None, _path, "a file", "where that token is read from, at the start"
    )
    allowed_origins: tuple[str, ...] | None = _setting(
        None,
        _origins,
        "origins like https://lab.example, separated by commas, or *",
        "whose pages may use the server, beside its own and those of localhost",
    )
    max_clients: int = _setting(
        1000, _integer(1, 100_000), "a whole number from 1 to 100000", "WebSocket clients at once"
    )
    max_clients_per_session: int = _setting(
        1000,
        _integer(1, 100_000),
        "a whole number from 1 to 100000",
        "WebSocket clients of one session at once",
    )
    max_clients_per_address: int = _setting(
        500,
        _integer(1, 100_000),
        "a whole number from 1 to 100000",
        "WebSocket clients from one address at once",
    )
    max_requests_per_second: float = _setting(
        200.0,
        _number(0, 1_000_000),
        "a number from 0 to 1000000 (0: any number)",
        "requests that one address may go on sending",
    )
    request_burst: int = _setting(
        1000,
        _integer(1, 1_000_000),
        "a whole number from 1 to 1000000",
        "requests that one address may send at once before that counts",
    )
    max_body_bytes: int = _setting(
        65536,
        _integer(1024, 2**30),
        "a whole number from 1024 to 1073741824",
        "size of the body of a request",
    )
    max_message_bytes: int = _setting(
        65536,
        _integer(125, 2**30),
        "a whole number from 125 to 1073741824",
        "size of a message that a WebSocket client sends",
    )
    max_head_bytes: int = _setting(
        65536,
        _integer(4096, 2**24),
        "a whole number from 4096 to 16777216",
        "size of the first line and headers of a request",
    )
    lsl_enabled: bool = _setting(
        True, _boolean, "true or false", "let sessions be Lab Streaming Layer outlets too"
    )
    lsl_scope: str = _setting(
        "auto",
        _lsl_scope,
        f"one of {', '.join(LSL_SCOPES)}",
        "how far LSL streams can be found (auto: this machine while the server listens on "
        "loopback, else site); an LSL configuration file of yours counts instead",
    )
    lsl_stream_name: str = _setting(
        "PhantomLink", _text, "a text", "what the names of LSL streams begin with"
    )
    lsl_source_id: str = _setting(
        "phantomlink", _text, "a text", "what the source ids of LSL streams begin with"
    )
    lsl_stream_type: str = _setting(
        "EEG", _text, "a text", "type of the LSL stream of spike counts"
    )
    lsl_float32: bool = _setting(
        False, _boolean, "true or false", "spike counts over LSL as float32 in place of int32"
    )
    lsl_max_sessions: int = _setting(
        8,
        _integer(0, 10_000),
        "a whole number from 0 to 10000",
        "sessions with LSL outlets at once; more than 8 are not all found by a default client",
    )
    spin_share: float = _setting(
        0.15,
        _share,
        "a number from 0 to 1",
        "share of one core that waiting precisely for deadlines may take",
    )
    realtime: bool = _setting(
        False,
        _boolean,
        "true or false",
        "ask for real-time scheduling (SCHED_FIFO) and locked memory",
    )
    cpu_affinity: frozenset[int] | None = _setting(
        None, _cpus, "CPU numbers, separated by commas", "CPUs to stay on"
    )
    log_level: str = _setting("INFO", _log_level, f"one of {', '.join(LOG_LEVELS)}", "log level")
    log_format: str = _setting(
        "text", _log_format, f"one of {', '.join(LOG_FORMATS)}", "lines for people, or JSON objects"
    )
    grace_seconds: float = _setting(
        5.0,
        _seconds,
        "a number of seconds above 0",
        "how long clients may take to leave when the server is told to stop",
    )
    client_queue_seconds: float = _setting(
        2.0,
        _seconds,
        "a number of seconds above 0",
        "packets of this time may wait for a WebSocket client that is slow; then the oldest go",
    )
    client_queue_packets: int = _setting(
        16,
        _integer(1, 100_000),
        "a whole number from 1 to 100000",
        "so many packets may wait for it where that is more",
    )
    client_queue_bytes: int = _setting(
        4 * 2**20,
        _integer(2**20, 2**30),
        "a whole number from 1048576 to 1073741824",
        "bytes that may wait for it in all",
    )
    client_behind_seconds: float = _setting(
        2.0,
        _seconds,
        "a number of seconds above 0",
        "a client for which packets have been waiting for this time is closed with 4408",
    )
    ping_interval_seconds: float = _setting(
        20.0, _seconds, "a number of seconds above 0", "how often a WebSocket client is pinged"
    )
    ping_timeout_seconds: float = _setting(
        20.0,
        _seconds,
        "a number of seconds above 0",
        "a client that has not answered a ping in this time is closed",
    )
    state_dir: Path | None = _setting(
        None, _path, "a directory", "where sessions are kept over a restart (default: nowhere)"
    )
    position_series: str | None = _setting(
        None, _text, "the name or NWB path of a series", "series that gives x and y"
    )
    velocity_series: str | None = _setting(
        None, _text, "the name or NWB path of a series", "series that gives vx and vy"
    )
    target_column: str | None = _setting(
        None, _text, "the name of a trial column", "trial column that gives target_id"
    )
    target_position_column: str | None = _setting(
        None, _text, "the name of a trial column", "trial column that gives the targets' places"
    )
    noise_injection_enabled: bool = _setting(
        False,
        _boolean,
        "true or false",
        "perturb sessions that do not say how, by the noise and drift that follow",
    )
    noise_std: float = _setting(
        0.5, _number(0, 100), "a number from 0 to 100", "noise on a count c, in units of c + 1"
    )
    drift_amplitude: float = _setting(
        0.3, _number(0, 1), "a number from 0 to 1", "slow drift of the units' gains, relative to 1"
    )
    drift_period_seconds: float = _setting(
        60.0,
        _number(0.1, 31_536_000),
        "a number from 0.1 to 31536000",
        "period of that drift, s",
    )
    noise_seed: int = _setting(
        0,
        _integer(0, MAX_SEED),
        "a whole number from 0 to 2**63 - 1",
        "seed of the perturbations of sessions that name none",
    )

    @property
    def data_directory(self) -> Path:
        """Where recordings are looked for."""
        return self.data_dir or DEFAULT_DATA_DIR

    @property
    def recording_was_chosen(self) -> bool:
        """Whether somebody said which recording to play, so that a missing one is an error."""
        return self.data_dir is not None or self.dataset is not None

    @property
    def default_recording_path(self) -> Path:
        """The file that is played when none is named."""
        return self.data_directory / f"{self.dataset or DEFAULT_DATASET}.nwb"


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """One setting as help texts and pages show it."""

    name: str
    variable: str
    flag: str
    default: Any
    is_boolean: bool
    takes: str
    help: str


def describe_settings() -> tuple[SettingInfo, ...]:
    """Every setting, in the order in which help shows them."""
    return tuple(
        SettingInfo(
            name=f.name,
            variable=ENV_PREFIX + f.name.upper(),
            flag="--" + f.name.replace("_", "-"),
            default=f.default,
            is_boolean=isinstance(f.default, bool),
            takes=f.metadata["form"].takes,
            help=f.metadata["form"].help,
        )
        for f in fields(Settings)
    )


def load_settings(
    flags: Mapping[str, str] | None = None, env: Mapping[str, str] | None = None
) -> Settings:
    """Build the settings: a flag wins over its variable, a variable over the default.

    Args:
        flags: raw texts by field name, as given on the command line.
        env: the environment; `os.environ` when left out.

    Raises:
        SettingsError: a value has the wrong form; the message is one line.
    """
    flags = flags or {}
    env = os.environ if env is None else env
    values: dict[str, Any] = {}
    for f in fields(Settings):
        variable = ENV_PREFIX + f.name.upper()
        if f.name in flags:
            source, raw = "--" + f.name.replace("_", "-"), flags[f.name]
        elif variable in env:
            source, raw = variable, env[variable]
        else:
            continue
        form: _Form = f.metadata["form"]
        try:
            values[f.name] = form.parse(raw)
        except (ValueError, ZeroDivisionError) as error:
            got = "something else" if form.is_secret else repr(raw)
            cause = None if form.is_secret else error
            raise SettingsError(f"{source}: got {got}, takes {form.takes}") from cause
    if "api_token_file" in values:
        if "api_token" in values:
            raise SettingsError("api_token and api_token_file: got both, takes one of them")
        values["api_token"] = read_token_file(values["api_token_file"])
    return Settings(**values)


def read_token_file(path: Path) -> str:
    """The token in a file, without the blanks around it.

    Raises:
        SettingsError: the file cannot be read, or has something else in it.
    """
    try:
        with path.open("rb") as file:
            return _token(file.read(_MAX_TOKEN_FILE_BYTES).decode())
    except OSError as error:
        raise SettingsError(f"the token file {path}: {error.strerror or error}") from error
    except ValueError:
        # Without what is there, and what it came from: it may be nearly the token.
        raise SettingsError(
            f"the token file {path}: got something else, takes {_TOKEN_TAKES}"
        ) from None


def unknown_variables(env: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Lines about variables with our prefix that name no setting: misspelt, most likely."""
    env = os.environ if env is None else env
    known = [info.variable for info in describe_settings()]
    lines = []
    for name in sorted(env):
        if name.startswith(ENV_PREFIX) and name not in known and name not in _NOT_OURS:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            lines.append(f"{name} is not a setting of this version and is ignored{hint}")
    return tuple(lines)
