import math
from typing import Annotated, Literal

import msgspec
import pytest

from phantomlink.errors import InvalidParameterError, UnsupportedBodyError
from phantomlink.rest.records import PerturbationJson, Record
from phantomlink.rest.request import RequestHead
from phantomlink.rest.validation import RecordReader, merged, parse_body


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


class Blind(Record, frozen=True):
    test_trials: list[int]


class Example(Record, frozen=True):
    count: int | None = None
    factor: float | None = None
    name: str | None = None
    wanted: bool | None = None
    form: Literal["json", "text"] = "json"
    columns: Annotated[int, msgspec.Meta(ge=100, le=4000)] = 1000
    label: Annotated[str, msgspec.Meta(min_length=1, max_length=3)] = "x"
    blind: Blind | None = None
    perturbation: PerturbationJson = "none"


class Needed(Record, frozen=True):
    models: str


READER = RecordReader(Example)


def of(body=None, query=""):
    return READER.make(merged(READER.values_of_json(body or {}), READER.values_of_query(query)))


def test_what_was_not_given_is_its_default():
    assert of() == Example()
    assert of({"count": None, "factor": None, "form": None}) == Example()
    # Where any value is taken, null is one.
    assert of({"perturbation": None}).perturbation is None


def test_what_is_needed_is_asked_for():
    reader = RecordReader(Needed)
    with pytest.raises(InvalidParameterError, match=r"^models: got none, takes a text$"):
        reader.make(reader.values_of_json({}))


def test_a_member_comes_from_the_body_or_the_query():
    assert of({"name": "x"}) == of(query="name=x") == of({"name": "x"}, "name=x")
    assert of({"count": -3}).count == of(query="count=-3").count == -3
    assert of({"factor": 2.5}) == of(query="factor=2.5") == of(query="factor=25e-1")
    assert of({"count": 0}, "count=0").count == 0
    assert of({"wanted": True}) == of(query="wanted=true")
    assert of({"perturbation": "light"}) == of(query="perturbation=light")
    whole = of({"factor": 3}).factor
    assert (whole, type(whole)) == (3.0, float)


@pytest.mark.parametrize("value", [True, False, 1.0, 1.5, "10", [], {}])
def test_a_whole_number_of_a_body_is_nothing_like_one(value):
    with pytest.raises(InvalidParameterError, match=r"^count: got .*, takes a whole number$"):
        of({"count": value})


@pytest.mark.parametrize("value", ["", "1.0", "1e3", "%201", "%2B1", "0x1", "1_0", "%D9%A1"])
def test_a_whole_number_of_a_query_is_digits(value):
    with pytest.raises(InvalidParameterError, match=r"^count: got .*, takes a whole number$"):
        of(query=f"count={value}")


@pytest.mark.parametrize("value", [True, "1", [1]])
def test_a_number_of_a_body_is_a_number(value):
    with pytest.raises(InvalidParameterError, match=r"^factor: got .*, takes a number$"):
        of({"factor": value})


@pytest.mark.parametrize("value", ["", "nan", "inf", "1_0", "1%20", "e", ".", "0x1"])
def test_a_number_of_a_query_is_a_number(value):
    with pytest.raises(InvalidParameterError, match=r"^factor: got .*, takes a number$"):
        of(query=f"factor={value}")


