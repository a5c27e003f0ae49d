"""How much of the CPU is given away, to whom nobody can know."""

import pytest

from phantomlink.scheduling.cpu_yield import CpuYielder, YieldBudget

MS = 1_000_000
PERIOD_NS = 25 * MS


class Machine:
    """Time passes while others have the CPU."""

    def __init__(self, takes_ns):
        self.now_ns = 5 * MS
        self.takes_ns = takes_ns
        self.n_yields = 0
        self.away_ns = 0

    def sched_yield(self):
        took_ns = self.takes_ns() if callable(self.takes_ns) else self.takes_ns
        self.n_yields += 1
        self.now_ns += took_ns
        self.away_ns += took_ns


def give(machine, *, ticks, clients, others_wait):
    """How many times way was given in so many ticks of 40 Hz."""
    yield_cpu = CpuYielder(machine.sched_yield, lambda: machine.now_ns)
    n_given = 0
    for tick in range(ticks):
        machine.now_ns = max(machine.now_ns, tick * PERIOD_NS)
        for _ in range(clients):
            before = machine.n_yields
            yield_cpu(others_wait=others_wait)
            n_given += machine.n_yields > before
    return n_given


@pytest.mark.parametrize("others_wait", [True, False])
@pytest.mark.parametrize("clients", [1, 8, 20])
def test_clients_that_read_are_always_given_way(clients, others_wait):
    reads = iter([60_000, 400] * 10_000)  # the second time nobody is left
    machine = Machine(lambda: next(reads))
    assert give(machine, ticks=400, clients=clients, others_wait=others_wait) == 400 * clients


def test_way_is_given_twice_for_a_client_that_was_interrupted():
    machine = Machine(60_000)
    give(machine, ticks=3, clients=1, others_wait=True)
    assert machine.n_yields == 6


@pytest.mark.parametrize("clients", [1, 8, 30])
def test_a_busy_machine_takes_hardly_any_of_what_others_wait_for(clients):
    machine = Machine(3 * MS)
    give(machine, ticks=4000, clients=clients, others_wait=True)
    seconds = machine.now_ns / 1e9
    assert machine.n_yields > seconds, "it is tried again"
    assert machine.away_ns / 1e9 < 0.01 * seconds
    assert seconds == pytest.approx(100, abs=0.1), "no tick is late for it"


def test_who_computes_long_keeps_its_way_where_nobody_waits():
    takes = iter([2 * MS, 400] * 1000)
    machine = Machine(lambda: next(takes))
    assert give(machine, ticks=400, clients=1, others_wait=False) == 400


@pytest.mark.parametrize("takes_ns", [300_000, 3 * MS])
@pytest.mark.parametrize("others_wait", [True, False])
def test_never_more_than_a_share_of_a_core_is_given(takes_ns, others_wait):
    machine = Machine(takes_ns)
    give(machine, ticks=4000, clients=30, others_wait=others_wait)
    assert machine.away_ns < 0.151 * machine.now_ns


def test_what_was_not_used_does_not_add_up():
    budget = YieldBudget(0)
    assert budget.may_give(3600 * 1000 * MS)
    budget.given(3 * MS, others_wait=False)
    assert not budget.may_give(3600 * 1000 * MS)
    assert budget.may_give(3600 * 1000 * MS + 7)


def test_nothing_is_given_while_a_process_of_ours_computes():
    machine = Machine(60_000)
    yield_cpu = CpuYielder(machine.sched_yield, lambda: machine.now_ns)
    yield_cpu(others_wait=True)
    before = machine.n_yields
    with yield_cpu.paused():
        with yield_cpu.paused():
            machine.now_ns += PERIOD_NS
            yield_cpu(others_wait=False)
        machine.now_ns += 3600 * 1000 * MS
        yield_cpu(others_wait=False)
    assert machine.n_yields == before
    machine.now_ns += PERIOD_NS
    yield_cpu(others_wait=True)
    assert machine.n_yields > before
