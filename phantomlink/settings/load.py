"""Reads the settings from flags and the environment, and describes them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from phantomlink.errors import SettingsError
from phantomlink.files.regular import read_regular
from phantomlink.settings import Meaning, Settings
from phantomlink.settings.forms import TOKEN

ENV_PREFIX = "PHANTOM_"
# Read by tests and by clients, not by the server: they must not look like misspelt settings.
_NOT_OURS = frozenset({"PHANTOM_DANDI_API", "PHANTOM_TEST_RECORDINGS", "PHANTOM_URL"})
_MAX_TOKEN_FILE_BYTES = 4096
_ALSO_IN_A_FILE = ("api_token", "cluster_secret")


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """One setting as help texts and pages show it.

    `alias` is an earlier name of it, which is still taken.
    """

    name: str
    alias: str | None
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
            alias=f.metadata["meaning"].alias,
            variable=variable_of(f.name),
            flag=flag_of(f.name),
            default=f.default,
            is_boolean=isinstance(f.default, bool),
            takes=f.metadata["meaning"].form.takes,
            help=f.metadata["meaning"].help,
        )
        for f in fields(Settings)
    )


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return ENV_PREFIX + name.upper()


def flag_of(name: str) -> str:
    """The flag of a setting."""
    return "--" + name.replace("_", "-")


def load_settings(
    flags: Mapping[str, str] | None = None, env: Mapping[str, str] | None = None
) -> Settings:
    """Build the settings: a flag wins over its variable, a variable over the default.

    Args:
        flags: raw texts by name of the setting or its alias, as given on the command line.
        env: the environment; `os.environ` when left out.

    Raises:
        SettingsError: a value has the wrong form; the message is one line.
    """
    flags = flags or {}
    env = os.environ if env is None else env
    values: dict[str, Any] = {}
    for f in fields(Settings):
        meaning: Meaning = f.metadata["meaning"]
        names = [name for name in (f.name, meaning.alias) if name is not None]
        given = [(flag_of(name), flags[name]) for name in names if name in flags] or [
            (variable_of(name), env[variable_of(name)])
            for name in names
            if variable_of(name) in env
        ]
        if not given:
            continue
        parsed = [_parse(source, raw, meaning) for source, raw in given]
        if parsed[0] != parsed[-1]:
            sources = " and ".join(source for source, _ in given)
            got = " and ".join(repr(raw) for _, raw in given)
            raise SettingsError(f"{sources}: got {got}, takes one value: they are one setting")
        values[f.name] = parsed[0]
    for name in _ALSO_IN_A_FILE:
        file = f"{name}_file"
        if file in values:
            if name in values:
                raise SettingsError(f"{name} and {file}: got both, takes one of them")
            values[name] = read_token_file(values[file])
    return Settings(**values)


def _parse(source: str, raw: str, meaning: Meaning) -> Any:
    try:
        return meaning.form.parse(raw)
    except (ValueError, ZeroDivisionError) as error:
        got = "something else" if meaning.is_secret else repr(raw)
        cause = None if meaning.is_secret else error
        raise SettingsError(f"{source}: got {got}, takes {meaning.form.takes}") from cause


def read_token_file(path: Path) -> str:
    """The token in a file, without the blanks around it.

    Raises:
        SettingsError: the file cannot be read, or has something else in it.
    """
    try:
        return str(TOKEN.parse(read_regular(path, _MAX_TOKEN_FILE_BYTES).decode()))
    except OSError as error:
        raise SettingsError(f"the token file {path}: {error.strerror or error}") from error
    except ValueError:
        # Without what is there, and what it came from: it may be nearly the token.
        raise SettingsError(
            f"the token file {path}: got something else, takes {TOKEN.takes}"
        ) from None


def unknown_variables(env: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Lines about variables with our prefix that name no setting: misspelt, most likely."""
    env = os.environ if env is None else env
    infos = describe_settings()
    known = [info.variable for info in infos]
    known += [variable_of(info.alias) for info in infos if info.alias is not None]
    lines = []
    for name in sorted(env):
        if name.startswith(ENV_PREFIX) and name not in known and name not in _NOT_OURS:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            lines.append(f"{name} is not a setting of this version and is ignored{hint}")
    return tuple(lines)