def test_a_number_too_large_for_a_double_is_refused_or_infinite():
    with pytest.raises(InvalidParameterError, match="takes a number that a double can hold") as c:
        of({"factor": 10**400})
    assert len(str(c.value)) < 200
    assert of(query="factor=1e400").factor == math.inf


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"name": 42}, "name: got 42, takes a text"),
        ({"wanted": "true"}, "wanted: got 'true', takes true or false"),
        ({"form": "xml"}, "form: got 'xml', takes json or text"),
        ({"columns": 99}, "columns: got 99, takes a whole number from 100 to 4000"),
        ({"label": ""}, "label: got '', takes a text of 1 to 3 characters"),
        ({"blind": []}, "blind: got [], takes an object"),
        ({"blind": {}}, "blind.test_trials: got none, takes a list"),
        ({"blind": {"test_trials": [1, "x"]}},
         "blind.test_trials[1]: got 'x', takes a whole number"),
        ({"blind": {"tests": 1}}, "blind.tests: not known; test_trials?"),
        ({"cuont": 1}, "cuont: not known; count?"),
        ({"x" * 200: 1}, "x" * 80 + "...: not known; takes blind, columns, count, factor, "
         "form, label, name, perturbation, wanted"),
        ({"a\nb": 1}, "'a\\nb': not known; takes"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_came_and_what_is_allowed(body, says):
    with pytest.raises(InvalidParameterError) as caught:
        of(body)
    assert str(caught.value).startswith(says)
    assert caught.value.http_status == 422


def test_query_names_that_begin_with_an_underscore_are_left_alone():
    assert of(query="_=17&_x=1&_x=2&name=a") == Example(name="a")
    with pytest.raises(InvalidParameterError, match=r"^nmae: not known; name\?$"):
        of(query="nmae=a")
    # A body has no cache to pass by.
    with pytest.raises(InvalidParameterError, match=r"^_: not known"):
        of({"_": 1})


def test_a_route_that_takes_nothing_says_so():
    with pytest.raises(InvalidParameterError, match=r"^x: not known; takes none$"):
        RecordReader(None).values_of_query("x=1")


def test_body_and_query_must_not_differ():
    with pytest.raises(InvalidParameterError, match="count: got 1 in the body and 2 in the query"):
        of({"count": 1}, "count=2")
    with pytest.raises(InvalidParameterError, match="got 'x' in the body and 'y' in the query"):
        of({"name": "x"}, "name=y")
    with pytest.raises(InvalidParameterError, match="count: got it 2 times"):
        of(query="count=1&count=1")


def test_a_query_of_too_many_names_is_refused():
    with pytest.raises(InvalidParameterError, match="takes at most 1000 names"):
        of(query="&".join(f"a{n}=" for n in range(1001)))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"a": 1, "b": 2, "a": 1}', "member 'a' more than once"),
        (b'{"a": {"b": 1, "b": 1}}', "member 'b' more than once"),
        (b'{"a": "\\ud800"}', "half of a surrogate pair"),
        (b'{"\\uDFFF": 1}', "half of a surrogate pair"),
    ],
)
def test_what_json_would_let_pass_is_refused(data, says):
    with pytest.raises(InvalidParameterError, match=says):
        parse_body(data, "application/json")
    assert parse_body(b'{"a": "\\ud83d\\ude00"}', "") == {"a": "\U0001f600"}


def head_of(headers, **members):
    pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    return RequestHead("GET", "/", headers=pairs, **members)


FORWARDED = {
    "Host": "inner:8000",
    "X-Forwarded-Proto": "https, http",
    "X-Forwarded-Host": "lab.example, inner",
}


def test_the_address_is_the_one_that_the_client_used():
    def base(headers, scheme="http", trust_proxy=False):
        return head_of(headers, scheme=scheme).base_url(trust_proxy=trust_proxy)

    assert base({"Host": "localhost:8001"}) == "ws://localhost:8001"
    assert base({"Host": "[::1]:8000"}, "https") == "wss://[::1]:8000"
    assert base(FORWARDED) == "ws://inner:8000"
    assert base(FORWARDED, trust_proxy=True) == "wss://lab.example"
    assert base({"Host": "inner:8000"}, trust_proxy=True) == "ws://inner:8000"


@pytest.mark.parametrize("host", ["", "a b", 'x"onload=', "a/b", "user@host", "h\u00f6st"])
def test_what_cannot_be_a_host_is_not_repeated(host):
    head = head_of({"Host": host}, server=("h", 1))
    assert head.base_url(trust_proxy=False) == "ws://h:1"
    head = head_of({"Host": host}, server=())
    assert head.base_url(trust_proxy=False, server=("settings", 2)) == "ws://settings:2"
