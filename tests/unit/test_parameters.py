import math

import pytest

from phantomlink.errors import InvalidParameterError
from phantomlink.rest.parameters import (
    Parameters,
    UnsupportedBodyError,
    client_base_url,
    parse_body,
    parse_integer,
)


@pytest.mark.parametrize("mimetype", ["", "application/json", "text/plain"])
@pytest.mark.parametrize("data", [b"", b"  \r\n"])
def test_an_empty_body_has_no_members(data, mimetype):
    assert parse_body(data, mimetype) == {}


@pytest.mark.parametrize("mimetype", ["", "application/json", "application/merge-patch+json"])
def test_a_body_is_json_unless_it_says_otherwise(mimetype):
    assert parse_body(b'{"a": [1, null]}', mimetype) == {"a": [1, None]}


def test_a_body_that_claims_to_be_something_else_is_415():
    with pytest.raises(UnsupportedBodyError, match="application/x-www-form-urlencoded") as caught:
        parse_body(b'{"a": 1}', "application/x-www-form-urlencoded")
    assert caught.value.http_status == 415


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"[1]", r"body: got \[1\], takes a JSON object"),
        (b"null", "body: got null, takes a JSON object"),
        (b'"x"', "body: got 'x', takes a JSON object"),
        (b"{", "body: not JSON"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b"\xff\xfe", "body: not JSON"),
        (b"[" * 60_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "body: not JSON"),
    ],
)
def test_a_body_that_is_no_object_is_refused(data, says):
    with pytest.raises(InvalidParameterError, match=says) as caught:
        parse_body(data, "application/json")
    assert caught.value.http_status == 422
    assert len(str(caught.value)) < 300


def of(body=None, **query):
    return Parameters(body or {}, {name: value.split(",") for name, value in query.items()})


def test_what_was_not_given_is_none():
    nothing = of({"a": None, "other": 1}, unknown="x")
    assert (nothing.text("a"), nothing.integer("a"), nothing.number("a")) == (None, None, None)


def test_a_member_comes_from_the_body_or_the_query():
    assert of({"a": "x"}).text("a") == of(a="x").text("a") == of({"a": "x"}, a="x").text("a") == "x"
    assert of({"a": -3}).integer("a") == of(a="-3").integer("a") == -3
    assert of({"a": 2.5}).number("a") == of(a="2.5").number("a") == of(a="25e-1").number("a") == 2.5
    assert of({"a": 0}, a="0").integer("a") == 0


@pytest.mark.parametrize("value", [True, False, 1.0, 1.5, "10", [], {}])
def test_a_whole_number_of_a_body_is_nothing_like_one(value):
    with pytest.raises(InvalidParameterError, match=r"^a: got .*, takes a whole number$"):
        of({"a": value}).integer("a")


@pytest.mark.parametrize("value", ["", "1.0", "1e3", " 1", "+1", "0x1", "1_0", "\u0661", "true"])
def test_a_whole_number_of_a_query_is_digits(value):
    with pytest.raises(InvalidParameterError, match=r"^a: got .*, takes a whole number$"):
        of(a=value).integer("a")


@pytest.mark.parametrize("value", [True, "1", [1]])
def test_a_number_of_a_body_is_a_number(value):
    with pytest.raises(InvalidParameterError, match=r"^a: got .*, takes a number$"):
        of({"a": value}).number("a")


@pytest.mark.parametrize("value", ["", "nan", "inf", "1_0", "1 ", "e", ".", "0x1"])
def test_a_number_of_a_query_is_a_number(value):
    with pytest.raises(InvalidParameterError, match=r"^a: got .*, takes a number$"):
        of(a=value).number("a")


def test_a_number_too_large_for_a_double_is_refused_or_infinite():
    with pytest.raises(InvalidParameterError, match="takes a number that a double can hold") as c:
        of({"a": 10**400}).number("a")
    assert len(str(c.value)) < 200
    assert of(a="1e400").number("a") == math.inf


def test_a_text_is_a_text():
    with pytest.raises(InvalidParameterError, match=r"^a: got 42, takes a text$"):
        of({"a": 42}).text("a")


def test_body_and_query_must_not_differ():
    with pytest.raises(InvalidParameterError, match="a: got 1 in the body and 2 in the query"):
        of({"a": 1}, a="2").integer("a")
    with pytest.raises(InvalidParameterError, match="a: got 'x' in the body and 'y' in the query"):
        of({"a": "x"}, a="y").text("a")
    with pytest.raises(InvalidParameterError, match="a: got it 2 times"):
        of(a="1,1").integer("a")


def test_a_number_of_a_path():
    assert parse_integer("trial_id", "42") == 42
    with pytest.raises(InvalidParameterError, match="trial_id: got 'x', takes a whole number"):
        parse_integer("trial_id", "x")


FORWARDED = {
    "Host": "inner:8000",
    "X-Forwarded-Proto": "https, http",
    "X-Forwarded-Host": "lab.example, inner",
}


def test_the_address_is_the_one_that_the_client_used():
    def base(headers, scheme="http", trust_proxy=False):
        return client_base_url(headers, scheme, ("127.0.0.1", 8000), trust_proxy=trust_proxy)

    assert base({"Host": "localhost:8001"}) == "ws://localhost:8001"
    assert base({"Host": "[::1]:8000"}, "https") == "wss://[::1]:8000"
    assert base(FORWARDED) == "ws://inner:8000"
    assert base(FORWARDED, trust_proxy=True) == "wss://lab.example"
    assert base({"Host": "inner:8000"}, trust_proxy=True) == "ws://inner:8000"


@pytest.mark.parametrize("host", ["", "a b", 'x"onload=', "a/b", "user@host", "h\u00f6st"])
def test_what_cannot_be_a_host_is_not_repeated(host):
    assert client_base_url({"Host": host}, "http", ("h", 1), trust_proxy=False) == "ws://h:1"
