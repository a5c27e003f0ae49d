"""Pages, messages and code are in plain technical English: what STYLE.md replaces stays away."""

import re

import pytest

from tests.unit.test_docs import NAMES, ROOT, text_of

# What is not written, and what is written instead: anywhere in pages and code, messages and
# docstrings included.
REPLACED = {
    r"give_way|gave_way|GIVE_WAY|\bWayBudget\b": "cpu_yield, YieldBudget",
    r"\bPhaseBook\b|phase_book": "PhaseAllocator",
    r"\bSlackCollector\b|slack_collector": "IdleGarbageCollector",
    r"\bcomes_last\b": "deferred",
    r"\bcompanions?\b": "output",
    r"\bAttendance\b|\battendance\b": "ConsumerPresence",
    r"\bDescribed\b": "StreamDescription",
    r"\b(?:the|a) door\b": "access policy",
    r"\b[Vv]isitors?\b": "request identity, client",
    r"[Gg]reeting": "metadata message",
    r"\b(?:written|moved) aside\b": "written to another file, renamed",
    r"\bmade up for\b": "not sent later",
    r"\bis no time\b": "a timestamp must be corrupt",
    r"want it any ?more": "a cancelled caller returns at once",
    r"Session is another|exists and is another": "Session exists with other options",
    r"Is it well": "Health checks",
}
# Names of modules, classes and functions that say nothing to somebody who has never seen the code.
MODULES = {"turn", "door", "crowd", "visitor", "greeting", "answer", "aside", "talk", "words"}
MODULES |= {"supply", "companion", "attendance", "utils", "helpers", "misc", "common"}
FOLDERS = ("phantomlink", "tools", "examples")
CODE = sorted(path for name in FOLDERS for path in (ROOT / name).rglob("*.py"))
SCRIPTS = sorted((ROOT / "phantomlink/web/static").rglob("*.js"))
OTHERS = sorted([*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "examples").rglob("*.yml")])


def replaced_words(text: str) -> dict[str, str]:
    text = re.sub(r"\s+", " ", text)
    return {word: usual for word, usual in REPLACED.items() if re.search(word, text)}


@pytest.mark.parametrize("name", NAMES)
def test_a_page_uses_the_usual_words(name: str) -> None:
    assert replaced_words(text_of(name)) == {}


def test_code_and_notebooks_use_the_usual_words() -> None:
    own = [path for path in SCRIPTS if "vendor" not in path.parts]
    files = [*CODE, *own, *OTHERS]
    assert len(files) > 400
    found = {
        path.relative_to(ROOT).as_posix(): words
        for path in files
        if (words := replaced_words(path.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_modules_are_named_by_what_they_are() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in CODE if path.stem in MODULES}
    assert names == set()


def test_nothing_is_called_a_supply() -> None:
    named = re.compile(r"(?:def|class) \w*[Ss]uppl(?:y|ies)\b|\b(?:self\.)?suppl(?:y|ies) =")
    found = [path.name for path in CODE if named.search(path.read_text(encoding="utf-8"))]
    assert found == []


def test_a_word_that_is_not_used_is_found() -> None:
    wrong = (
        "give_way WayBudget comes_last a companion Is it\nwell? nothing is made up for, a greeting"
    )
    assert len(replaced_words(wrong)) == 6
