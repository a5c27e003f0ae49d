"""The parts of a service that most servers never use: each is imported when it is first asked for.

Every function here is called in a thread, by `OnDemand`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING

from phantomlink.files.slots import Slots
from phantomlink.scheduling.clock import Clock
from phantomlink.settings import Settings

if TYPE_CHECKING:
    from phantomlink.calibration.calibrator import Calibrator
    from phantomlink.outputs.capture.captures import Captures

_MB = 1_000_000


def make_calibrator(
    settings: Settings, in_use: Callable[[], Collection[str]], slots: Slots, clock: Clock
) -> Calibrator:
    """What fits models, with those that an earlier run has kept.

    Args:
        settings: of the server.
        in_use: answers the models that are put on sessions.
        slots: of fits at once.
        clock: of the packets that go before a fit.
    """
    from phantomlink.calibration.calibrator import Calibrator  # noqa: PLC0415
    from phantomlink.calibration.store import ModelStore, default_models_dir  # noqa: PLC0415

    store = ModelStore(settings.models_dir or default_models_dir())
    return Calibrator(store, in_use, slots, keep_cpu=clock.keep_cpu)


def has_captures(settings: Settings) -> bool:
    """Whether an earlier run has left some, which may have to be recovered."""
    return any(settings.captures_directory.glob("*.plj"))


def make_captures(
    settings: Settings, slots: Slots, found: Callable[[], Awaitable[object]], clock: Clock
) -> Captures:
    """All captures of the server.

    Args:
        settings: of the server.
        slots: of those that run.
        found: called when there is another dataset.
        clock: of the packets that go before a conversion.
    """
    from phantomlink.outputs.capture.captures import Captures  # noqa: PLC0415
    from phantomlink.outputs.capture.limits import CaptureLimits  # noqa: PLC0415

    return Captures(
        settings.captures_directory,
        slots,
        CaptureLimits(
            settings.capture_max_mb * _MB,
            settings.capture_total_mb * _MB,
            settings.capture_min_free_mb * _MB,
        ),
        settings,
        found,
        clock.keep_cpu,
    )
