"""The arguments of the `phantomlink` command, and the nearest one to what it does not know."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, TypeAlias

from phantomlink import __version__
from phantomlink.captures.arguments import add_capture, add_verify
from phantomlink.evaluation.arguments import add_fit, add_score
from phantomlink.settings.load import describe_settings, flag_of

_USAGE_ERROR = 2
_FLAG = re.compile(r"--[a-z][a-z0-9-]*")
_UNKNOWN_COMMAND = re.compile(r"argument COMMAND: invalid choice: '(.*?)'")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments; ends the process with 2 and one line for those that it does not know.

    Args:
        argv: without the program's name; those of the process when left out.
    """
    parser, commands = make_parser()
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        command = commands[arguments.command]
        command.error(_unknown(unknown[0], _FLAG.findall(command.format_help())))
    return arguments


_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, and which command was meant."""

    commands: Sequence[str] = ()

    def error(self, message: str) -> NoReturn:
        """End the process with a line about what was wrong."""
        if got := _UNKNOWN_COMMAND.match(message):
            message = _unknown(got[1], self.commands)
        self.exit(_USAGE_ERROR, f"{self.prog}: {message} ({self.prog} --help says more)\n")


def _unknown(given: str, known: Sequence[str]) -> str:
    # Without a value: it may be the token.
    name = given.partition("=")[0]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{name!r} is not known{hint}"


def make_parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser, and that of each command."""
    parser = _Parser(
        prog="phantomlink",
        description="Plays a neural recording (NWB) as if an implant were live: spike counts, "
        "cursor kinematics and intention, 40 packets a second, over WebSocket.",
        epilog="Start with: phantomlink serve   (no recording needed: it makes a synthetic one), "
        "then, in another terminal: phantomlink watch",
    )
    parser.add_argument("--version", action="version", version=f"phantomlink {__version__}")
    plain: argparse.ArgumentParser = parser
    commands = plain.add_subparsers(required=True, metavar="COMMAND", dest="command")
    _add_serve(commands)
    _add_watch(commands)
    _add_lsl_watch(commands)
    _add_inspect(commands)
    _add_synth(commands)
    _add_datasets(commands)
    _add_fetch(commands)
    _add_convert(commands)
    add_score(commands)
    add_fit(commands)
    add_capture(commands)
    add_verify(commands)
    parser.commands = tuple(commands.choices)
    return parser, commands.choices


def _add_serve(commands: _Commands) -> None:
    serve = commands.add_parser(
        "serve",
        help="play a recording to WebSocket clients",
        description="Play a recording to WebSocket clients. Every option is also an environment "
        "variable: --port is PHANTOM_PORT.",
    )
    serve.add_argument(
        "recording",
        nargs="*",
        help="an NWB file, or the name of one in the data directory; without it the default "
        "recording, or a synthetic one where there is none; further ones can be chosen by sessions",
    )
    serve.add_argument(
        "--ready-file",
        type=Path,
        metavar="PATH",
        help="write url, port and pid to this file once clients can connect; it is removed at the "
        "end",
    )
    serve.add_argument(
        "--open", action="store_true", help="open the dashboard in a browser once it answers"
    )
    for info in describe_settings():
        default = "" if info.default is None else f" (default: {_shown(info.default)})"
        text = (info.help + default).replace("%", "%%")
        if info.is_boolean:
            group = serve.add_mutually_exclusive_group()
            group.add_argument(
                info.flag, dest=info.name, action="store_const", const="true", help=text
            )
            group.add_argument(
                f"--no-{info.flag[2:]}", dest=info.name, action="store_const", const="false"
            )
        else:
            metavar = info.name.rsplit("_", maxsplit=1)[-1].upper()
            serve.add_argument(info.flag, dest=info.name, metavar=metavar, help=text)
        if info.alias is not None:
            text = f"another name of {info.flag}"
            serve.add_argument(flag_of(info.alias), dest=info.alias, metavar=metavar, help=text)


def _add_watch(commands: _Commands) -> None:
    watch = commands.add_parser(
        "watch",
        help="listen to a stream and check it",
        description="Listen to a stream and check it: rate, gaps, order, shape. Exit code 0 when "
        "every check passes, 1 when one fails.",
    )
    watch.add_argument(
        "target",
        nargs="?",
        metavar="URL or CODE",
        help="a server, a stream (ws://host:port/stream/code), or the code of a session of the "
        "server (default: PHANTOM_URL, or else http://127.0.0.1:8000 as PHANTOM_HOST and "
        "PHANTOM_PORT have it)",
    )
    watch.add_argument(
        "--seconds", type=float, default=10.0, help="how long (default: %(default)s)"
    )
    watch.add_argument(
        "--wait",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="how long to try again while the server is not there yet (default: %(default)s)",
    )
    _add_token(watch)
    watch.add_argument("--json", action="store_true", help="print the result as JSON")
    watch.add_argument("--sample", action="store_true", help="print one packet and stop")


