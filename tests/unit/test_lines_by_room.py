"""Lines of code are counted without what is not code, in the rooms where modules lie now."""

from __future__ import annotations

from tools.lines_by_room import Module, by_room, code_lines, moves, table

SOURCE = '''"""A module.

With a docstring of three lines.
"""

# A comment.
TEXT = """a text
is code"""


def f() -> str:
    """A docstring."""
    return TEXT  # both
'''


def test_blank_lines_comments_and_docstrings_are_no_code() -> None:
    assert code_lines(SOURCE) == 4
    assert code_lines('"""Only a docstring."""\n') == 0
    assert code_lines("") == 0


def test_a_file_is_followed_over_several_moves() -> None:
    renames = "R100\ta.py\tb.py\n\nR097\tb.py\troom/c.py\nR100\tx.py\ta.py\n"
    assert moves(renames) == {"a.py": "room/c.py", "b.py": "room/c.py", "x.py": "a.py"}


def test_rooms_are_folders_and_modules_at_the_top() -> None:
    modules = [
        Module("phantomlink/rest/views.py", 9, 5),
        Module("phantomlink/rest/openapi/parts.py", 9, 2),
        Module("phantomlink/cli.py", 9, 3),
    ]
    assert by_room(modules) == {"rest": 7, "cli": 3}


def test_the_table_says_what_the_edge_lost() -> None:
    rows = table({"rest": 80, "web": 20, "engine": 10}, {"rest": 70, "web": 10, "client": 5})
    said = {row[:18].strip(): row[18:].split() for row in rows[1:]}
    assert said["the edge"] == ["100", "80", "-20", "%"]
    assert said["all"] == ["110", "85", "-23", "%"]
    assert said["client"] == ["0", "5", "new"]
