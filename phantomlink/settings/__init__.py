"""Settings: read once from flags and the environment, validated, frozen, passed in.

Every field is one fact with one name: field `port` is the variable `PHANTOM_PORT` and the flag
`--port`. A value of the wrong form stops the start with one line that names where it came from,
what it was and what is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from phantomlink.settings.forms import (
    BOOLEAN,
    CPUS,
    DATASET,
    HOSTS,
    NODE_NAME,
    NODE_URL,
    OFFSET,
    ORIGINS,
    PROCESSES,
    REDIS,
    SECONDS,
    SPIKE_TIME_UNIT,
    TOKEN,
    Form,
    number,
    one_of,
    path,
    rate,
    text,
    whole,
)

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOG_FORMATS = ("text", "json")
MIN_RATE_HZ, MAX_RATE_HZ = 1, 1000
MAX_SEED = 2**63 - 1
CATALOG_FETCH = ("off", "listed")
EXTERNAL_LINKS = ("off", "folder")
LSL_SCOPES = ("auto", "machine", "link", "site", "organization", "global")
BRAND_COUNT_TYPES = ("int8", "uint8", "int16", "uint16", "float32", "float64")
DEFAULT_DATA_DIR = Path("data")
DEFAULT_DATASET = "mc_maze"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What belongs to a setting beside its default."""

    form: Form
    help: str
    is_secret: bool
    alias: str | None


def _setting(
    default: Any, form: Form, help: str, *, is_secret: bool = False, alias: str | None = None
) -> Any:
    meaning = Meaning(form, help, is_secret, alias)
    return field(default=default, repr=not is_secret, metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True)
