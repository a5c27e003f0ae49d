"""Process: computes and does nothing else, as the training of a decoder beside the server does.

Talk: hears a config; tells `{"ready": true}`; computes until the parent closes stdin.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ..harness.children import Child, Message, end_with_parent, enter, tell

_START_SECONDS = 30.0


@contextmanager
def computing(n: int) -> Iterator[None]:
    """Parent: meanwhile so many of them compute.

    Raises:
        ChildError: one does not start.
    """
    with ExitStack() as stack:
        for _ in range(n):
            child = Child("jitter.compute", {})
            stack.callback(child.stop)
            child.read(_START_SECONDS)
        yield


def run(_config: Message) -> None:
    """Compute."""
    end_with_parent()
    tell({"ready": True})
    while True:
        pass


if __name__ == "__main__":
    enter(run)
