"""Whatever clients and REST do, in whatever order: what is promised of sessions holds.

Each example is a script: a list of steps, most of them calls or clients that come and go, some of
them time that goes by. It runs on virtual time against the real registry and real sessions, and
against `tests/virtual/model.py`, which says what the contract owes.
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phantomlink.engine.registry import Registry
from phantomlink.errors import NoMatchingBinsError, SessionNotFoundError, TooManySessionsError
from phantomlink.perturbation.presets import parse_perturbation
from phantomlink.recordings.trials import Filter
from phantomlink.scheduling.phases import PhaseAllocator
from tests.fakes import NamedBins, make_parts, make_trial
from tests.virtual.model import Model

N_BINS, PERIOD = 60, 0.025
TRIALS = {0: range(8, 20), 1: range(20, 23), 2: range(41, 60)}
BINS_OF = {None: list(range(N_BINS)), **{row: list(bins) for row, bins in TRIALS.items()}}
MAX_SESSIONS, TTL_SECONDS = 2, 2.0
# The registry looks this often; what has expired may live so much longer.
SWEEP_SECONDS = TTL_SECONDS / 4
NOISE = parse_perturbation({"transforms": [{"kind": "gaussian_noise", "noise_std": 0.5}]})
LOSS = parse_perturbation({"transforms": [{"kind": "packet_loss", "probability": 0.3}]})


class Client:
    """A listener, from its arrival to its leaving; a sink of the engine and a task."""

    wire_format = None
    is_deferred = False

    def __init__(self, world, model, wanted):
        self.world, self.model, self.wanted = world, model, wanted
        self.head, self.n_before, self.n_packets = None, 0, 0
        self.scope = trio.CancelScope()
        self.close = None
        self._told = trio.Event()
        self._has_left = False

    is_listening = True
    transport = "test"
    dropped = 0
    was_given_up = False
    backlog = None

    def offer_nowait(self, release):
        try:
            assert self.close is None, "a packet after the close"
            assert not self._has_left, "a packet after it left"
            self.head.offered(self, release)
        except AssertionError as error:
            # The engine ends a sink that raises, and goes on.
            self.world.failures.append(error)
            raise
        self.n_packets += 1

    def stream_changed(self):
        pass

    def end(self, code, reason):
        assert self.close is None, "closed twice"
        self.close = (code, reason)
        self.model.ended(self)
        self._told.set()

    async def run(self, seconds):
        """As the entries do: reserved, metadata that may wait, then the packets."""
        session, model = self.model.session, self.model
        with self.scope, session.reserved():
            model.n_arriving += 1
            try:
                if seconds is not None:
                    await trio.sleep(seconds)
                wanted = Filter(trial_id=self.wanted)
                if session.is_closed:
                    self.head = model.main
                else:
                    model.subscribe(self.wanted, self)
                session.subscribe(wanted, session.playback(wanted), self)
                await self._told.wait()
            finally:
                session.unsubscribe(self)
                self._has_left = True
                model.n_arriving -= 1
                model.unsubscribe(self)


class World:
    """The server's sessions, and what they should be."""

    def __init__(self, *, ends):
        self.ends = ends
        self.phases = PhaseAllocator()
        trials = [make_trial(k, b.start * PERIOD, b.stop * PERIOD) for k, b in TRIALS.items()]
        parts = make_parts(NamedBins(N_BINS, trials=trials), loop=not ends, phases=self.phases)
        self.registry = Registry(lambda: parts, max_sessions=MAX_SESSIONS, ttl_seconds=TTL_SECONDS)
        self.models: dict[str, Model] = {}
        self.clients: list[Client] = []
        self.failures: list[AssertionError] = []
        self.nursery: trio.Nursery

    def find(self, code):
        """The session that a call names; None where there is none, and the call says so."""
        self.look_for_expired()
        model = self.models.get(code)
        if model is None:
            with pytest.raises(SessionNotFoundError):
                self.registry.get(code)
            return None
        assert self.registry.get(code) is model.session
        model.touch()
        return model

    def create(self, code):
        self.look_for_expired()
        if code in self.models:
            session, created = self.registry.create(code)
            assert (session, created) == (self.models[code].session, False)
            self.models[code].touch()
            return self.models[code]
        idle = [model for model in self.models.values() if not model.is_in_use]
        if len(self.models) == MAX_SESSIONS and not idle:
            with pytest.raises(TooManySessionsError):
                self.registry.create(code)
            return None
        is_full = len(self.models) == MAX_SESSIONS
        session, created = self.registry.create(code)
        assert created
        if is_full:
            (gone,) = [c for c in self.models if self.registry.find(c) is None]
            assert self.models[gone].last_used == min(model.last_used for model in idle)
            self.end(gone)
        self.models[code] = Model(session, BINS_OF, rate_hz=Fraction(40), ends=self.ends)
        return self.models[code]

    def connect(self, code, wanted, seconds):
        model = self.create(code)
        if model is None:
            return
        if wanted == 7:
            with pytest.raises(NoMatchingBinsError):
                model.session.playback(Filter(trial_id=wanted))
            return
        client = Client(self, model, wanted)
        self.clients.append(client)
        self.nursery.start_soon(client.run, seconds)

    def cancel(self, index):
        if self.clients:
            self.clients.pop(index % len(self.clients)).scope.cancel()

    def delete(self, code):
        if self.find(code) is not None:
            self.registry.delete(code)
            self.end(code)

    def cleanup(self):
        n = self.registry.cleanup()
        assert n <= len(self.models)
        self.look_for_expired()

    def end(self, code):
        assert self.registry.find(code) is None
        self.models.pop(code).close()

    def look_for_expired(self):
        for code, model in list(self.models.items()):
            unused = trio.current_time() - model.last_used
            if self.registry.find(code) is None:
                assert not model.is_in_use, "expired in use"
                assert unused >= TTL_SECONDS - 1e-6, "expired too soon"
                self.end(code)
            elif not model.is_in_use:
                assert unused <= TTL_SECONDS + SWEEP_SECONDS + 1e-6, "not expired"

    def check(self):
        for failure in self.failures:
            raise failure
        self.look_for_expired()
        assert {s.code for s in self.registry} == set(self.models)
        for model in self.models.values():
            model.check()

    async def settle(self):
        """Let everybody do what is to be done at this moment."""
        for _ in range(50):
            await trio.lowlevel.checkpoint()
        heads = [head for model in self.models.values() for head in model.heads.values()]
        ticks_hz = sum(float(head.owner.rate_hz) for head in heads if head.plays)
        assert self.phases.ticks_hz == ticks_hz, "who plays has a phase, and nobody else"


