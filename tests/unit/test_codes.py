import re

import pytest

from phantomlink.engine.session_codes import (
    is_code,
    is_private,
    make_private_code,
    make_up_code,
    shown_code,
    validate_code,
)
from phantomlink.errors import InvalidParameterError
from phantomlink.logs import without_secrets


def test_a_private_code_is_a_code_with_128_bits_that_are_never_shown():
    code = make_private_code()
    assert validate_code(code) == code
    assert is_private(code)
    beginning, secret = code.rsplit("-", 1)
    assert re.fullmatch(r"private-[0-9a-f]{6}", beginning)
    assert re.fullmatch(r"[0-9a-f]{32}", secret)
    assert shown_code(code) == beginning + "..."
    # Nobody can make a session of that name.
    assert not is_code(shown_code(code))


def test_private_codes_differ_where_they_are_secret():
    codes = [make_private_code() for _ in range(200)]
    assert len({code.rsplit("-", 1)[1] for code in codes}) == 200


@pytest.mark.parametrize(
    "code",
    [
        "swift-neural-42", "private-123456", "private-abcdef-" + "0" * 31, "private-" + "0" * 38,
        "private-abcdef-" + "0" * 33, "Private-abcdef-" + "0" * 32, "private-ABCDEF-" + "0" * 32,
        "x-private-abcdef-" + "0" * 32, "private-abcdef-" + "0" * 32 + "\n",
    ],
)  # fmt: skip
def test_other_codes_are_shown_as_they_are(code):
    assert not is_private(code)
    assert shown_code(code) == code


def test_made_up_codes_are_not_private():
    assert not any(is_private(make_up_code(())) for _ in range(100))


def test_the_log_shortens_the_same_codes():
    code = make_private_code()
    shown = shown_code(code)
    assert without_secrets(f"GET /api/sessions/{code}/timing failed") == (
        f"GET /api/sessions/{shown}/timing failed"
    )
    assert without_secrets(f"{code}, {code}") == f"{shown}, {shown}"
    assert without_secrets("Session swift-neural-42 ends") == "Session swift-neural-42 ends"


def test_the_log_strikes_out_a_token_in_a_subprotocol():
    assert without_secrets("b'phantomlink.bearer.abc~d+e, x'") == "b'phantomlink.bearer.***, x'"


@pytest.mark.parametrize("code", [None, 7, b"a", "", "a" * 65, "a\n", "é", "a/b", "٣"])
def test_what_is_no_code(code):
    assert not is_code(code)
    with pytest.raises(InvalidParameterError, match="takes 1 to 64 letters"):
        validate_code(code)
