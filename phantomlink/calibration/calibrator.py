"""Fits models in a process of its own, one at a time, so that ticks notice nothing."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import trio

from phantomlink.calibration.store import ModelInUseError, ModelStore
from phantomlink.decoding import ModelError, load_model
from phantomlink.errors import TooManyRequestsError
from phantomlink.files.slots import Slots
from phantomlink.scheduling.background import Behind, put_behind_all
from phantomlink.scheduling.own_cpu import own_cpu
from phantomlink.scheduling.worker_thread import run_in_thread_patiently

logger = logging.getLogger(__name__)

FIT_SECONDS = 60.0
_WORKER = (sys.executable, "-m", "phantomlink.calibration.worker")
_RETRY_AFTER_SECONDS = 10
_MOST_OUTPUT_BYTES = 65536
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is to be fitted to what.

    Attributes:
        recording: file.
        rate_hz: bins a second.
        environment: variables that name series and columns, as the server's settings do.
        kind: of the decoder.
        perturbation: JSON; None for none.
        seed: of it, and of the split.
        train: trials, as `phantomlink fit --train` takes them.
        window: `trials` or `movement`.
    """

    recording: Path
    rate_hz: Fraction
    environment: Mapping[str, str]
    kind: str
    perturbation: Any
    seed: int
    train: str
    window: str


class Calibrator:
    """Fits the models of a server.

    Args:
        store: that keeps them.
        in_use: answers the models that are put on sessions.
        slots: of fits at once; one.
        worker: command that fits; the arguments of `phantomlink fit` follow it.
        longest_seconds: that a fit may take.
        keep_cpu: a context in which packets have the CPU before a process of ours that computes.

    Attributes:
        store, in_use: as given.
    """

    def __init__(
        self,
        store: ModelStore,
        in_use: Callable[[], Collection[str]],
        slots: Slots,
        *,
        worker: Sequence[str] = _WORKER,
        longest_seconds: float = FIT_SECONDS,
        keep_cpu: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.store = store
        self.in_use = in_use
        self._slots = slots
        self._worker = worker
        self._longest_seconds = longest_seconds
        self._keep_cpu = keep_cpu
        self._is_busy = False
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Fit what is asked for, until cancelled; a fit that runs then is killed."""
        await run_in_thread_patiently(self.store.load)
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def start(self, calibration: Calibration) -> str:
        """Begin to fit; answers the id of the model to be.

        Raises:
            TooManyRequestsError: another is being fitted.
            ModelInUseError: there is no room for another model.
        """
        if self._is_busy or self._nursery is None or not self._slots.use(1):
            raise TooManyRequestsError(
                "a model is being fitted, and one is at a time: ask again later",
                _RETRY_AFTER_SECONDS,
            )
        try:
            model_id = self.store.begin(calibration.kind, self.in_use()).model_id
        except ModelInUseError:
            self._slots.use(0)
            raise
        self._is_busy = True
        self._nursery.start_soon(self._fit, model_id, calibration)
        return model_id

    async def _fit(self, model_id: str, calibration: Calibration) -> None:
        out = self.store.path(model_id)
        try:
            await run_in_thread_patiently(_make_folder, out.parent)
            with self._keep_cpu(), own_cpu():
                reason = await self._run_worker(calibration, out)
            if reason is None:
                self.store.fitted(model_id, await run_in_thread_patiently(load_model, out))
                logger.info("Model %s is ready", model_id)
                return
        except (ModelError, OSError) as error:
            reason = str(error)
        finally:
            self._is_busy = False
            self._slots.use(0)
        self.store.failed(model_id, reason)
        logger.warning("Model %s could not be fitted: %s", model_id, reason)

    async def _run_worker(self, calibration: Calibration, out: Path) -> str | None:
        """Fit; answers why it failed, None when it did not."""
        command = [
            *self._worker,
            *(str(calibration.recording), "--decoder", calibration.kind),
            *("--out", str(out), "--seed", str(calibration.seed)),
            *("--train", calibration.train, "--window", calibration.window, "--json"),
        ]
        if calibration.perturbation is not None:
            command += ["--perturbation", json.dumps(calibration.perturbation)]
        environment = {
            **os.environ,
            **calibration.environment,
            **_ONE_THREAD,
            "PHANTOM_STREAM_FREQUENCY_HZ": str(calibration.rate_hz),
        }
        with trio.move_on_after(self._longest_seconds):
            done = await trio.run_process(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                capture_stderr=True,
                env=environment,
                task_status=Behind(put_behind_all),
            )
            if done.returncode == 0:
                return None
            if done.returncode < 0:
                return f"the process that fitted it was ended by signal {-done.returncode}"
            return _reason(done.stderr[-_MOST_OUTPUT_BYTES:])
        return f"it took longer than {self._longest_seconds:g} s"


def _reason(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("phantomlink: ") if lines else "it says nothing"


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
