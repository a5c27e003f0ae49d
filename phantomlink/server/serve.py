"""`phantomlink serve` from its first line to its last: port, application, signals, ready file."""

from __future__ import annotations

import logging
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import trio

from phantomlink.app import PhantomLinkApp
from phantomlink.errors import SettingsError
from phantomlink.logs import limit_descriptor_lines
from phantomlink.recordings.start_lines import start_lines
from phantomlink.server.addresses import urls_of
from phantomlink.server.front import Server
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
                listeners = await _listen(settings)
                app = PhantomLinkApp(settings, recording, more=more)
                app.nursery = nursery
                # Before the framework's own start, which would log a traceback for a missing file.
                await nursery.start(app.run_service)
                await app.startup()
                server = Server(app, settings)
                await nursery.start(server.run, listeners)
                urls = [url for one in listeners for url in urls_of(*one.socket.getsockname()[:2])]
                _say_what_and_where(app.get_service(), listeners, urls)
                ready.write(urls[0], listeners[0].socket.getsockname()[1])
                if opens_browser:
                    nursery.start_soon(open_dashboard, urls[0], settings.api_token)
                signals.has_started = True
                await signals.told.wait()
                ready.remove()
                watch_grace(settings.grace_seconds, server.give_up, ready.remove)
                await server.say_goodbye()
                await app.shutdown()
            nursery.cancel_scope.cancel()


async def open_dashboard(url: str, token: str | None) -> None:
    """Open the dashboard in the user's browser, with the token where there is one."""
    address = url if token is None else f"{url}/#token={quote(token)}"
    # Looks for programs and starts one.
    if not await trio.to_thread.run_sync(webbrowser.open, address):
        logger.warning("No browser could be opened: open %s", url)


async def _listen(settings: Settings) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(settings.port, host=settings.host)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; "
            "choose another address with --host and --port (--port 0 takes any free one)"
        ) from error


def _say_what_and_where(
    service: Service, listeners: list[trio.SocketListener], urls: list[str]
) -> None:
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
    for listener in listeners:
        service.policy.warn_if_exposed(listener.socket.getsockname()[0])
    for url in urls:
        logger.info("Listening on %s (the dashboard; %s/docs is the API)", url, url)
    logger.info("A first client, in another terminal: phantomlink watch %s", urls[0])
