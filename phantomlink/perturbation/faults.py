"""The faults of transport: what each stands for, its form and its parameters.

They change no counts. The scheduler acts on them and the timing report says that they were
injected. Losses in bursts and late packets are what a radio link between a head and a shelf has
(Simeral et al. 2021, IEEE Trans Biomed Eng 68:2313); independent ones are the least that a client
has to survive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from phantomlink.perturbation.forms import Number
from phantomlink.perturbation.transform import Transform, check_room

_PROBABILITY = Number(0, 1, "probability of each packet")


@dataclass(frozen=True, slots=True)
class _Chance(Transform):
    """Something that happens to each packet with a probability, whatever happens to others."""

    probability: Annotated[float, _PROBABILITY]

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self.probability == 0


@dataclass(frozen=True, slots=True)
class PacketLoss(_Chance):
    """Packets that never arrive: a radio that was jammed, a frame with a wrong checksum."""

    kind = "packet_loss"
    code = 17


@dataclass(frozen=True, slots=True)
class PacketDuplicate(_Chance):
    """Packets that arrive twice: sent again because the acknowledgement was lost."""

    kind = "packet_duplicate"
    code = 18


@dataclass(frozen=True, slots=True)
class PacketReorder(Transform):
    """Packets that are overtaken by the next one: two ways to the receiver, or a retransmission.

    A packet that has overtaken another is not overtaken itself, so that no packet comes
    more than one place late; a quarter is the most that leaves room for.
    """

    kind = "packet_reorder"
    code = 19

    probability: Annotated[float, Number(0, 0.25, "probability of each packet to be overtaken")]

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self.probability == 0


@dataclass(frozen=True, slots=True)
class Jitter(Transform):
    """Packets that leave late, each by its own: buffers, radio slots, a busy operating system.

    The delay is |z| * 1.659 * std_ms with z normal, so that its standard deviation is std_ms; it
    is 1.324 * std_ms in the mean, never below 0: nothing leaves before it is measured.
    """

    kind = "jitter"
    code = 20

    std_ms: Annotated[float, Number(0, 10_000, "standard deviation of the delay, ms")]

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self.std_ms == 0


@dataclass(frozen=True, slots=True)
class Stall(Transform):
    """A link that stands still and then delivers all that has waited, as when a receiver is lost.

    Stalls begin `rate_hz` times a second in the mean, with a packet drawn from the seed, at most
    one in each stretch of their own length. Packets that are due within `seconds` of that one's
    deadline, itself included, leave when they are over.
    """

    kind = "stall"
    code = 21

    rate_hz: Annotated[float, Number(0, 1000, "stalls per s")]
    seconds: Annotated[float, Number(0.001, 3600, "length of a stall, s")]

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self.rate_hz == 0

    @classmethod
    def check(cls, values: Mapping[str, object], field: str) -> None:
        """Stalls fit beside each other; see `Transform.check`."""
        check_room(values, "seconds", 0.0, field)


TRANSPORT_KINDS: tuple[type[Transform], ...] = (
    PacketLoss,
    PacketDuplicate,
    PacketReorder,
    Jitter,
    Stall,
)
"""In the order in which they are listed."""
