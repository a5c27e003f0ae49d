"""Asks every session the same, without keeping a tick from its time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from phantomlink.engine.session import Session
from phantomlink.scheduling.loop_budget import LoopBudget

T = TypeVar("T")


async def of_each(sessions: Iterable[Session], view: Callable[[Session], T]) -> dict[str, T]:
    """What `view` says of each session, by code. A tick that is due comes in between."""
    said, turn = {}, LoopBudget()
    for session in sessions:
        said[session.code] = view(session)
        if turn.is_over:
            await turn.end()
    return said
