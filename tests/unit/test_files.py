"""Files as answers: whole, in part, or not at all."""

from contextlib import aclosing

import pytest

from phantomlink.rest.files import file_response
from phantomlink.rest.request import RequestHead
from phantomlink.rest.response import PIECE_BYTES

SIZE = PIECE_BYTES + 1000
DATA = bytes(k % 251 for k in range(SIZE))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "capture.nwb"
    path.write_bytes(DATA)
    return path


async def ask(file, **headers):
    given = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    return await file_response(RequestHead("GET", "/x", headers=given), file, "text/x")


async def body_of(response):
    async with aclosing(response.pieces()) as pieces:
        return [piece async for piece in pieces]


async def test_a_file_is_sent_in_bounded_pieces(file):
    response = await ask(file)
    assert (response.status, response.content_type) == (200, "text/x")
    pieces = await body_of(response)
    assert [len(piece) for piece in pieces] == [PIECE_BYTES, 1000]
    assert b"".join(pieces) == DATA
    headers = dict(response.raw_headers())
    assert headers[b"content-length"] == str(SIZE).encode()
    assert headers[b"accept-ranges"] == b"bytes"


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [("bytes=0-0", 0, 1), ("bytes=10-19", 10, 20), (f"bytes={SIZE - 5}-", SIZE - 5, SIZE),
     ("bytes=-7", SIZE - 7, SIZE), ("bytes=10-999999999", 10, SIZE)],
)  # fmt: skip
async def test_a_range_of_it_is_what_was_asked_for(file, wanted, start, stop):
    response = await ask(file, range=wanted)
    assert response.status == 206
    assert b"".join(await body_of(response)) == DATA[start:stop]
    headers = dict(response.raw_headers())
    assert headers[b"content-range"] == f"bytes {start}-{stop - 1}/{SIZE}".encode()
    assert headers[b"content-length"] == str(stop - start).encode()


@pytest.mark.parametrize("wanted", ["bytes=0-1,5-6", "lines=1-2", "nonsense", "bytes=5-2"])
async def test_what_is_no_single_range_gets_the_whole(file, wanted):
    assert (await ask(file, range=wanted)).status == 200


async def test_a_range_outside_of_it_is_416(file):
    response = await ask(file, range=f"bytes={SIZE}-")
    assert response.status == 416
    assert (b"content-range", f"bytes */{SIZE}".encode()) in response.raw_headers()


async def test_who_has_it_already_is_not_sent_it_again(file):
    etag = dict((await ask(file)).raw_headers())[b"etag"].decode()
    for known in (etag, f'"other", {etag}', f"W/{etag}"):
        response = await ask(file, if_none_match=known)
        assert (response.status, response.body) == (304, b"")
    assert (await ask(file, if_none_match='"other"')).status == 200
    assert (await ask(file, if_range=etag, range="bytes=0-1")).status == 206
    assert (await ask(file, if_range='"other"', range="bytes=0-1")).status == 200


async def test_a_file_that_has_shrunk_is_no_whole_answer(file):
    response = await ask(file)
    file.write_bytes(DATA[:100])
    with pytest.raises(EOFError, match=r"ends .* bytes early"):
        await body_of(response)
