"""The transforms of spike counts: what each stands for, its form and its parameters.

Each is a frozen record, checked and made by the parser; what it does to counts is in the module
named beside it. c is the count of a unit in a bin. Times are stream time: 0 is the first bin
of the first loop, and every loop adds the length of the recording.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from phantomlink.source.perturb.forms import Number

LONGEST_SECONDS = 31_536_000
"""Times and durations end at a year."""

_AT = Number(0, LONGEST_SECONDS, "from when on, s of stream time")


@dataclass(frozen=True, slots=True)
class Transform:
    """One kind of thing that goes wrong.

    Attributes:
        kind: its name.
        code: part of the key of its random bits, so never to be changed.
    """

    kind: ClassVar[str]
    code: ClassVar[int]

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing, by its parameters alone."""
        return False

    @classmethod
    def check(cls, values: Mapping[str, object], field: str) -> None:
        """Refuse parameters that are right one by one but not together.

        Args:
            values: those that were given, each in its canonical form.
            field: what to call the transform in messages.

        Raises:
            InvalidParameterError: they do not fit.
        """

    @classmethod
    def schema_rules(cls) -> dict[str, Any]:
        """What `check` holds, as JSON Schema."""
        return {}


@dataclass(frozen=True, slots=True)
class GaussianNoise(Transform):
    """Noise of thermal and electronic origin and of sorting, on every count.

    c becomes round(c + noise_std * (c + 1) * z), never below 0, with z normal and new for each
    unit and bin. That the spread grows with the count is how neurons themselves are: the
    variance of counts grows with their mean (Churchland et al. 2010, Nat Neurosci 13:369); the
    one beside it is the noise that is there where no spike is, which detection by a threshold
    turns into false ones. Below 0 there is no count, so that noise adds spikes to silent units.
    """

    kind = "gaussian_noise"
    code = 1

    noise_std: Annotated[
        float, Number(0, 100, "standard deviation of the noise where no spike is, spikes per bin")
    ]

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self.noise_std == 0


@dataclass(frozen=True, slots=True)
class Drift(Transform):
    """Slow loss and return of signal, as tissue reacts and the implant moves in it.

    The gain of unit u at time t is
    1 + drift_amplitude * g_u * (sin(2 pi t / T) + 0.1 * sin(2 pi 10 t / T)), not below 0: a
    slow wave (fatigue, swelling) and a tenth of it ten times as fast (micro-movements with
    breath and pulse). g_u is uniform in 0.5 to 1.5 and drawn from the seed, since electrodes do
    not drift alike. The count becomes a whole number whose mean is the product. Within a day
    amplitudes and rates of human recordings wander like this (Perge et al. 2013, J Neural Eng
    10:036004); the sine is a stand-in whose size and pace are known.
    """

    kind = "drift"
    code = 2

    drift_amplitude: Annotated[float, Number(0, 1, "of the mean unit's gain, relative to 1")]
    drift_period_seconds: Annotated[
        float, Number(0.1, LONGEST_SECONDS, "T, period of the slow wave, s")
    ] = 60.0

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self.drift_amplitude == 0


COUNT_KINDS: tuple[type[Transform], ...] = (GaussianNoise, Drift)
