"""The transforms of spike counts: what each stands for, its form and its parameters.

Each is a frozen record, checked and made by the parser; what it does to counts is in the module
named beside it. c is the count of a unit in a bin. Times are stream time: 0 is the first bin
of the first loop, and every loop adds the length of the recording.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from phantomlink.perturbation.forms import Number, UnitIds, Whole
from phantomlink.perturbation.transform import (
    LONGEST_CELL_SECONDS,
    LONGEST_SECONDS,
    Transform,
    check_one_of,
    check_room,
    one_of_schema,
)

_BURST_SECONDS = 0.1
_AT = Number(0, LONGEST_SECONDS, "from when on, s of stream time")


@dataclass(frozen=True, slots=True)
class GaussianNoise(Transform):
    """Noise of thermal and electronic origin and of sorting, on every count.

    c becomes round(c + noise_std * (c + 1) * z), never below 0, with z normal and new for each
    unit and bin. That noise grows with the count is how counts of neurons are: their variance
    grows with their mean (Churchland et al. 2010, Nat Neurosci 13:369). The one beside it is the
    noise where no spike is, which a threshold turns into false ones; since no count is below 0,
    it adds spikes to silent units in the mean. The form itself is a stand-in of one number.
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


@dataclass(frozen=True, slots=True)
class NonstationaryRates(Transform):
    """Every unit's rate wanders, as arousal, attention and posture do.

    The gain of a unit is 1 + rate_std * x(t), not below 0, where x is a stationary process with
    mean 0 and standard deviation 1 that is its own for each unit: normal values every
    `timescale_seconds`, and cos(a) * left + sin(a) * right between two of them as a goes from 0
    to a quarter turn, so that the spread is the same at all times. The count becomes a whole
    number whose mean is the product. A gain of mean 1 that changes slowly is the model of
    Goris, Movshon and Simoncelli 2014 (Nat Neurosci 17:858); a normal one in the place of their
    gamma needs no logarithm.
    """

    kind = "nonstationary_rates"
    code = 3

    rate_std: Annotated[float, Number(0, 1, "standard deviation of the gain, relative to 1")]
    timescale_seconds: Annotated[
        float, Number(0.1, LONGEST_CELL_SECONDS, "time after which a gain is forgotten, s")
    ] = 60.0

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self.rate_std == 0


@dataclass(frozen=True, slots=True)
class GainShift(Transform):
    """Units that are suddenly louder or fainter: a moved threshold, a shifted electrode.

    From `at_seconds` on the counts of a fraction of the units, drawn from the seed, become whole
    numbers whose mean is gain * c. Amplitudes step when an array slips or a reference changes
    (Perge et al. 2013, J Neural Eng 10:036004); a threshold left where it was then sees more or
    fewer of the spikes.
    """

    kind = "gain_shift"
    code = 4

    gain: Annotated[float, Number(0, 100, "factor of the counts; 1 changes nothing")]
    at_seconds: Annotated[float, _AT] = 0.0
    fraction: Annotated[float, Number(0, 1, "of the units, rounded to whole units")] = 1.0

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self.gain == 1 or self.fraction == 0


@dataclass(frozen=True, slots=True)
class Dropout(Transform):
    """Units that fall silent and come back, as connectors and wires with a break in them do.

    At any moment each unit is silent with probability `fraction`, and a silence lasts
    `mean_seconds` in the mean. A unit's state is drawn anew, silent or not, once in every cell of
    mean_seconds * (1 - fraction), at a random moment of it; both numbers follow from that, and
    the state at any time from two cells. Cells are whole bins, so the mean silence is as asked
    for only to half a bin / (1 - fraction). Connections that come and go are among the commonest
    failures of implanted arrays (Barrese et al. 2013, J Neural Eng 10:066014).
    """

    kind = "dropout"
    code = 5

    fraction: Annotated[float, Number(0, 1, "of the time that a unit is silent")]
    mean_seconds: Annotated[
        float,
        Number(0.001, LONGEST_CELL_SECONDS, "mean length of a silence, s; a bin at the least"),
    ]

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self.fraction == 0


