"""Session codes: what a client may ask for, the ones we make up, and those that are secrets.

A private code is known by its form: `private-`, six characters that may be shown, and 128 bits that
may not. So nothing has to remember which sessions are private, over a restart either.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Container

from phantomlink.errors import InvalidParameterError

_CODE = re.compile(r"[A-Za-z0-9_-]{1,64}\Z", re.ASCII)
_PRIVATE = re.compile(r"(private-[0-9a-f]{6})-[0-9a-f]{32}\Z", re.ASCII)

_ADJECTIVES = (
    "agile", "amber", "bold", "brave", "bright", "brisk", "calm", "clear", "clever", "crisp",
    "deep", "eager", "fair", "fast", "fine", "fleet", "fresh", "gentle", "glad", "grand",
    "keen", "kind", "light", "lively", "lucid", "mellow", "merry", "neat", "nimble", "noble",
    "plain", "prime", "proud", "quick", "quiet", "rapid", "ready", "sharp", "silent", "smooth",
    "solid", "steady", "still", "subtle", "swift", "tidy", "vivid", "warm", "wise", "young",
)  # fmt: skip
_NOUNS = (
    "axon", "beta", "bouton", "burst", "cell", "cortex", "cursor", "delta", "dendrite", "field",
    "fiber", "gamma", "ganglion", "glia", "gyrus", "impulse", "lobe", "motor", "myelin", "nerve",
    "neural", "neuron", "node", "nucleus", "pulse", "reach", "reflex", "ripple", "signal",
    "soma", "spike", "spindle", "sulcus", "synapse", "theta", "tract", "train", "vesicle", "wave",
)  # fmt: skip


def is_code(code: object) -> bool:
    """Whether it is 1 to 64 letters, digits, "-" or "_"."""
    return isinstance(code, str) and _CODE.match(code) is not None


def validate_code(code: str) -> str:
    """The code itself, its case kept.

    Raises:
        InvalidParameterError: it is not 1 to 64 letters, digits, "-" or "_".
    """
    if not is_code(code):
        shown = repr(code) if len(repr(code)) <= 80 else repr(code)[:80] + "..."
        raise InvalidParameterError(
            f"session code: got {shown}, takes 1 to 64 letters, digits, '-' or '_'"
        )
    return code


def make_up_code(taken: Container[str]) -> str:
    """A readable code that is not taken, like swift-neural-42."""
    digits = 2
    while True:
        # More digits after some tries, so that this ends however many are taken.
        for _ in range(20):
            number = secrets.randbelow(9 * 10 ** (digits - 1)) + 10 ** (digits - 1)
            code = f"{secrets.choice(_ADJECTIVES)}-{secrets.choice(_NOUNS)}-{number}"
            if code not in taken:
                return code
        digits += 1


def make_private_code() -> str:
    """A code that cannot be guessed: 128 bits behind a beginning that may be shown."""
    return f"private-{secrets.token_hex(3)}-{secrets.token_hex(16)}"


def is_private(code: str) -> bool:
    """Whether a code is a secret: it is not listed, and only shown shortened."""
    return _PRIVATE.match(code) is not None


def shown_code(code: str) -> str:
    """The code as others than its owner may see it, in the log and in figures.

    A shortened one ends in "...", which no code can, so it is never that of another session.
    """
    found = _PRIVATE.match(code)
    return code if found is None else f"{found[1]}..."
