import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomlink.errors import InvalidParameterError, NotFoundError, PhantomLinkError
from phantomlink.outputs.websocket.admission import Admission, StreamRequest, admit
from phantomlink.recordings.trials import Filter
from phantomlink.wire.encoder import WireFormat

MSGPACK, JSON, COMPACT = WireFormat.MSGPACK, WireFormat.JSON, WireFormat.COMPACT
V2 = "phantomlink.v2.msgpack"
ORIGIN = "http://localhost:3000"
BROWSER = {"origin": ORIGIN, "user_agent": "Mozilla/5.0 (X11; Linux x86_64)"}


@pytest.mark.parametrize(
    ("request_", "wire_format", "subprotocol"),
    [
        (StreamRequest("/stream/a"), MSGPACK, None),
        (StreamRequest("/stream/a", **BROWSER), JSON, None),
        # Programs that send an origin, and one that only calls itself a browser.
        (StreamRequest("/stream/a", origin=ORIGIN), MSGPACK, None),
        (StreamRequest("/stream/a", origin=ORIGIN, user_agent="xMozilla/5.0"), MSGPACK, None),
        (StreamRequest("/stream/a", user_agent="Mozilla/5.0"), MSGPACK, None),
        (StreamRequest("/stream/a", "format=json"), JSON, None),
        (StreamRequest("/stream/a", "format=msgpack", **BROWSER), MSGPACK, None),
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
        (StreamRequest("/stream/a", "format=compact", **BROWSER), COMPACT, None),
        (StreamRequest("/stream/a", subprotocols=[V2, "phantomlink.v1.msgpack"]), COMPACT, V2),
        (StreamRequest("/stream/binary/a", "format=compact"), COMPACT, None),
        (StreamRequest("/stream/binary/a", "format=json", subprotocols=[V2]), COMPACT, V2),
        (StreamRequest("/stream/binary/a", "format=json", **BROWSER), MSGPACK, None),
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
    admission = admit(StreamRequest("/stream/My%2DCode_1", "trial_id=42&reach_id=0&_=17"))
    assert admission.code == "My-Code_1"
    assert admission.filter == Filter(trial_id=42, reach_id=0)


@pytest.mark.parametrize("query", ["trial_id=", "trial_id=x", "target_id=-1", "reach_id=1.0",
                                   "trial_id=1&trial_id=2", "trial_id=1e3", "trial_id=%31%30x",
                                   "reach_id=9999999999999999999999", "trial_id=٣",
                                   "format=xml", "format=", "format=json&format=json",
                                   "trail_id=1", "x=y"])  # fmt: skip
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


@given(st.text(), st.text(), st.none() | st.text(), st.text(), st.lists(st.text()))
def test_whatever_comes_is_admitted_or_refused_and_nothing_else(
    path, query, origin, user_agent, subprotocols
):
    request = StreamRequest("/stream/" + path, query, origin, user_agent, subprotocols)
    try:
        admission = admit(request)
    except PhantomLinkError as error:
        assert 400 <= error.http_status < 500
    else:
        assert 1 <= len(admission.code) <= 64
