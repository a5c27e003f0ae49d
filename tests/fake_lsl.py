"""LSL without liblsl: outlets that keep what is pushed, and inlets that are a flag."""

from __future__ import annotations

from dataclasses import dataclass, field

from phantomlink.errors import LslUnavailableError


@dataclass(eq=False)
class FakeOutlet:
    """Keeps (value, stamp) of what is pushed while it has a consumer."""

    spec: object
    has_consumer: bool = False
    pushed: list = field(default_factory=list)
    is_destroyed: bool = False
    service_ports: frozenset = frozenset()
    fails: bool = False

    def have_consumers(self):
        assert not self.is_destroyed
        return self.has_consumer

    def push(self, row, stamp):
        assert not self.is_destroyed
        assert self.has_consumer
        if self.fails:
            raise RuntimeError("an internal error has occurred.")
        assert row.shape == (1, len(self.spec.channels))
        self.pushed.append((row[0].tolist(), stamp))

    def push_text(self, text, stamp):
        assert not self.is_destroyed
        assert self.has_consumer
        self.pushed.append((text, stamp))

    def destroy(self):
        assert not self.is_destroyed
        self.is_destroyed = True

    @property
    def values(self):
        return [value for value, _ in self.pushed]

    @property
    def stamps(self):
        return [stamp for _, stamp in self.pushed]


class FakeLibrary:
    """Makes fake outlets, and keeps them by source id, the latest of each."""

    clock_offset_seconds = 0.0
    is_confined = False

    def __init__(self, *, can_make=lambda spec: True):
        self.made = []
        self.scopes = []
        self._can_make = can_make

    def load(self, scope):
        self.scopes.append(scope)
        return self, f"scope {scope}"

    def make(self, spec):
        if not self._can_make(spec):
            raise LslUnavailableError(f"liblsl cannot make {spec.name}")
        twins = [o for o in self.made if o.spec.source_id == spec.source_id]
        assert all(o.is_destroyed for o in twins), "two outlets of one source id"
        outlet = FakeOutlet(spec)
        self.made.append(outlet)
        return outlet

    def of(self, code):
        """The living outlets of a session, by kind."""
        return {
            outlet.spec.kind: outlet
            for outlet in self.made
            if not outlet.is_destroyed and outlet.spec.source_id.endswith(f"-{code}")
        }

    @property
    def n_living(self):
        return sum(not outlet.is_destroyed for outlet in self.made)
