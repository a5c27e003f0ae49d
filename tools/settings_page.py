"""Writes the tables of docs/reference/settings.md from the settings, in groups for a reader.

    python tools/settings_page.py

Run it when a setting is added or changes. A setting that no group names stops it: put it into one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from phantomlink.settings.load import SettingInfo, describe_settings

PAGE = Path(__file__).parents[1] / "docs/reference/settings.md"
BEGIN, END = "<!-- settings: made by tools/settings_page.py -->", "<!-- end of settings -->"
GROUPS = {
    "The ten that matter first": "host port data_dir dataset max_sessions api_token "
    "allowed_origins lsl_enabled state_dir log_level",
    "Playing": "stream_frequency_hz loop session_ttl_seconds",
    "Recordings": "position_series velocity_series target_column target_position_column "
    "target_position_series counts_series units_table trials_table spike_time_unit "
    "behaviour_offset_seconds trials_offset_seconds external_links recordings_memory_mb "
    "catalog_fetch",
    "Perturbations of sessions that ask for none": "noise_injection_enabled noise_std "
    "drift_amplitude drift_period_seconds noise_seed",
    "Who may enter": "api_token_file allowed_hosts trust_proxy",
    "Decoders": "models_dir",
    "Limits": "max_clients max_clients_per_session max_clients_per_address max_viewers "
    "max_pending_connections max_pending_connections_per_address max_requests_per_second "
    "request_burst max_body_bytes max_message_bytes max_head_bytes",
    "Slow clients": "client_queue_seconds client_queue_packets client_queue_bytes "
    "client_behind_seconds ping_interval_seconds ping_timeout_seconds",
    "Lab Streaming Layer": "lsl_scope lsl_stream_name lsl_source_id lsl_stream_type lsl_float32 "
    "lsl_max_sessions",
    "BRAND graphs": "brand_url brand_count_type brand_max_entries",
    "Captures": "capture_dir max_captures capture_max_mb capture_total_mb capture_min_free_mb",
    "Timing": "spin_share realtime cpu_affinity",
    "Processes and nodes": "processes cluster_url cluster_secret cluster_secret_file "
    "cluster_prefix cluster_lease_seconds cluster_grace_seconds mirror_clients node_name node_url",
    "Log and end": "log_format grace_seconds",
}


def tables(settings: Sequence[SettingInfo]) -> str:
    """The groups, each with its table.

    Raises:
        ValueError: a setting is in no group, or a group names what is no setting.
    """
    left = {info.name: info for info in settings}
    lines: list[str] = []
    for title, names in GROUPS.items():
        lines += ["", f"## {title}", "", "| variable | flag | takes | default | what it does |"]
        lines += ["|---|---|---|---|---|"]
        for name in names.split():
            if name not in left:
                raise ValueError(f"{title}: {name} is no setting")
            lines.append(_row(left.pop(name)))
    if left:
        raise ValueError(f"in no group of tools/settings_page.py: {', '.join(left)}")
    return "\n".join(lines)


def page_of(text: str, settings: Sequence[SettingInfo]) -> str:
    """The page with its tables made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables(settings)}\n\n{END}{after}"


def _row(info: SettingInfo) -> str:
    flag = f"`{info.flag}`" + (f" / `--no-{info.flag[2:]}`" if info.is_boolean else "")
    default = "" if info.default is None else str(info.default)
    if info.is_boolean:
        default = default.lower()
    return f"| `{info.variable}` | {flag} | {info.takes} | {default} | {info.help} |"


def main() -> None:
    text = page_of(PAGE.read_text(encoding="utf-8"), describe_settings())
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
