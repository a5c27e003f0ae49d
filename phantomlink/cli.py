"""The `phantomlink` command: arguments to settings, and a line for whatever goes wrong."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from phantomlink import __version__
from phantomlink.errors import PhantomLinkError
from phantomlink.evaluation.arguments import add_fit, add_score
from phantomlink.settings import describe_settings, flag_of, load_settings, unknown_variables

# What it imports is imported by the command that needs it: `phantomlink --help` answers at once,
# and serving must not pay for making files.
_USAGE_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; answers the exit code.

    Exit codes: 0 done, 1 a check of `watch` or `lsl-watch` or a limit of `score`
    failed, 2 the arguments, a setting or
    a file are wrong (one line on stderr says how), 130 interrupted.
    """
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except PhantomLinkError as error:
        for note in getattr(error, "__notes__", ()):  # where a user's own code failed
            print(note, end="", file=sys.stderr)
        print(f"phantomlink: {error}", file=sys.stderr)
        return _USAGE_ERROR
    except KeyboardInterrupt:
        return 130


def _serve(arguments: argparse.Namespace) -> int:
    import trio  # noqa: PLC0415

    from phantomlink.logs import set_up_logging  # noqa: PLC0415

    given = vars(arguments)
    flags = {
        name: given[name]
        for info in describe_settings()
        for name in (info.name, info.alias)
        if name is not None and given[name] is not None
    }
    settings = load_settings(flags)
    set_up_logging(settings.log_level, settings.log_format)
    from phantomlink.server.front import serve  # noqa: PLC0415

    for line in unknown_variables():
        logging.getLogger(__name__).warning("%s", line)
    try:
        trio.run(serve, settings, arguments.recording)
    except* PhantomLinkError as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
    return 0


def _inspect(arguments: argparse.Namespace) -> int:
    from phantomlink.recordings.inspection.command import run_inspect  # noqa: PLC0415
    from phantomlink.recordings.options import SeriesOptions  # noqa: PLC0415

    options = SeriesOptions(
        position_series=arguments.position_series,
        velocity_series=arguments.velocity_series,
        target_column=arguments.target_column,
        target_position_column=arguments.target_position_column,
    )
    return run_inspect(arguments.file, options, as_json=arguments.json)


def _synth(arguments: argparse.Namespace) -> int:
    from phantomlink.recordings.synthetic import run_synth  # noqa: PLC0415

    return run_synth(
        arguments.out,
        arguments.units,
        arguments.trials,
        arguments.seed,
        arguments.duration,
        arguments.overwrite,
    )


def _watch(arguments: argparse.Namespace) -> int:
    from phantomlink.watch import run_watch  # noqa: PLC0415

    return run_watch(
        arguments.target,
        seconds=arguments.seconds,
        as_json=arguments.json,
        sample=arguments.sample,
        token=arguments.token,
    )


def _lsl_watch(arguments: argparse.Namespace) -> int:
    from phantomlink.watch.lsl import run_lsl_watch  # noqa: PLC0415

    return run_lsl_watch(
        arguments.code,
        seconds=arguments.seconds,
        timeout=arguments.timeout,
        prefix=arguments.source_id,
        url=arguments.url,
        token=arguments.token,
        as_json=arguments.json,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="phantomlink",
        description="Plays a neural recording (NWB) as if an implant were live: spike counts, "
        "cursor kinematics and intention, 40 packets a second, over WebSocket.",
        epilog="Start with: phantomlink serve   (no recording needed: it makes a synthetic one), "
        "then, in another terminal: phantomlink watch",
    )
    parser.add_argument("--version", action="version", version=f"phantomlink {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    _add_serve(commands)
    _add_watch(commands)
    _add_lsl_watch(commands)
    _add_inspect(commands)
    _add_synth(commands)
    add_score(commands)
    add_fit(commands)
    return parser


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serve = commands.add_parser(
        "serve",
        help="play a recording to WebSocket clients",
        description="Play a recording to WebSocket clients. Every option is also an environment "
        "variable: --port is PHANTOM_PORT.",
    )
    serve.add_argument(
        "recording",
        nargs="?",
        help="an NWB file, or the name of one in the data directory; without it the default "
        "recording, or a synthetic one where there is none",
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
    serve.set_defaults(run=_serve)


def _add_watch(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
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
        help="a server, a stream (ws://host:port/stream/code), or the code of a session on this "
        "machine (default: the server of PHANTOM_HOST and PHANTOM_PORT, http://127.0.0.1:8000)",
    )
    watch.add_argument(
        "--seconds", type=float, default=10.0, help="how long (default: %(default)s)"
    )
    _add_token(watch)
    watch.add_argument("--json", action="store_true", help="print the result as JSON")
    watch.add_argument("--sample", action="store_true", help="print one packet and stop")
    watch.set_defaults(run=_watch)


def _add_lsl_watch(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
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
        help="the server, asked for its position (default: that of PHANTOM_HOST and PHANTOM_PORT)",
    )
    _add_token(watch)
    watch.add_argument("--json", action="store_true", help="print the result as JSON")
    watch.set_defaults(run=_lsl_watch)


def _add_token(watch: argparse.ArgumentParser) -> None:
    watch.add_argument(
        "--token",
        help="of the server, where it has one (default: that of PHANTOM_API_TOKEN or "
        "PHANTOM_API_TOKEN_FILE)",
    )


def _add_inspect(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    inspect = commands.add_parser(
        "inspect",
        help="say what a recording has and what it lacks",
        description="Say what a recording has that can be played, and what it lacks.",
    )
    inspect.add_argument("file", type=Path, help="an NWB file")
    inspect.add_argument("--json", action="store_true", help="print it as JSON")
    for info in describe_settings():
        if info.name.startswith(("position_", "velocity_", "target_")):
            inspect.add_argument(info.flag, dest=info.name, metavar="NAME", help=info.help)
    inspect.set_defaults(run=_inspect)


def _add_synth(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    synth = commands.add_parser(
        "synth",
        help="make a synthetic recording",
        description="Make a synthetic recording like MC_Maze: delayed reaches in a maze, 142 "
        "units of motor cortex, an NWB file. The same seed makes the same data.",
    )
    synth.add_argument("out", type=Path, help="the file to make")
    synth.add_argument("--units", type=int, default=142, help="default: %(default)s")
    synth.add_argument("--trials", type=int, help="default: 100, or as many as --duration takes")
    synth.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    synth.add_argument("--duration", type=float, metavar="SECONDS", help="of the recording")
    synth.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    synth.set_defaults(run=_synth)


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
