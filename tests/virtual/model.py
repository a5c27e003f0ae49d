"""What a client can rely on, written down a second time: a model that watches sessions at work.

It knows nothing of timelines, prefetch or scopes: only which packets each playhead owes next, who
is owed them, and whether it may send at all. Every packet is held against it when it is offered,
and `check` after each step.
"""

from __future__ import annotations

import math

import trio

# Deadlines are whole nanoseconds; virtual time is a float.
_EPSILON = 1e-6


class Head:
    """One playhead."""

    def __init__(self, owner, bins, from_bin):
        self.owner = owner
        self.bins = bins
        self.position = self.position_from(from_bin)
        self.sequence = 0
        self.loop = 0
        self.clients = []
        self.n_offered = 0
        self.may_have_lost = False
        self._release = None
        self._began = None
        self._n_since = 0
        self._last = None
        self._is_over = False

    def position_from(self, wanted):
        after = [i for i, b in enumerate(self.bins) if b >= wanted]
        return after[0] if after else 0

    @property
    def bin_index(self):
        return self.bins[self.position]

    @property
    def plays(self):
        owner = self.owner
        return bool(self.clients) and not (owner.is_paused or owner.is_stopped or owner.is_closed)

    def look(self):
        """Something has changed: is this the beginning or the end of playing?"""
        if self.plays and self._began is None:
            self._began, self._n_since, self._last = trio.current_time(), 0, None
        elif not self.plays:
            self._began = None

    def begin_anew(self):
        self._began = None
        self.look()

    def seek(self, wanted):
        self.position = self.position_from(wanted)

    def offered(self, client, release):
        assert client in self.clients, "a packet for somebody who does not listen"
        assert not self.owner.is_closed, "a packet after the session's end"
        if release is self._release:
            return
        assert self.plays, "a packet while the playhead is held"
        assert not self._is_over, "a packet after the last one"
        self._release = release
        packet = release.packet
        n_lost = packet.sequence_number - self.sequence
        assert n_lost == 0 or (n_lost > 0 and self.may_have_lost), "a gap, or a step back"
        for _ in range(n_lost):
            self._advance()
        assert (packet.packet_id, packet.loop) == (self.bin_index, self.loop)
        if not self.owner.is_perturbed:
            assert packet.spike_counts[0] == packet.packet_id
        self._on_time(n_lost)
        self.may_have_lost = self.owner.is_lossy
        self.n_offered += 1
        self._advance()
        if self.owner.ends and self.position == 0:
            self._is_over = True

    def _on_time(self, n_lost):
        now, period = trio.current_time(), 1 / self.owner.rate_hz
        if self._last is not None:
            assert abs(now - self._last - (n_lost + 1) * period) < _EPSILON, "off the grid"
        self._last = now
        self._n_since += 1 + n_lost

    def _advance(self):
        self.sequence += 1
        self.position += 1
        if self.position == len(self.bins):
            self.position = 0
            self.loop += 1

    def told(self):
        """A listener has gone, or was told to."""
        if not self.clients:
            self._is_over = False

    def check(self):
        assert not self._is_over, "nobody was told that the recording ended"
        for client in self.clients:
            assert client.n_packets == self.n_offered - client.n_before, "not what the others got"
        if self._began is None:
            return
        elapsed = (trio.current_time() - self._began) * self.owner.rate_hz
        assert self._n_since <= elapsed + 1 + _EPSILON, "a burst"
        if not self.may_have_lost:
            assert self._n_since >= math.floor(elapsed) - 1, "it plays, and nothing comes"


class Model:
    """One session.

    Args:
        session: the real one.
        bins_of: for each filter, the bins that it lets through, in order.
        ends: whether the recording is played once.
    """

    def __init__(self, session, bins_of, *, rate_hz, ends):
        self.session = session
        self.rate_hz = self.usual_hz = rate_hz
        self.ends = ends
        self.is_paused = self.is_stopped = self.is_closed = False
        self.is_perturbed = self.is_lossy = False
        self.n_arriving = 0
        self.last_used = trio.current_time()
        self._bins_of = bins_of
        self.main = Head(self, bins_of[None], 0)
        self.heads = {None: self.main}

    @property
    def is_in_use(self):
        return self.n_arriving > 0 or any(head.clients for head in self.heads.values())

    def touch(self):
        self.last_used = trio.current_time()

    def subscribe(self, wanted, client):
        self.touch()
        head = self.heads.get(wanted)
        if head is None:
            head = Head(self, self._bins_of[wanted], self.main.bin_index)
            self.heads[wanted] = head
        self.is_stopped = False
        client.head, client.n_before = head, head.n_offered
        head.clients.append(client)
        self._look()

    def unsubscribe(self, client):
        self.touch()
        if client.head is not None:
            self.ended(client)

    def ended(self, client):
        """It has been told that nothing more comes."""
        if client in client.head.clients:
            client.head.clients.remove(client)
            client.head.told()
        self._drop_unheard()
        self._look()

    def pause(self):
        self.is_paused = True
        self._look()

    def resume(self):
        self.is_paused = self.is_stopped = False
        self._look()

    def stop(self):
        self.is_paused, self.is_stopped = False, True
        assert not any(head.clients for head in self.heads.values()), "stopped, and not told"
        self.main.seek(0)
        self._look()

    def seek(self, bin_index):
        for head in self.heads.values():
            head.seek(bin_index)

    def set_speed(self, speed):
        if self.rate_hz != self.usual_hz * speed:
            self.rate_hz = self.usual_hz * speed
            for head in self.heads.values():
                head.begin_anew()

    def perturb(self, *, lossy):
        self.is_perturbed, self.is_lossy = True, lossy
        for head in self.heads.values():
            head.may_have_lost |= lossy

    def close(self):
        self.is_closed = True
        assert not any(head.clients for head in self.heads.values()), "closed, and not told"

    def check(self):
        if not self.is_closed:
            assert len(self.session.playbacks()) == len(self.heads), "a playhead too many, or few"
        for wanted, head in self.heads.items():
            head.check()
            if not (head.may_have_lost or self.is_closed):
                real = {p.filter: p for p in self.session.status().playbacks}
                status = next(p for f, p in real.items() if f.trial_id == wanted)
                got = (status.current_packet, status.sequence_number, status.loop)
                assert got == (head.bin_index, head.sequence, head.loop)
                assert status.is_playing == head.plays
                assert status.connections == len(head.clients)

    def _look(self):
        for head in self.heads.values():
            head.look()

    def _drop_unheard(self):
        for wanted, head in list(self.heads.items()):
            if head is not self.main and not head.clients:
                del self.heads[wanted]
