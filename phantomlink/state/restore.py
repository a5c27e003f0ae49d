"""Sessions of an earlier run come back: at their position, waiting, paused or stopped."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from phantomlink.engine.session import Session
from phantomlink.engine.session_codes import shown_code
from phantomlink.errors import BinRangeError, PhantomLinkError
from phantomlink.state.file import SessionState

logger = logging.getLogger(__name__)


async def bring_back(
    kept: Sequence[SessionState],
    remake: Callable[[SessionState], Awaitable[Session]],
    *,
    at_most: int,
) -> None:
    """Make the sessions again that were kept. One that cannot be is said, and left out.

    Args:
        kept: what is known of them.
        remake: makes a new session of the same name, bins and speed.
        at_most: so many, the newest: the others would only make room for each other.
    """
    coming = newest(kept, at_most)
    n_back = 0
    for state in coming:
        shown = shown_code(state.code)
        extra = {"session": shown}
        try:
            session = await remake(state)
            n_back += 1
            session.created_at = state.created_at
            session.put_back(
                state.bin_index,
                sequence_number=state.sequence_number,
                loop=state.loop,
                is_paused=state.is_paused,
                is_stopped=state.is_stopped,
            )
        except BinRangeError as error:
            logger.warning("Session %s begins anew: %s", shown, error, extra=extra)
        except PhantomLinkError as error:
            logger.warning("Session %s does not come back: %s", shown, error, extra=extra)
    if coming:
        logger.info("Sessions of the last run that are back: %d", n_back)


def newest(kept: Sequence[SessionState], at_most: int) -> list[SessionState]:
    """Those that come back, in the order in which they do; that there are others is said."""
    chosen = sorted(kept, key=lambda state: state.created_at)[-at_most:]
    # The default dataset is open already; what others need must not keep its sessions waiting.
    chosen.sort(key=lambda state: state.dataset is not None)
    if len(chosen) < len(kept):
        logger.warning(
            "%d sessions of the last run do not come back: there is room for %d",
            *(len(kept) - len(chosen), at_most),
        )
    return chosen
