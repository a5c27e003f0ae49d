"""Frames are found in bytes however these are cut."""

from hypothesis import given
from hypothesis import strategies as st

from phantomlink.cluster.frames import FrameTracker

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def frame(opcode, length, masked):
    head = bytes([0x80 | opcode])
    flag = 0x80 * masked
    if length < 126:
        head += bytes([flag | length])
    elif length < 65536:
        head += bytes([flag | 126]) + length.to_bytes(2, "big")
    else:
        head += bytes([flag | 127]) + length.to_bytes(8, "big")
    return head + b"MASK" * masked + bytes(length)


frames = st.lists(
    st.builds(
        frame,
        st.sampled_from([1, 2, 9, 10]),
        st.sampled_from([0, 1, 5, 13, 125, 126, 700, 65536]),
        st.booleans(),
    ),
    max_size=6,
)


@given(frames, st.lists(st.integers(1, 2000), max_size=60))
def test_it_is_between_frames_where_one_ends(frames, cuts):
    data = HEAD + b"".join(frames)
    ends, end = set(), len(HEAD)
    ends.add(end)
    for each in frames:
        end += len(each)
        ends.add(end)
    tracker, at = FrameTracker(), 0
    for cut in [*cuts, len(data)]:
        piece = data[at : at + cut]
        tracker.feed(piece)
        at += len(piece)
        assert tracker.is_between == (at in ends)
    assert tracker.n_data == sum(each[0] & 0x0F in {1, 2} for each in frames)
    assert not tracker.has_closed


@given(st.integers(1, 70))
def test_a_close_is_noticed(cut):
    before = HEAD + frame(1, 3, masked=True)
    data, tracker = before + frame(8, 2, masked=True), FrameTracker()
    for at in range(0, len(data), cut):
        tracker.feed(data[at : at + cut])
        assert not tracker.has_closed or at + cut > len(before)
    assert tracker.has_closed
