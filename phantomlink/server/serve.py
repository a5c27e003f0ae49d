"""`phantomlink serve` from its first line to its last: port, application, signals, ready file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import trio

from phantomlink.application import Application
from phantomlink.logs import limit_descriptor_lines
from phantomlink.recordings.start_lines import start_lines
from phantomlink.server.front import Server
from phantomlink.server.listening import announce, listen
from phantomlink.server.ready_file import ReadyFile
from phantomlink.server.signals import StopSignals, watch_grace
from phantomlink.service.service import Service
from phantomlink.settings import Settings

logger = logging.getLogger(__name__)


async def serve(
    settings: Settings,
    recording: str | None = None,
    ready_path: Path | None = None,
    opens_browser: bool = False,
    more: Sequence[str] = (),
) -> None:
    """Open the port, start the application, and serve until a signal, also one during the start.

    Args:
        settings: what the server was told.
        recording: path or dataset name; None for the one that the settings name.
        more: paths or names of further datasets.
        ready_path: where a file says that clients can connect; None for no file.
        opens_browser: whether the dashboard is opened in a browser then.

    Raises:
        SettingsError: the port cannot be opened, or the ready file not be written.
        RecordingError: the recording cannot be opened.
    """
    limit_descriptor_lines()
    with ReadyFile(ready_path) as ready:
        async with trio.open_nursery() as nursery:
            signals = StopSignals(ready.remove)
            await nursery.start(signals.watch)
            with signals.starting:
                # The port first: that it is taken should not be learned after a minute of indexing.
                listeners = await listen(settings)
                app = Application(settings, recording, more=more)
                await nursery.start(app.run_service)
                server = Server(app, settings)
                await nursery.start(server.run, listeners)
                service = app.get_service()
                say_what(service)
                opener = nursery if opens_browser else None
                announce(settings, listeners, service.policy.warn_if_exposed, ready, opener)
                signals.has_started = True
                await signals.told.wait()
                ready.remove()
                watch_grace(settings.grace_seconds, server.give_up, ready.remove)
                await server.say_goodbye()
                app.stop()
            nursery.cancel_scope.cancel()


def say_what(service: Service) -> None:
    """Log what is played, and what is odd about it."""
    recording, grid = service.recording, service.bins.grid
    kind = "synthetic recording" if recording.info.is_synthetic else "recording"
    logger.info("Playing %s %s: %s", kind, recording.dataset, recording.path)
    logger.info(
        "%d units, %.1f s, %d trials, %d packets of %g ms",
        len(recording.unit_ids),
        grid.duration_seconds,
        len(recording.trials),
        grid.n_bins,
        grid.bin_size_ms,
    )
    for line in start_lines(recording):
        logger.warning("%s", line)
