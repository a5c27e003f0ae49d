"""The port that is listened on, and what is said and done once clients can connect to it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from urllib.parse import quote

import trio

from phantomlink.errors import SettingsError
from phantomlink.server.addresses import urls_of
from phantomlink.server.ready_file import ReadyFile
from phantomlink.settings import Settings

logger = logging.getLogger(__name__)


async def listen(settings: Settings) -> list[trio.SocketListener]:
    """Open the port.

    Raises:
        SettingsError: it cannot be opened.
    """
    try:
        return await trio.open_tcp_listeners(settings.port, host=settings.host)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; "
            "choose another address with --host and --port (--port 0 takes any free one)"
        ) from error


def announce(
    settings: Settings,
    listeners: Sequence[trio.SocketListener],
    warn_if_exposed: Callable[[str], None],
    ready: ReadyFile,
    nursery: trio.Nursery | None,
) -> None:
    """Say where clients can connect: in the log, in the ready file, and in a browser.

    Args:
        settings: of the server.
        listeners: that are served.
        warn_if_exposed: told each address, warns where strangers may come in.
        ready: is written.
        nursery: in which the dashboard is opened; None where nobody wants that.
    """
    addresses = [listener.socket.getsockname()[:2] for listener in listeners]
    urls = [url for address in addresses for url in urls_of(*address)]
    for host, _ in addresses:
        warn_if_exposed(host)
    for url in urls:
        logger.info("Listening on %s (the dashboard; %s/docs is the API)", url, url)
    logger.info("A first client, in another terminal: phantomlink watch %s", urls[0])
    ready.write(urls[0], addresses[0][1])
    if nursery is not None:
        nursery.start_soon(open_dashboard, urls[0], settings.api_token)


async def open_dashboard(url: str, token: str | None) -> None:
    """Open the dashboard in the user's browser, with the token where there is one."""
    address = url if token is None else f"{url}/#token={quote(token)}"
    if not await trio.to_thread.run_sync(_open_browser, address):
        logger.warning("No browser could be opened: open %s", url)


def _open_browser(address: str) -> bool:
    """Whether a browser could be opened; looks for programs and starts one."""
    import webbrowser  # noqa: PLC0415

    return webbrowser.open(address)
