"""The shared directory in memory, for virtual time: one contract test holds it to Valkey."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from phantomlink.cluster.shared_directory import (
    DirectoryAwayError,
    DirectoryReturnedError,
    Estate,
    Followed,
    LeaseRefusedError,
    NodeNameTakenError,
    Ownership,
    Renewal,
)
from phantomlink.engine.anchors import Anchor
from phantomlink.engine.directory import FORMAT, PlayheadRecord, SessionRecord


@dataclass
class _Kept:
    node: str
    epoch: int
    record: object = None


@dataclass
class FakeDirectory:
    """As `SharedDirectory`.

    Args:
        now_ns: the directory's clock.
        ttl_ns: of a lease.
        is_away: whether it cannot be reached.
    """

    now_ns: object
    ttl_ns: int
    is_away: bool = False
    epoch: int = 0
    leases: dict = field(default_factory=dict)
    known: dict = field(default_factory=dict)
    had: dict = field(default_factory=dict)
    sessions: dict = field(default_factory=dict)
    tickets: dict = field(default_factory=dict)
    returned_until_ns: int = -1

    async def join(self, node, known_epoch):
        self._reach()
        if self._epoch_of(node.name) is not None:
            raise NodeNameTakenError(node.name)
        self.epoch = max(self.epoch, known_epoch) + 1
        self._lease(node, self.epoch)
        return self.epoch

    async def renew(self, node, epoch):
        self._reach()
        has = self._epoch_of(node.name)
        if has not in {None, epoch}:
            raise LeaseRefusedError(node.name)
        has_others = any(self._epoch_of(name) for name in self.known)
        if has is None and (self.epoch < epoch or not has_others):
            self.returned_until_ns = self.now_ns() + 2 * self.ttl_ns
        self.epoch = max(self.epoch, epoch)
        self._lease(node, epoch)
        alive = [name for name in sorted(self.known) if self._epoch_of(name)]
        ends = [self.leases[name][1] - self.now_ns() for name in alive if name != node.name]
        owners = Counter((kept.node, kept.epoch) for kept in self.sessions.values())
        return Renewal(
            has is None,
            self.now_ns(),
            tuple(self.known[name] for name in alive),
            {
                f"{name} {epoch}": Estate(n, self.had.get(f"{name} {epoch}", n))
                for (name, epoch), n in owners.items()
                if self._epoch_of(name) != epoch
            },
            min(ends, default=None),
            self._mirrors(node.name, epoch),
        )

    async def leave(self, node, epoch):
        self._reach()
        if self._epoch_of(node) == epoch:
            del self.leases[node]
            del self.known[node]

    async def create(self, code, node, epoch):
        self._reach()
        if code not in self.sessions:
            if self._epoch_of(node) != epoch or self.now_ns() < self.returned_until_ns:
                raise DirectoryReturnedError("it has just come back")
            self.sessions[code] = _Kept(node, epoch)
        return self._owner(code)

    async def find(self, codes):
        self._reach()
        return {code: self._owner(code) for code in codes if code in self.sessions}

    async def write(self, node, epoch, records):
        self._reach()
        refused = []
        for record in records:
            kept = self.sessions.get(record.code)
            if kept is not None and (kept.node != node or kept.epoch > epoch):
                refused.append(record.code)
            else:
                self.sessions[record.code] = _Kept(node, epoch, record)
        return refused

    async def forget(self, node, epoch, codes):
        self._reach()
        for code in codes:
            kept = self.sessions.get(code)
            if kept is not None and kept.node == node and kept.epoch <= epoch:
                del self.sessions[code]

    async def unreserve(self, node, epoch, codes):
        self._reach()
        unmade = [
            code for code in codes if code in self.sessions and not self.sessions[code].record
        ]
        await self.forget(node, epoch, unmade)

    async def release(self, node, codes):
        self._reach()
        for code in codes:
            if code in self.sessions and self.sessions[code].node == node:
                self.sessions[code].node, self.sessions[code].epoch = "", 0

    async def claim(self, node, epoch, most, digests):
        self._reach()
        claimed, taken = [], Counter()
        if self._epoch_of(node) != epoch:
            return claimed
        for owner, n in self._counts().items():
            if owner in most:
                self.had.setdefault(owner, n)
        for code, kept in list(self.sessions.items()):
            owner = f"{kept.node} {kept.epoch}"
            if self._epoch_of(kept.node) == kept.epoch or owner not in most:
                continue
            if kept.record is None:
                del self.sessions[code]
            elif (
                taken[owner] < most[owner]
                and kept.record.sha256 in digests
                and kept.record.format <= FORMAT
            ):
                kept.node, kept.epoch = node, epoch
                taken[owner] += 1
                claimed.append(kept.record)
        self.had = {owner: n for owner, n in self.had.items() if owner in self._counts()}
        return claimed

    async def follow(self, node, epoch, wanted):
        self._reach()
        if self._epoch_of(node) != epoch:
            raise LeaseRefusedError(node)
        found = {}
        for each in wanted:
            if (kept := self.sessions.get(each.code)) is None:
                continue
            self.tickets[each.code, each.ticket] = self.now_ns()
            version = f"{kept.epoch} {kept.record.revision if kept.record else 0}"
            known = version == each.version
            owner = self._owner(each.code).node
            found[each.code] = Followed(owner, version, None if known else kept.record)
        return found

    def _mirrors(self, node, epoch):
        now_ns, mirrors = self.now_ns(), {}
        self.tickets = {key: at for key, at in self.tickets.items() if at >= now_ns - 10**9}
        for code, ticket in sorted(self.tickets):
            kept = self.sessions.get(code)
            if kept is not None and (kept.node, kept.epoch) == (node, epoch):
                mirrors[code] = (*mirrors.get(code, ()), ticket)
        return mirrors

    async def owned(self, node, epoch):
        self._reach()
        return [
            kept.record
            for kept in self.sessions.values()
            if (kept.node, kept.epoch) == (node, epoch) and kept.record is not None
        ]

    def _counts(self):
        return Counter(f"{kept.node} {kept.epoch}" for kept in self.sessions.values())

    def _reach(self):
        if self.is_away:
            raise DirectoryAwayError("away")

    def _lease(self, node, epoch):
        self.leases[node.name] = (epoch, self.now_ns() + self.ttl_ns)
        self.known[node.name] = node

    def _epoch_of(self, name):
        epoch, end_ns = self.leases.get(name, (None, 0))
        return epoch if self.now_ns() < end_ns else None

    def _owner(self, code):
        kept = self.sessions[code]
        return Ownership(kept.node if self._epoch_of(kept.node) == kept.epoch else None)


def record(code, *, sha256="x", revision=1, form=FORMAT, due_ns=5):
    """Of a session that plays."""
    return SessionRecord(
        format=form,
        code=code,
        created_at="2026-01-01T00:00:00+00:00",
        dataset="small",
        sha256=sha256,
        rate_hz="40",
        speed="1",
        perturbation={"transforms": [{"kind": "gaussian_noise", "noise_std": 0.5}]},
        seed=3,
        test_trials=(1, 2),
        is_paused=False,
        is_stopped=False,
        was_stopped=False,
        outputs={"lsl": True},
        playheads=(
            PlayheadRecord(None, None, None, Anchor(7, 8, 1, due_ns), True),
            PlayheadRecord(2, None, None, Anchor(1, 2, 0, None), False),
        ),
        revision=revision,
    )