class Settings:
    """What the server was told. Durations in s, rates in Hz."""

    host: str = _setting("127.0.0.1", text("a host name or address"), "address to listen on")
    port: int = _setting(
        8000, whole(0, 65535, "a whole number from 0 to 65535 (0: any free one)"), "TCP port"
    )
    data_dir: Path | None = _setting(
        None, path("a directory"), "where recordings are looked for (default: data)"
    )
    dataset: str | None = _setting(
        None,
        DATASET,
        "recording to play when none is named (default: mc_maze)",
    )
    stream_frequency_hz: Fraction = _setting(
        Fraction(40), rate(MIN_RATE_HZ, MAX_RATE_HZ), "packets a second"
    )
    processes: int = _setting(
        1,
        PROCESSES,
        "processes of `phantomlink serve` that play sessions; one is enough for some 300",
    )
    cluster_url: str | None = _setting(
        None,
        REDIS,
        "Valkey or Redis server where several nodes agree on who plays which session",
        is_secret=True,
    )
    cluster_secret: str | None = _setting(
        None, TOKEN, "by which the nodes know each other", is_secret=True
    )
    cluster_secret_file: Path | None = _setting(
        None, path("a file"), "where that secret is read from, at the start"
    )
    cluster_prefix: str = _setting(
        "phantomlink", text("a word"), "beginning of all keys of the nodes in that server"
    )
    cluster_lease_seconds: float = _setting(
        1.0,
        number(0.5, 10),
        "after which the sessions of a node that says nothing go to others",
    )
    cluster_grace_seconds: float = _setting(
        10.0,
        number(0, 600),
        "that a node plays on which alone cannot reach that server",
    )
    mirror_clients: int = _setting(
        50,
        whole(0, 100_000),
        "viewers of a session of another node that make this one play it too; 0: never",
    )
    node_name: str | None = _setting(
        None, NODE_NAME, "of this node among the others; its host and port if not given"
    )
    node_url: str | None = _setting(
        None, NODE_URL, "where the other nodes and clients reach this one"
    )
    max_sessions: int = _setting(10, whole(1, 10_000), "sessions at once", alias="max_connections")
    session_ttl_seconds: float = _setting(
        3600.0,
        SECONDS,
        "a session without listeners or calls ends after this time",
    )
    loop: bool = _setting(True, BOOLEAN, "start again when the recording has been played")
    trust_proxy: bool = _setting(
        False,
        BOOLEAN,
        "believe X-Forwarded-Proto and X-Forwarded-Host in stream_url, and the last "
        "X-Forwarded-For",
    )
    api_token: str | None = _setting(
        None,
        TOKEN,
        "token that every request must have (default: none is needed)",
        is_secret=True,
    )
    api_token_file: Path | None = _setting(
        None, path("a file"), "where that token is read from, at the start"
    )
    allowed_origins: tuple[str, ...] | None = _setting(
        None,
        ORIGINS,
        "whose pages may use the server, beside its own and those of localhost",
    )
    allowed_hosts: tuple[str, ...] | None = _setting(
        None,
        HOSTS,
        "names by which a server without a token may be called, beside addresses, localhost, "
        "names without a dot and the machine's own",
    )
    max_clients: int = _setting(1000, whole(1, 100_000), "WebSocket clients at once")
    max_viewers: int = _setting(200, whole(1, 100_000), "views of sessions and their list at once")
    max_clients_per_session: int = _setting(
        1000,
        whole(1, 100_000),
        "WebSocket clients of one session at once",
    )
    max_clients_per_address: int = _setting(
        500,
        whole(1, 100_000),
        "WebSocket clients from one address at once",
    )
    max_pending_connections: int = _setting(
        1000,
        whole(1, 100_000),
        "connections at once whose first request has not been let in yet",
    )
    max_pending_connections_per_address: int = _setting(
        500,
        whole(1, 100_000),
        "such connections from one address at once; not behind a trusted proxy",
    )
    max_requests_per_second: float = _setting(
        200.0,
        number(0, 1_000_000, "a number from 0 to 1000000 (0: any number)"),
        "requests that one address may go on sending",
    )
    request_burst: int = _setting(
        1000,
        whole(1, 1_000_000),
        "requests that one address may send at once before that counts",
    )
    max_body_bytes: int = _setting(
        65536,
        whole(1024, 2**30),
        "size of the body of a request",
    )
    max_message_bytes: int = _setting(
        65536,
        whole(125, 2**30),
        "size of a message that a WebSocket client sends",
    )
    max_head_bytes: int = _setting(
        65536,
        whole(4096, 2**24),
        "size of the first line and headers of a request",
    )
    capture_dir: Path | None = _setting(
        None, path("a folder"), "where captures are kept (DATA_DIR/captures)"
    )
    max_captures: int = _setting(4, whole(0, 10_000), "captures at once")
    capture_max_mb: int = _setting(2048, whole(1, 10**9), "MB of one capture")
    capture_total_mb: int = _setting(10_240, whole(1, 10**9), "MB of all captures")
    capture_min_free_mb: int = _setting(
        1024, whole(0, 10**9), "MB that stay free on the disk of the captures"
    )
    lsl_enabled: bool = _setting(True, BOOLEAN, "let sessions be Lab Streaming Layer outlets too")
    lsl_scope: str = _setting(
        "auto",
        one_of(LSL_SCOPES),
        "how far LSL streams can be found (auto: this machine while the server listens on "
        "loopback, else site); an LSL configuration file of yours counts instead",
    )
    lsl_stream_name: str = _setting(
        "PhantomLink", text("a text"), "what the names of LSL streams begin with"
    )
    lsl_source_id: str = _setting(
        "phantomlink", text("a text"), "what the source ids of LSL streams begin with"
    )
    lsl_stream_type: str = _setting("EEG", text("a text"), "type of the LSL stream of spike counts")
    lsl_float32: bool = _setting(
        False, BOOLEAN, "spike counts over LSL as float32 in place of int32"
    )
    lsl_max_sessions: int = _setting(
        8,
        whole(0, 10_000),
        "sessions with LSL outlets at once; more than 8 are not all found by a default client",
    )
    brand_url: str | None = _setting(
        None,
        REDIS,
        "Redis or Valkey server of a BRAND graph, for sessions that are created with brand",
        is_secret=True,
    )
    brand_count_type: str = _setting(
        "int8", one_of(BRAND_COUNT_TYPES), "type of the spike counts in BRAND streams"
    )
    brand_max_entries: int = _setting(
        10_000, whole(100, 10_000_000), "entries that each BRAND stream keeps, about"
    )
    spin_share: float = _setting(
        0.15,
        number(0, 1),
        "share of one core that waiting precisely for deadlines may take",
    )
    realtime: bool = _setting(
        False,
        BOOLEAN,
        "ask for SCHED_FIFO, or else a shorter time slice, and for locked memory",
    )
    cpu_affinity: frozenset[int] | None = _setting(None, CPUS, "CPUs to stay on")
    log_level: str = _setting("INFO", one_of(LOG_LEVELS), "log level")
    log_format: str = _setting("text", one_of(LOG_FORMATS), "lines for people, or JSON objects")
    grace_seconds: float = _setting(
        5.0,
        SECONDS,
        "how long clients may take to leave when the server is told to stop",
    )
    client_queue_seconds: float = _setting(
        2.0,
        SECONDS,
        "packets of this time may wait for a WebSocket client that is slow; then the oldest go",
    )
    client_queue_packets: int = _setting(
        16,
        whole(1, 100_000),
        "so many packets may wait for it where that is more",
    )
    client_queue_bytes: int = _setting(
        4 * 2**20,
        whole(2**20, 2**30),
        "bytes that may wait for it in all",
    )
    client_behind_seconds: float = _setting(
        2.0,
        SECONDS,
        "a client for which packets have been waiting for this time is closed with 4408",
    )
    ping_interval_seconds: float = _setting(20.0, SECONDS, "how often a WebSocket client is pinged")
    ping_timeout_seconds: float = _setting(
        20.0,
        SECONDS,
        "a client that has not answered a ping in this time is closed",
    )
    state_dir: Path | None = _setting(
        None, path("a directory"), "where sessions are kept over a restart (default: nowhere)"
    )
    models_dir: Path | None = _setting(
        None,
        path("a directory"),
        "where fitted decoders are kept (default: models in the user's data directory)",
    )
    position_series: str | None = _setting(
        None,
        text("the name or NWB path of a series"),
        "series that gives x and y; columns as in NAME[:,0:2]",
    )
    velocity_series: str | None = _setting(
        None,
        text("the name or NWB path of a series"),
        "series that gives vx and vy; columns as in NAME[:,0:2]",
    )
    target_column: str | None = _setting(
        None, text("the name of a trial column"), "trial column that gives target_id"
    )
    target_position_column: str | None = _setting(
        None, text("the name of a trial column"), "trial column that gives the targets' places"
    )
    target_position_series: str | None = _setting(
        None,
        text("the name or NWB path of a series"),
        "series that gives the target's place, held from sample to sample",
    )
    counts_series: str | None = _setting(
        None,
        text("the name or NWB path of a series"),
        "series of bins x units that is played in place of spike times",
    )
    units_table: str | None = _setting(
        None, text("the name or NWB path of a table"), "table of units to play"
    )
    trials_table: str | None = _setting(
        None, text("the name or NWB path of a table"), "table of intervals that are the trials"
    )
    spike_time_unit: str = _setting(
        "s", SPIKE_TIME_UNIT, "unit of the stored spike times: s, ms, us or samples@RATE"
    )
    behaviour_offset_seconds: float = _setting(
        0.0, OFFSET, "added to the times of all series, where their clock is another"
    )
    trials_offset_seconds: float = _setting(
        0.0, OFFSET, "added to the times of the trials, where their clock is another"
    )
    external_links: str = _setting(
        "off",
        one_of(EXTERNAL_LINKS),
        "whether files of the recording's folder that it links to are read",
    )
    recordings_memory_mb: int = _setting(
        512,
        whole(1, 1_000_000),
        "memory of all open recordings, MB; those that nobody plays are let go first",
    )
    catalog_fetch: str = _setting(
        "off",
        one_of(CATALOG_FETCH),
        "whether REST may fetch datasets that the catalogue lists",
    )
    noise_injection_enabled: bool = _setting(
        False,
        BOOLEAN,
        "perturb sessions that do not say how, by the noise and drift that follow",
    )
    noise_std: float = _setting(0.5, number(0, 100), "noise on a count c, in units of c + 1")
    drift_amplitude: float = _setting(
        0.3, number(0, 1), "slow drift of the units' gains, relative to 1"
    )
    drift_period_seconds: float = _setting(
        60.0,
        number(0.1, 31_536_000),
        "period of that drift, s",
    )
    noise_seed: int = _setting(
        0,
        whole(0, MAX_SEED, "a whole number from 0 to 2**63 - 1"),
        "seed of the perturbations of sessions that name none",
    )

    @property
    def data_directory(self) -> Path:
        """Where recordings are looked for."""
        return self.data_dir or DEFAULT_DATA_DIR

    @property
    def captures_directory(self) -> Path:
        """Where captures are kept."""
        return self.capture_dir or self.data_directory / "captures"

    @property
    def recording_was_chosen(self) -> bool:
        """Whether somebody said which recording to play, so that a missing one is an error."""
        return self.data_dir is not None or self.dataset is not None

    @property
    def default_recording_path(self) -> Path:
        """The file that is played when none is named."""
        return self.data_directory / f"{self.dataset or DEFAULT_DATASET}.nwb"
