"""Runs a command, and has one line for whatever goes wrong that is not our bug."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from phantomlink.cli.arguments import parse
from phantomlink.cli.streams import drop_output, open_streams
from phantomlink.errors import PhantomLinkError, leaves
from phantomlink.files.shown import shown
from phantomlink.settings import Settings
from phantomlink.settings.load import describe_settings, load_settings, unknown_variables

# What a command imports is imported by it: `phantomlink --help` answers at once, and serving must
# not pay for making files.

_USAGE_ERROR = 2
_INTERRUPTED = 130
_NO_READER = 141
_LINE_CHARACTERS = 2000


def run(argv: Sequence[str] | None) -> int:
    """Run the command that the arguments name; see `phantomlink.cli.main`."""
    open_streams()
    try:
        arguments = parse(argv)
        if arguments.command != "serve":
            _restore_signals()
        command = _COMMANDS.get(arguments.command) or arguments.run
        code = int(command(arguments))
        sys.stdout.flush()
    except PhantomLinkError as error:
        for note in getattr(error, "__notes__", ()):  # where a user's own code failed
            print(note, end="", file=sys.stderr)
        print(f"phantomlink: {shown(str(error), _LINE_CHARACTERS)}", file=sys.stderr)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        drop_output()
        return _NO_READER
    except OSError as error:
        # A full disk under the output, or too few descriptors: nothing of the program's.
        drop_output()
        print(f"phantomlink: {shown(str(error))}", file=sys.stderr)
    else:
        return code
    return _USAGE_ERROR


def _restore_signals() -> None:
    """Let a command be interrupted as Python programs are; `serve` has ways of its own."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _serve(arguments: argparse.Namespace) -> int:
    from phantomlink.logs import set_up_logging  # noqa: PLC0415
    from phantomlink.recordings.synthetic_default import made_meanwhile  # noqa: PLC0415

    given = vars(arguments)
    flags = {
        name: given[name]
        for info in describe_settings()
        for name in (info.name, info.alias)
        if name is not None and given[name] is not None
    }
    settings = load_settings(flags)
    set_up_logging(settings.log_level, settings.log_format)
    for line in unknown_variables():
        logging.getLogger(__name__).warning("%s", line)
    recording, *more = arguments.recording or [None]
    # The imports take half as long as making it.
    with made_meanwhile(settings, recording), _no_collections():
        import trio  # noqa: PLC0415

        from phantomlink.scheduling.running_time import RunningClock  # noqa: PLC0415

        server = _server_of(settings)
    failure: BaseException | None = None
    try:
        trio.run(
            server,
            settings,
            recording,
            arguments.ready_file,
            arguments.open,
            more,
            clock=RunningClock(),
        )
    except* (PhantomLinkError, OSError) as group:
        # Raised in here it might be put in a group again.
        failure = next(leaves(group))
    if failure is not None:
        raise failure from None
    return 0


@contextmanager
def _no_collections() -> Iterator[None]:
    """Collect no garbage meanwhile; what is imported stays, and no collection looks at it again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        # Two full collections less until clients can connect, of 60 ms each.
        gc.freeze()
        if was_enabled:
            gc.enable()


def _server_of(settings: Settings) -> Callable[..., Awaitable[None]]:
    """What serves. The process that only starts others imports nothing that plays."""
    if settings.processes == 1 and settings.cluster_url is None:
        from phantomlink.server.serve import serve  # noqa: PLC0415

        return serve
    from phantomlink.cluster.parent import serve_processes  # noqa: PLC0415

    return serve_processes


def _inspect(arguments: argparse.Namespace) -> int:
    from phantomlink.recordings.inspection.command import run_inspect  # noqa: PLC0415
    from phantomlink.recordings.options import option_names, series_options  # noqa: PLC0415

    told = {
        name: value for name in option_names() if (value := getattr(arguments, name)) is not None
    }
    options = series_options(load_settings(told, env={}))
    is_there = os.path.lexists(arguments.file)
    data_dir = None if is_there else load_settings({}).data_directory
    return run_inspect(arguments.file, options, arguments.json, data_dir)


def _datasets(arguments: argparse.Namespace) -> int:
    from phantomlink.recordings.catalogue.command import run_datasets  # noqa: PLC0415

    return run_datasets(_data_directory(arguments), as_json=arguments.json)


def _fetch(arguments: argparse.Namespace) -> int:
    from phantomlink.recordings.fetch.command import run_fetch  # noqa: PLC0415

    return run_fetch(arguments.name, _data_directory(arguments))


def _convert(arguments: argparse.Namespace) -> int:
    if arguments.source.suffix in (".plj", ".json"):
        from phantomlink.captures.convert import convert_capture  # noqa: PLC0415

        return convert_capture(
            arguments.source,
            arguments.out,
            arguments.recording,
            overwrite=arguments.overwrite,
            with_binned=arguments.binned,
        )
    from phantomlink.recordings.convert.command import run_convert  # noqa: PLC0415

    return run_convert(
        arguments.source,
        arguments.out,
        session=arguments.session,
        overwrite=arguments.overwrite,
    )


def _data_directory(arguments: argparse.Namespace) -> Path:
    told = {} if arguments.data_dir is None else {"data_dir": arguments.data_dir}
    return load_settings(told).data_directory


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
        wait_seconds=arguments.wait,
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


# Those of other parts say themselves what runs them.
_COMMANDS = {
    "serve": _serve,
    "watch": _watch,
    "lsl-watch": _lsl_watch,
    "inspect": _inspect,
    "synth": _synth,
    "datasets": _datasets,
    "fetch": _fetch,
    "convert": _convert,
}
