"""Session codes: what a client may ask for, and the ones we make up."""

from __future__ import annotations

import re
import secrets
from collections.abc import Container

from phantomlink.errors import InvalidParameterError

_CODE = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")

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


def validate_code(code: str) -> str:
    """The code itself, its case kept.

    Raises:
        InvalidParameterError: it is not 1 to 64 letters, digits, "-" or "_".
    """
    if not isinstance(code, str) or not _CODE.match(code):
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
