"""Makes the forms of finished captures, one after the other, each in a process of its own."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from phantomlink.scheduling.background import Behind, put_behind_packets

logger = logging.getLogger(__name__)

_SECONDS = 1800.0
_MOST_REASON_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Conversion:
    """What is to be made.

    Attributes:
        capture_id: of which capture.
        journal: of it.
        outs: the files, by form.
    """

    capture_id: str
    journal: Path
    outs: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class Converted:
    """What came of it.

    Attributes:
        facts: what the journal says, see `captures.facts`; None where it could not be read.
        problems: by form, why it is not there; None where it is.
    """

    facts: Mapping[str, Any] | None
    problems: Mapping[str, str | None]


class Conversions:
    """A queue of them.

    Args:
        done: told of each, while its capture is busy.
        after: told of each when its capture is not busy any more.
    """

    def __init__(
        self,
        done: Callable[[Conversion, Converted], Awaitable[None]],
        after: Callable[[Conversion], Awaitable[None]],
        keep_cpu: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._done = done
        self._after = after
        self._keep_cpu = keep_cpu
        self._waiting: deque[Conversion] = deque()
        self._now: Conversion | None = None
        self._woken = trio.Event()

    def add(self, conversion: Conversion) -> None:
        """Make these forms when those before them are made; one that is waited for already is."""
        if conversion not in self._waiting and conversion != self._now:
            self._waiting.append(conversion)
            self._woken.set()

    def is_busy(self, capture_id: str) -> bool:
        """Whether something is made of a capture now."""
        return self._now is not None and self._now.capture_id == capture_id

    def forget(self, capture_id: str) -> None:
        """Make nothing of a capture that is not begun."""
        self._waiting = deque(each for each in self._waiting if each.capture_id != capture_id)

    async def run(self) -> None:
        """Make what is asked for until cancelled; what is being made then is ended."""
        while True:
            await self._woken.wait()
            self._woken = trio.Event()
            while self._waiting:
                conversion = self._now = self._waiting.popleft()
                try:
                    with self._keep_cpu():
                        converted = await _convert(conversion)
                    await self._done(conversion, converted)
                finally:
                    self._now = None
                await self._after(conversion)


async def _convert(conversion: Conversion) -> Converted:
    outs = conversion.outs
    command = [
        *(sys.executable, "-m", "phantomlink.captures.worker", str(conversion.journal)),
        *map(str, outs.values()),
    ]
    done, reason = None, f"it took longer than {_SECONDS:g} s"
    try:
        with trio.move_on_after(_SECONDS):
            done = await trio.run_process(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                capture_stdout=True,
                capture_stderr=True,
                task_status=Behind(put_behind_packets),
            )
    except OSError as error:
        # Too few descriptors, processes or bytes of memory: it can be asked for again.
        reason = f"no process can be started: {error}"
    if done is None:
        pass
    elif done.returncode < 0:
        reason = f"the process that made it was ended by signal {-done.returncode}"
    elif done.returncode > 0:
        lines = done.stderr[-_MOST_REASON_BYTES:].decode(errors="replace").strip().splitlines()
        reason = lines[-1].removeprefix("phantomlink: ") if lines else "it says nothing"
    else:
        said = json.loads(done.stdout)
        problems = {form: said["problems"][out.name] for form, out in outs.items()}
        return Converted(said["facts"], problems)
    logger.warning("Capture %s could not be converted: %s", conversion.capture_id, reason)
    return Converted(None, dict.fromkeys(outs, reason))
