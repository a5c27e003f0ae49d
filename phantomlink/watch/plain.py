"""What a server says, as a terminal may be given it: a stranger's text may hold its commands."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment


def plain(text: str) -> str:
    """The text with everything escaped that is not shown as itself; line ends stay."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter == "\n" or letter.isprintable() else _escaped(letter) for letter in text
    )


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape", errors="backslashreplace").decode("ascii")


@dataclass(frozen=True, slots=True)
class Plain:
    """Anything that rich prints, with its texts made plain."""

    shown: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.shown, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)
