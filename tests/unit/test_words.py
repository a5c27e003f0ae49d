"""Pages and code are written in plain technical English: words of earlier versions stay away."""

import re

import pytest

from tests.unit.test_docs import NAMES, ROOT, text_of

# What is not written, and what is written instead.
REPLACED = {
    r"\bgive_way\b|\bWayBudget\b": "cpu_yield, YieldBudget",
    r"\bPhaseBook\b": "PhaseAllocator",
    r"\bSlackCollector\b": "IdleGarbageCollector",
    r"\bcomes_last\b": "deferred",
    r"\bcompanions?\b": "output",
    r"\bAttendance\b": "ConsumerPresence",
    r"\bDescribed\b": "StreamDescription",
    r"\b(?:the|a) door\b": "access policy",
    r"\bvisitors?\b": "request identity, client",
    r"\bgreetings?\b": "metadata message",
    r"\b(?:written|moved) aside\b": "written to another file, renamed",
    r"\bmade up for\b": "not sent later",
    r"Session is another|exists and is another": "Session exists with other options",
    r"Is it well": "Health checks",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_page_uses_the_usual_words(name: str) -> None:
    text = re.sub(r"\s+", " ", text_of(name))
    found = {word: usual for word, usual in REPLACED.items() if re.search(word, text)}
    assert found == {}


# Names that code still has, and where; a list that only gets shorter.
STILL_THERE = {
    "greeting": {"outputs/websocket/client.py"},
}


def test_code_uses_the_usual_words() -> None:
    package = ROOT / "phantomlink"
    found = {
        (match[0], path.relative_to(package).as_posix())
        for path in package.rglob("*.py")
        for word in REPLACED
        for match in re.finditer(word, re.sub(r"\s+", " ", path.read_text(encoding="utf-8")))
    }
    assert found == {(word, path) for word, paths in STILL_THERE.items() for path in paths}


def test_a_word_that_is_not_used_is_found() -> None:
    wrong = "give_way WayBudget comes_last a companion Is it well? nothing is made up for"
    assert sum(bool(re.search(word, wrong)) for word in REPLACED) == 5
