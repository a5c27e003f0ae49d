import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomlink.access.origins import OriginRule
from phantomlink.errors import (
    InvalidParameterError,
    NotFoundError,
    OriginNotAllowedError,
    PhantomLinkError,
)
from phantomlink.outputs.websocket.admission import Admission, StreamRequest, admit
from phantomlink.recordings.trials import Filter
from phantomlink.wire.encoder import WireFormat

MSGPACK, JSON = WireFormat.MSGPACK, WireFormat.JSON
BROWSER = "http://localhost:3000"


@pytest.mark.parametrize(
    ("request_", "wire_format", "subprotocol"),
    [
        (StreamRequest("/stream/a"), MSGPACK, None),
        (StreamRequest("/stream/a", origin=BROWSER), JSON, None),
        (StreamRequest("/stream/a", "format=json"), JSON, None),
        (StreamRequest("/stream/a", "format=msgpack", origin=BROWSER), MSGPACK, None),
        (
            StreamRequest("/stream/a", "format=json", subprotocols=["phantomlink.v1.msgpack"]),
            MSGPACK,
            "phantomlink.v1.msgpack",
        ),
        (
            StreamRequest("/stream/a", subprotocols=["chat", "phantomlink.v1.json"]),
            JSON,
            "phantomlink.v1.json",
        ),
        (StreamRequest("/stream/a", subprotocols=["chat"]), MSGPACK, None),
        (StreamRequest("/stream/binary/a", "format=json", origin=BROWSER), MSGPACK, None),
        (StreamRequest("/stream/binary/a", subprotocols=["phantomlink.v1.json"]), MSGPACK, None),
        (
            StreamRequest("/stream/binary/a", subprotocols=["phantomlink.v1.msgpack"]),
            MSGPACK,
            "phantomlink.v1.msgpack",
        ),
    ],
)
def test_the_form_is_what_was_asked_for(request_, wire_format, subprotocol):
    assert admit(request_) == Admission("a", Filter(), wire_format, subprotocol)


def test_filters_and_an_encoded_code():
    admission = admit(StreamRequest("/stream/My%2DCode_1", "trial_id=42&reach_id=0&x=y"))
    assert admission.code == "My-Code_1"
    assert admission.filter == Filter(trial_id=42, reach_id=0)


@pytest.mark.parametrize("query", ["trial_id=", "trial_id=x", "target_id=-1", "reach_id=1.0",
                                   "trial_id=1&trial_id=2", "trial_id=1e3", "trial_id=%31%30x",
                                   "reach_id=9999999999999999999999", "trial_id=٣",
                                   "format=xml", "format=", "format=json&format=json"])  # fmt: skip
def test_what_is_not_a_filter_or_a_format_is_refused_by_name(query):
    with pytest.raises(InvalidParameterError, match=query.split("=")[0]):
        admit(StreamRequest("/stream/a", query))


@pytest.mark.parametrize(
    "code", ["", "a/b", "a%2Fb", "a b", "%0d%0aX: y", "x" * 65, "é", "..", "a%00"]
)
def test_what_is_not_a_code_is_refused(code):
    with pytest.raises(InvalidParameterError, match="session code"):
        admit(StreamRequest(f"/stream/{code}"))


def test_another_path_is_no_stream():
    with pytest.raises(NotFoundError):
        admit(StreamRequest("/streams/a"))


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://localhost:3000", "lab.example:8000", True),
        ("https://127.0.0.1", "lab.example:8000", True),
        ("http://[::1]:5173", "lab.example:8000", True),
        ("http://dash.localhost", "lab.example:8000", True),
        ("http://lab.example:8000", "lab.example:8000", True),
        ("http://LAB.example:8000", "lab.EXAMPLE:8000", True),
        ("https://lab.example", "lab.example", True),
        ("https://lab.example:443", "lab.example", True),
        ("http://lab.example", "lab.example:8000", False),
        ("http://lab.example:8000", "lab.example", False),
        ("https://evil.example", "localhost:8000", False),
        ("https://localhost.evil.example", "localhost:8000", False),
        ("http://evillocalhost", "localhost:8000", False),
        ("null", "localhost:8000", False),
        ("file://localhost", "localhost:8000", False),
        ("http://[::1", "localhost:8000", False),
        ("http://localhost:99999", "localhost:8000", False),
        ("", "", False),
    ],
)  # fmt: skip
def test_origins(origin, host, allowed):
    assert OriginRule().allows(origin, host) is allowed
    if not allowed:
        with pytest.raises(OriginNotAllowedError):
            admit(StreamRequest("/stream/a", host=host, origin=origin))


@given(st.text(), st.text(), st.none() | st.text(), st.lists(st.text()))
def test_whatever_comes_is_admitted_or_refused_and_nothing_else(path, query, origin, subprotocols):
    request = StreamRequest("/stream/" + path, query, "localhost:8000", origin, subprotocols)
    try:
        admission = admit(request)
    except PhantomLinkError as error:
        assert 400 <= error.http_status < 500
    else:
        assert 1 <= len(admission.code) <= 64