def _add_lsl_watch(commands: _Commands) -> None:
    watch = commands.add_parser(
        "lsl-watch",
        help="receive the LSL streams of a session and check them",
        description="Find the Lab Streaming Layer streams of a session, receive and check them: "
        "rate, jitter, latency, clock offset, losses. Exit code 0 when every check passes, 1 when "
        "one fails, 2 when there is no stream.",
    )
    watch.add_argument("code", metavar="CODE", help="of the session")
    watch.add_argument(
        "--seconds", type=float, default=10.0, help="how long (default: %(default)s)"
    )
    watch.add_argument(
        "--timeout",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="how long to look for the streams (default: %(default)s)",
    )
    watch.add_argument(
        "--source-id",
        metavar="PREFIX",
        help="beginning of the source ids (default: that of PHANTOM_LSL_SOURCE_ID)",
    )
    watch.add_argument(
        "--url",
        help="the server, asked for its position (default: as for watch)",
    )
    _add_token(watch)
    watch.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_token(watch: argparse.ArgumentParser) -> None:
    watch.add_argument(
        "--token",
        help="of the server, where it has one (default: that of PHANTOM_API_TOKEN or "
        "PHANTOM_API_TOKEN_FILE)",
    )


def _add_inspect(commands: _Commands) -> None:
    inspect = commands.add_parser(
        "inspect",
        help="say what a recording has and what it lacks",
        description="Say what a recording has that can be played, and what it lacks.",
    )
    inspect.add_argument("file", help="an NWB file, or the name of a dataset")
    inspect.add_argument("--json", action="store_true", help="print it as JSON")
    from phantomlink.recordings.options import option_names  # noqa: PLC0415

    for info in describe_settings():
        if info.name in option_names():
            metavar = info.name.rsplit("_", maxsplit=1)[-1].upper()
            inspect.add_argument(info.flag, dest=info.name, metavar=metavar, help=info.help)


def _add_synth(commands: _Commands) -> None:
    synth = commands.add_parser(
        "synth",
        help="make a synthetic recording",
        description="Make a synthetic recording like MC_Maze: delayed reaches in a maze, 142 "
        "units of motor cortex, an NWB file. The same seed makes the same file.",
    )
    synth.add_argument("out", type=Path, help="the file to make")
    synth.add_argument("--units", type=int, default=142, help="default: %(default)s")
    synth.add_argument("--trials", type=int, help="default: 100, or as many as --duration takes")
    synth.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    synth.add_argument("--duration", type=float, metavar="SECONDS", help="of the recording")
    synth.add_argument("--overwrite", action="store_true", help="replace a file that is there")


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _add_datasets(commands: _Commands) -> None:
    datasets = commands.add_parser(
        "datasets",
        help="list the recordings that can be played or fetched",
        description="List the recordings of the data directory, and those that `phantomlink fetch` "
        "can get.",
    )
    datasets.add_argument("--json", action="store_true", help="print their cards as JSON")
    _add_data_dir(datasets)


def _add_fetch(commands: _Commands) -> None:
    fetch = commands.add_parser(
        "fetch",
        help="get a recording of the catalogue",
        description="Get a recording of the catalogue into the data directory: resumed where it "
        "broke off, checked against its SHA-256, there whole or not at all.",
    )
    fetch.add_argument("name", metavar="NAME", help="of the dataset; `phantomlink datasets` lists")
    _add_data_dir(fetch)


def _add_convert(commands: _Commands) -> None:
    convert = commands.add_parser(
        "convert",
        help="make a recording (NWB) of another kind of file",
        description="Make an NWB file of a capture (.plj) or of its recipe (.json), of a file of "
        "LSL streams that PhantomLink sent (.xdf), or of spikes that Neo reads (.nev). A capture "
        "is also made an XDF file (OUT.xdf) or a recipe (OUT.json).",
    )
    convert.add_argument("source", type=Path, metavar="IN", help="the file to read")
    convert.add_argument("out", type=Path, metavar="OUT", help="the file to make")
    convert.add_argument(
        "--source",
        dest="recording",
        type=Path,
        metavar="FILE",
        help="the recording that a recipe is of (default: looked for in the data directory)",
    )
    convert.add_argument("--session", metavar="CODE", help="which session of an XDF file")
    convert.add_argument(
        "--binned",
        action="store_true",
        help="a capture's counts are in the NWB file as binned spikes too (ndx-binned-spikes)",
    )
    convert.add_argument("--overwrite", action="store_true", help="replace a file that is there")


def _add_data_dir(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data-dir", help="where recordings are (default: PHANTOM_DATA_DIR, or data)"
    )
