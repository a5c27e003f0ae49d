"""What a server says does nothing to the terminal of who watches it."""

import io

import pytest
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from phantomlink.watch.outcome import tell
from phantomlink.watch.plain import Plain, plain

EVIL = "\x1b[2J\x1b]0;owned\x07 \u202ereversed \x9b31m"
ESCAPED = r"\x1b[2J\x1b]0;owned\x07 \u202ereversed \x9b31m"


@pytest.mark.parametrize("text", ["", "plain", "μ ▁ 🧠", "two\nlines"])
def test_other_text_stays_as_it_is(text):
    assert plain(text) == text


def test_whatever_rich_prints_is_plain():
    table = Table("name")
    table.add_row(EVIL)
    out = io.StringIO()
    Console(file=out, width=200, no_color=True).print(Plain(Group(Text(EVIL, style="bold"), table)))
    # rich takes the bell out by itself.
    assert out.getvalue().count(ESCAPED.replace(r"\x07", "")) == 2
    assert plain(out.getvalue()) == out.getvalue()


def test_what_is_told_meanwhile_is_plain(capsys):
    tell(EVIL, None)
    assert capsys.readouterr().err == f"phantomlink: {ESCAPED}\n"
