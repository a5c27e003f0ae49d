from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomlink.engine.selection import Playhead, Selection


@st.composite
def ranges(draw):
    edges = sorted(draw(st.sets(st.integers(0, 300), min_size=2, max_size=20)))
    edges = edges[: len(edges) // 2 * 2]
    return list(zip(edges[::2], edges[1::2], strict=True))


@given(ranges())
def test_positions_are_the_bins_back_to_back(runs):
    bins = [i for start, stop in runs for i in range(start, stop)]
    selection = Selection(runs)
    assert selection.length == len(bins)
    assert [selection.bin_at(k) for k in range(selection.length)] == bins


@given(ranges(), st.integers(0, 310))
def test_seek_goes_to_the_first_match_at_or_after_wrapping(runs, wanted):
    bins = [i for start, stop in runs for i in range(start, stop)]
    expected = next((i for i in bins if i >= wanted), bins[0])
    selection = Selection(runs)
    assert selection.bin_at(selection.position_from(wanted)) == expected


@given(ranges(), st.data(), st.integers(1, 50))
def test_runs_cover_the_selection_in_order_and_wrap(runs, data, at_most):
    bins = [i for start, stop in runs for i in range(start, stop)]
    selection = Selection(runs)
    position = data.draw(st.integers(0, selection.length - 1))

    def flatten(some):
        return [i for start, stop in some for i in range(start, stop)]

    once = list(selection.runs_from(position, at_most, loop=False))
    assert all(0 < stop - start <= at_most for start, stop in once)
    assert flatten(once) == bins[position:]
    looped = flatten(islice(selection.runs_from(position, at_most, loop=True), 700))
    assert looped == (bins[position:] + bins * 700)[: len(looped)]
    assert len(looped) >= 700


@pytest.mark.parametrize("bad", [[], [(3, 3)], [(5, 6), (1, 2)], [(0, 4), (3, 5)], [(-1, 2)]])
def test_what_is_not_sorted_and_disjoint_is_refused(bad):
    with pytest.raises(ValueError, match="range"):
        Selection(bad)


def test_a_playhead_counts_loops_and_never_counts_back():
    head = Playhead(Selection([(2, 4), (10, 11)]), from_bin=3)
    seen = []
    for _ in range(5):
        seen.append((head.bin_index, head.sequence_number, head.loop, head.advance()))
    assert seen == [
        (3, 0, 0, False),
        (10, 1, 0, True),
        (2, 2, 1, False),
        (3, 3, 1, False),
        (10, 4, 1, True),
    ]
    assert head.seek(4) == 10
    assert (head.sequence_number, head.loop) == (5, 2)
