"""The port that is listened on, and what is said and done once clients can connect to it."""

from __future__ import annotations

import logging
import webbrowser
from collections.abc import Sequence
from urllib.parse import quote

import trio

from phantomlink.errors import SettingsError
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


def say_where(urls: Sequence[str]) -> None:
    """Log where clients can connect."""
    for url in urls:
        logger.info("Listening on %s (the dashboard; %s/docs is the API)", url, url)
    logger.info("A first client, in another terminal: phantomlink watch %s", urls[0])


async def open_dashboard(url: str, token: str | None) -> None:
    """Open the dashboard in the user's browser, with the token where there is one."""
    address = url if token is None else f"{url}/#token={quote(token)}"
    # Looks for programs and starts one.
    if not await trio.to_thread.run_sync(webbrowser.open, address):
        logger.warning("No browser could be opened: open %s", url)
