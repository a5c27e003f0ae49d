"""Process: computes and does nothing else, as the training of a decoder beside the server does.

Talk: hears a config; tells `{"ready": True}`; computes until the parent ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ..harness.children import Child, Message, end_with_parent, tell

_START_SECONDS = 30.0


@contextmanager
def computing(n: int) -> Iterator[None]:
    """Parent: meanwhile so many of them compute.

    Raises:
        ChildError: one does not start.
    """
    with ExitStack() as stack:
        for _ in range(n):
            stack.enter_context(Child("jitter.compute", {})).read(_START_SECONDS)
        yield


def run(_config: Message) -> None:
    """Compute."""
    end_with_parent()
    tell({"ready": True})
    while True:
        pass
