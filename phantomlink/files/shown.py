"""Text of strangers as people are shown it: one line, no control characters, not endless."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

LINE_CHARACTERS = 300
"""Longest text inside one line of a message."""
TEXT_CHARACTERS = 2000
"""Longest text that stands by itself: a description, say."""

# Control, format (bidirectional overrides among them), surrogate, private and unassigned
# characters, line and paragraph separators: a terminal or a log could take them for its own.
_UNSHOWN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def shown(text: str, at_most: int = LINE_CHARACTERS) -> str:
    """The text on one line, what cannot be shown as escapes, cut where it is longer."""
    part = "".join(map(_shown_character, text[:at_most]))
    return part if len(text) <= at_most else f"{part}... ({len(text)} characters)"


def cut(text: str, at_most: int = TEXT_CHARACTERS) -> str:
    """The text as it is, cut where it is longer: for clients, which escape by themselves."""
    return text if len(text) <= at_most else f"{text[:at_most]}... ({len(text)} characters)"


def without_folders(text: str, *files: Path) -> str:
    """The text without the folders of these files: for clients, whom the server's do not concern.

    What else lies in these folders loses them, too.
    """
    for file in files:
        for path in (file, file.absolute()):
            folder = str(path)[: -len(path.name)]
            if len(folder) > 1:
                # Not inside another path, one in the recording say.
                text = re.sub(rf"(?<![\w./~-]){re.escape(folder)}", "", text)
    return text


def _shown_character(character: str) -> str:
    if character == " " or unicodedata.category(character) not in _UNSHOWN:
        return character
    return character.encode("unicode_escape", errors="backslashreplace").decode("ascii")