def call(change):
    def do(code, *args_and_world):
        *args, world = args_and_world
        model = world.find(code)
        if model is not None:
            change(model, *args)

    return do


def pause(model):
    model.pause()
    model.session.pause()


def resume(model):
    model.resume()
    model.session.resume()


def stop(model):
    model.session.stop()
    model.stop()


def seek(model, bin_index):
    model.seek(bin_index)
    assert model.session.seek(bin_index) == bin_index


def set_speed(model, speed):
    model.set_speed(speed)
    model.session.set_speed(speed)


def perturb(model, perturbation):
    model.perturb(lossy=perturbation is LOSS)
    model.session.set_perturbation(perturbation, 5)


STEPS = {
    "create": lambda code, world: world.create(code),
    "connect": lambda code, wanted, seconds, world: world.connect(code, wanted, seconds),
    "cancel": lambda index, world: world.cancel(index),
    "delete": lambda code, world: world.delete(code),
    "cleanup": lambda world: world.cleanup(),
    "pause": call(pause),
    "resume": call(resume),
    "stop": call(stop),
    "seek": call(seek),
    "speed": call(set_speed),
    "noise": call(partial(perturb, perturbation=NOISE)),
    "loss": call(partial(perturb, perturbation=LOSS)),
    "wait": lambda seconds, world: wait(seconds),
    "yield": lambda n, world: several_checkpoints(n),
    "settle": lambda world: world.settle(),
}


async def wait(seconds):
    await trio.sleep(seconds)


async def several_checkpoints(n):
    for _ in range(n):
        await trio.lowlevel.checkpoint()


def steps(name, *args):
    return st.tuples(st.just(name), *args)


codes = st.sampled_from(["a", "a", "a", "b", "c"])
# On the grid of ticks as often as off it: what happens at the very moment of a tick is what is
# easily forgotten.
times = st.sampled_from([0.0, 0.01, 0.025, 0.033, 0.05, 0.1, 0.25, 0.333, 0.5, 0.7, 1.0, 1.5, 3.0])
pauses = st.one_of(
    steps("wait", times),
    steps("wait", times),
    steps("yield", st.integers(1, 12)),
    steps("settle"),
)
arrivals = steps("connect", codes, st.sampled_from([None, None, 0, 1, 2, 7]), st.none() | times)
calls = st.one_of(
    *(steps(name, codes) for name in ("pause", "resume", "resume", "stop", "noise", "loss")),
    steps("seek", codes, st.integers(0, N_BINS - 1)),
    steps("seek", codes, st.integers(0, N_BINS - 1)),
    steps("speed", codes, st.sampled_from([Fraction(1), Fraction(1, 2), Fraction(3)])),
    steps("cancel", st.integers(0, 5)),
    steps("cancel", st.integers(0, 5)),
    st.one_of(steps("delete", codes), steps("create", codes), steps("cleanup")),
)
phrases = st.tuples(arrivals | calls | calls, pauses)
scripts = st.tuples(st.tuples(arrivals, pauses), st.lists(phrases, min_size=6, max_size=25)).map(
    lambda parts: [one for phrase in (parts[0], *parts[1]) for one in phrase]
)


async def play(script, *, ends):
    world = World(ends=ends)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.registry.run)
        async with trio.open_nursery() as world.nursery:
            for name, *arguments in script:
                done = STEPS[name](*arguments, world)
                if hasattr(done, "__await__"):
                    await done
                world.check()
            world.nursery.cancel_scope.cancel()
        await world.settle()
        world.check()
        for client in world.clients:
            assert not client.model.is_in_use
        sessions = list(world.registry)
        nursery.cancel_scope.cancel()
    assert len(world.registry) == 0
    assert all(session.is_over for session in sessions)
    assert world.phases.ticks_hz == 0


def run(script, *, ends):
    clock = trio.testing.MockClock(autojump_threshold=0)
    trio.run(partial(play, script, ends=ends), clock=clock)


@settings(
    max_examples=200,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(script=scripts, ends=st.booleans())
def test_what_is_promised_holds_in_any_order(script, ends):
    run(script, ends=ends)