@dataclass(frozen=True, slots=True)
class DeadUnits(Transform):
    """Electrodes that fail for good: their units count 0 from `at_seconds` on.

    A fraction of the units, drawn from the seed, or those named. A larger fraction with the same
    seed holds the units of a smaller one, so that in steps units only die. Leads break, and
    tissue closes around the tips (Barrese et al. 2013, J Neural Eng 10:066014).
    """

    kind = "dead_units"
    code = 6

    fraction: Annotated[float | None, Number(0, 1, "of the units, rounded to whole units")] = None
    unit_ids: Annotated[tuple[int | str, ...] | None, UnitIds("which units, by id")] = None
    at_seconds: Annotated[float, _AT] = 0.0

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self.fraction == 0

    @classmethod
    def check(cls, values: Mapping[str, object], field: str) -> None:
        """One of `fraction` and `unit_ids`; see `Transform.check`."""
        check_one_of(values, ("fraction", "unit_ids"), field)

    @classmethod
    def schema_rules(cls) -> dict[str, Any]:
        """One of `fraction` and `unit_ids`."""
        return one_of_schema(("fraction", "unit_ids"))


@dataclass(frozen=True, slots=True)
class UnitSwap(Transform):
    """Units that exchange identities from `at_seconds` on, as between days.

    Pairs of units, drawn from the seed and as many as make up the fraction of all, appear in each
    other's place. Spikes are sorted anew each day, and a waveform that looks like yesterday's can
    be another neuron's (Dickey et al. 2009, J Neurophysiol 102:1331).
    """

    kind = "unit_swap"
    code = 7

    fraction: Annotated[float, Number(0, 1, "of the units, rounded to whole pairs")]
    at_seconds: Annotated[float, _AT] = 0.0

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self.fraction == 0


@dataclass(frozen=True, slots=True)
class Saturation(Transform):
    """Counts that cannot grow beyond a limit: c becomes min(c, limit).

    The limit is `max_count` spikes in a bin, or `max_rate_hz` times the width of a bin, rounded
    down but at least 1. Detection is blind for a moment after each spike, and telemetry has room
    for so many events in a frame (Hill, Mehta and Kleinfeld 2011, J Neurosci 31:8699, on what the
    blind time takes from a count).
    """

    kind = "saturation"
    code = 8

    max_count: Annotated[int | None, Whole(0, 65535, "the most spikes of a unit in a bin")] = None
    max_rate_hz: Annotated[
        float | None, Number(0.001, 1_000_000, "the highest rate of a unit, spikes per s")
    ] = None

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self.max_count == 65535

    @classmethod
    def check(cls, values: Mapping[str, object], field: str) -> None:
        """One of `max_count` and `max_rate_hz`; see `Transform.check`."""
        check_one_of(values, ("max_count", "max_rate_hz"), field)

    @classmethod
    def schema_rules(cls) -> dict[str, Any]:
        """One of `max_count` and `max_rate_hz`."""
        return one_of_schema(("max_count", "max_rate_hz"))


@dataclass(frozen=True, slots=True)
class CommonArtifact(Transform):
    """Bursts that all units of an array see at once: chewing, movement, a stimulator, static.

    Bursts begin `rate_hz` times a second in the mean, at random moments, at most one in each
    stretch of the length of a burst, and last `duration_seconds` (rounded to bins, at least
    one). In a burst each unit's count becomes a whole number whose mean is c + amplitude.
    What all electrodes share crosses every threshold together (Ludwig et al. 2009,
    J Neurophysiol 101:1679, who subtract it as a common average).
    """

    kind = "common_artifact"
    code = 9

    rate_hz: Annotated[float, Number(0, 1000, "bursts per s")]
    amplitude: Annotated[float, Number(0, 1000, "spikes added to a unit in a bin")]
    duration_seconds: Annotated[float, Number(0.001, 3600, "length of a burst, s")] = _BURST_SECONDS
    unit_ids: Annotated[
        tuple[int | str, ...] | None, UnitIds("units of the array, by id; all when left out")
    ] = None

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self.rate_hz == 0 or self.amplitude == 0

    @classmethod
    def check(cls, values: Mapping[str, object], field: str) -> None:
        """Bursts fit beside each other; see `Transform.check`."""
        check_room(values, "duration_seconds", _BURST_SECONDS, field)


COUNT_KINDS: tuple[type[Transform], ...] = (
    GaussianNoise,
    Drift,
    NonstationaryRates,
    GainShift,
    Dropout,
    DeadUnits,
    UnitSwap,
    Saturation,
    CommonArtifact,
)
"""In the order in which they are listed."""
