"""Process: computes and does nothing else, as the training of a decoder beside the server does.

Talk: hears a config; tells `{"ready": true}`; computes until the parent closes stdin.
"""

from __future__ import annotations

from .talk import Child, end_with_parent, hear, tell

_START_SECONDS = 30.0


class Computing:
    """Parent: so many of them at once.

    Raises:
        ChildError: one does not start.
    """

    def __init__(self, n: int) -> None:
        self._children: list[Child] = []
        try:
            for _ in range(n):
                child = Child("compute", {})
                self._children.append(child)
                child.read(_START_SECONDS)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End them."""
        for child in self._children:
            child.stop()
        self._children.clear()


def main() -> None:
    """Entry of the process."""
    hear()
    end_with_parent()
    tell({"ready": True})
    while True:
        pass


if __name__ == "__main__":
    main()
