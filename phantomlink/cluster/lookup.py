"""Who has which session, asked for by many connections at a time: one question for all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from phantomlink.cluster.shared_directory import DirectoryAwayError, Ownership

_Find = Callable[[Sequence[str]], Awaitable[dict[str, Ownership]]]


class _Question:
    """What is asked next.

    Attributes:
        codes: of the sessions.
        answered: set when it is.
        owners: the answer.
        error: why there is none.
    """

    def __init__(self) -> None:
        self.codes: set[str] = set()
        self.answered = trio.Event()
        self.owners: dict[str, Ownership] = {}
        self.error: DirectoryAwayError | None = None


class OwnerLookup:
    """Asks the directory; while an answer is on its way, questions gather for the next one.

    Args:
        find: as `SharedDirectory.find`.
    """

    def __init__(self, find: _Find) -> None:
        self._find = find
        self._next = _Question()
        self._came = trio.Event()

    async def owner_of(self, code: str) -> Ownership | None:
        """Who has a session; None where there is none. Cancelled: nobody else waits longer.

        Raises:
            DirectoryAwayError: nobody knows.
        """
        question = self._next
        question.codes.add(code)
        self._came.set()
        await question.answered.wait()
        if question.error is not None:
            raise DirectoryAwayError(str(question.error))
        return question.owners.get(code)

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self._came.wait()
            self._came = trio.Event()
            question, self._next = self._next, _Question()
            try:
                question.owners = await self._find(sorted(question.codes))
            except DirectoryAwayError as error:
                question.error = error
            question.answered.set()
