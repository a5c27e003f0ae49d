"""The rules of a lease: claim, fence and static, on virtual time."""

from hypothesis import given, settings
from hypothesis import strategies as st

from phantomlink.cluster.common_time import SLEW_PER_SECOND_NS, STEP_NS, CommonTime, TimeSample
from phantomlink.cluster.lease import FOREVER_NS, Lease, LeaseTimes, Standing

TTL, GRACE = 1000, 10_000
TIMES = LeaseTimes(TTL, GRACE)


def held(*, since=0, until=2 * TTL):
    """A lease that was renewed each quarter of its length."""
    lease = Lease(TIMES)
    for now in range(since, until + 1, TIMES.renew_ns):
        lease.renewed(now, now)
    return lease


def test_it_ends_a_lease_after_the_renewal_was_sent():
    lease = Lease(TIMES)
    assert not lease.may_play(0)
    lease.renewed(100, 350)
    assert lease.plays_until_ns == 100 + TTL
    assert lease.may_play(100 + TTL)
    assert not lease.may_play(101 + TTL)


def test_it_claims_after_two_leases_in_touch_without_a_break():
    lease = held(until=2 * TTL - 1)
    assert not lease.may_claim(2 * TTL - 1)
    assert lease.may_claim(2 * TTL)
    lease.missed()
    assert not lease.may_claim(2 * TTL)
    lease.renewed(2 * TTL, 2 * TTL)
    assert not lease.may_claim(2 * TTL)


def test_it_asks_its_peers_before_it_ends():
    lease = held()
    lease.missed()
    end = 3 * TTL
    assert not lease.asks_peers(end - TTL // 4 - 1)
    assert lease.asks_peers(end - TTL // 4)
    assert lease.may_play(end - TTL // 4)
    assert not lease.may_change(end - TTL // 4)


def test_a_renewal_is_waited_for_until_the_peers_have_to_be_asked():
    lease = Lease(TIMES)
    assert lease.answer_within_ns(0) == TTL
    lease.renewed(0, 0)
    sent = TIMES.renew_ns
    assert lease.answer_within_ns(sent) == TTL // 2
    assert not lease.asks_peers(sent + lease.answer_within_ns(sent) - 1)
    assert lease.asks_peers(sent + lease.answer_within_ns(sent))
    assert lease.answer_within_ns(TTL) == TIMES.renew_ns


def settled(now, **heard):
    lease = held()
    lease.missed()
    lease.heard(now, **heard)
    return lease


def test_where_no_peer_sees_the_directory_it_is_static_without_limit():
    for known, answers in ((0, []), (1, [False]), (3, [False, False])):
        lease = settled(3 * TTL - 10, n_peers=known, see_directory=answers)
        assert lease.standing is Standing.STATIC
        assert lease.plays_until_ns == FOREVER_NS
        assert not lease.may_change(3 * TTL - 10)
        assert not lease.is_over(FOREVER_NS)


def test_where_a_peer_sees_it_or_none_answers_it_is_cut_off():
    for known, answers in ((1, []), (2, [True]), (3, [False, True])):
        now = 3 * TTL - 10
        lease = settled(now, n_peers=known, see_directory=answers)
        assert lease.standing is Standing.CUT_OFF
        assert lease.may_play(now + GRACE)
        assert not lease.may_change(now)
        assert not lease.is_over(now + GRACE)
        assert lease.is_over(now + GRACE + 1)


def test_who_wakes_behind_its_lease_plays_nothing_until_it_is_settled():
    lease = held()
    lease.missed()
    now = 3 * TTL + 1
    assert not lease.may_play(now)
    assert lease.has_lapsed(now)
    lease.heard(now, n_peers=1, see_directory=[True])
    assert not lease.may_play(now)
    assert lease.is_over(now)


def test_an_answer_of_peers_that_comes_after_the_directory_is_back_changes_nothing():
    lease = held()
    lease.missed()
    lease.renewed(3 * TTL - 20, 3 * TTL - 15)
    lease.heard(3 * TTL - 10, n_peers=1, see_directory=[True])
    assert lease.standing is Standing.HELD


def test_a_static_node_that_is_back_in_touch_need_not_look_but_a_cut_off_one_must():
    static = settled(3 * TTL - 10, n_peers=0, see_directory=[])
    assert not static.has_lapsed(90 * TTL)
    cut_off = settled(3 * TTL - 10, n_peers=1, see_directory=[])
    assert cut_off.has_lapsed(3 * TTL)


class Directory:
    """What it knows of one node: when the lease ends by its own clock, and who has the session."""

    def __init__(self):
        self.lease_end = -1
        self.owner = "owner"


# (time that passes, whether the owner reaches the directory, whether it runs, what peers answer)
STEPS = st.lists(
    st.tuples(
        st.integers(1, 600),
        st.booleans(),
        st.booleans(),
        st.lists(st.booleans(), max_size=2),
    ),
    max_size=80,
)


@settings(max_examples=300, deadline=None)
@given(steps=STEPS, latency=st.integers(0, 200))
def test_nobody_steers_a_session_that_another_has_claimed(steps, latency):
    """One owner that freezes and is cut off, and an heir that never is."""
    directory, now = Directory(), 0
    owner, heir = Lease(TIMES), held(until=0)
    owner.renewed(0, 0)
    directory.lease_end = TTL
    for passes, reaches, runs, answers in steps:
        now += passes
        heir.renewed(now, now)
        if heir.may_claim(now) and directory.lease_end < now and directory.owner == "owner":
            directory.owner = "heir"
        if not runs:
            continue
        if reaches:
            # Sent now, there a while later, answered later still.
            sent, now = now, now + latency
            if directory.owner == "owner":
                directory.lease_end = now + TTL
            if directory.owner == "heir":
                owner.refused()
            else:
                owner.renewed(sent, now)
        else:
            owner.missed()
            if owner.asks_peers(now):
                owner.heard(now, n_peers=2, see_directory=answers)
        if directory.owner == "heir":
            assert not owner.may_change(now)
        if owner.standing is Standing.HELD and owner.may_play(now):
            assert directory.owner == "owner"
            assert owner.plays_until_ns <= directory.lease_end


OFFSETS = st.lists(
    st.tuples(st.integers(1, 60 * 10**9), st.integers(-(10**9), 10**9), st.integers(1, 10**7)),
    min_size=1,
    max_size=30,
)


@given(OFFSETS)
def test_common_time_takes_small_corrections_at_once_and_slews_steps(answers):
    common, now, last = CommonTime(), 0, None
    for passes, offset, round_trip in answers:
        now += passes
        middle = now - round_trip // 2
        sample = TimeSample(now - round_trip, middle + offset, now)
        common.answered(sample)
        if last is not None:
            most = max(STEP_NS, passes * SLEW_PER_SECOND_NS // 10**9)
            assert abs(common.offset_ns - last) <= most
        last = common.offset_ns


def test_common_time_believes_the_quickest_answer():
    common = CommonTime()
    common.answered(TimeSample(0, 1_000_000, 4_000_000))
    assert common.offset_ns == 1_000_000 - 2_000_000
    common.answered(TimeSample(10_000_000, 10_050_000, 10_100_000))
    assert common.offset_ns == 0
    common.answered(TimeSample(20_000_000, 20_000_000, 24_000_000))
    assert common.offset_ns == 0
