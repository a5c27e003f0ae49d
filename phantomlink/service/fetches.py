"""Fetching datasets of the catalogue, each in a child process, when the operator allows it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from functools import partial
from typing import Any

import trio

from phantomlink.errors import PhantomLinkError, UnavailableError, leaves
from phantomlink.files.shown import without_folders
from phantomlink.recordings.catalogue.datasets import Dataset
from phantomlink.scheduling.background import put_behind_packets
from phantomlink.service.datasets import Datasets
from phantomlink.settings import Settings

logger = logging.getLogger(__name__)

_PROGRAM = "phantomlink.recordings.fetch.command"


class FetchRefusedError(PhantomLinkError):
    """A dataset is not fetched."""

    title = "Not fetched"

    def __init__(self, message: str, http_status: int) -> None:
        super().__init__(message)
        self.http_status = http_status


class Fetches:
    """The fetches that are under way.

    Args:
        settings: of the server.
        datasets: which there are.
    """

    def __init__(self, settings: Settings, datasets: Datasets) -> None:
        self._settings = settings
        self._datasets = datasets
        self._nursery: trio.Nursery | None = None
        self._running: dict[str, str] = {}
        self._failed: dict[str, str] = {}

    def start(self, nursery: trio.Nursery) -> None:
        """Be ready to fetch."""
        self._nursery = nursery

    def progress_of(self, name: str) -> str | None:
        """How far the fetch of a dataset is; None when it is not under way."""
        return self._running.get(name)

    def failure_of(self, name: str) -> str | None:
        """Why the last fetch of a dataset failed."""
        return self._failed.get(name)

    @property
    def refusal(self) -> str | None:
        """Why nothing may be fetched; None where the operator allows it."""
        if self._settings.catalog_fetch == "listed":
            return None
        return "fetching is off; the operator allows it with PHANTOM_CATALOG_FETCH=listed"

    async def begin(self, name: str) -> None:
        """Begin to fetch a dataset.

        Raises:
            FetchRefusedError: it may not be, is there, or is under way.
            UnknownDatasetError: there is none of this name.
        """
        if self.refusal is not None:
            raise FetchRefusedError(self.refusal, 403)
        dataset = self._datasets.catalogue.named(name)
        self._check(dataset)
        if self._nursery is None:
            raise UnavailableError("the server is starting or going away: try again")
        self._running[name] = "waits for the archive"
        self._failed.pop(name, None)
        self._nursery.start_soon(self._fetch, name)

    def _check(self, dataset: Dataset) -> None:
        if dataset.path is not None:
            raise FetchRefusedError(f"dataset {dataset.name} is here already", 409)
        if dataset.name in self._running:
            raise FetchRefusedError(
                f"dataset {dataset.name} is being fetched: {self._running[dataset.name]}", 409
            )

    async def _fetch(self, name: str) -> None:
        folder = str(self._settings.data_directory)
        command = [sys.executable, "-m", _PROGRAM, name, folder]
        process: trio.Process | None = None
        try:
            async with trio.open_nursery() as nursery:
                run = partial(
                    trio.run_process,
                    command,
                    stdin=b"",
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    check=False,
                )
                started = await nursery.start(run)
                process = started
                put_behind_packets(started.pid)
                await self._follow(name, started.stdout)
        except* OSError as group:
            # Too few descriptors, processes or bytes of memory.
            self._failed[name] = f"no process can be started: {next(leaves(group))}"
        finally:
            del self._running[name]
        if process is not None and process.returncode and name not in self._failed:
            self._failed[name] = f"fetching ended with exit code {process.returncode}"
        if name in self._failed:
            logger.warning("Dataset %s was not fetched: %s", name, self._failed[name])
        else:
            logger.info("Dataset %s was fetched", name)
            await self._datasets.look_again()

    async def _follow(self, name: str, lines: trio.abc.ReceiveStream) -> None:
        pending = b""
        async for received in lines:
            *whole, pending = (pending + received).split(b"\n")
            for line in whole:
                self._heard(name, json.loads(line))

    def _heard(self, name: str, said: dict[str, Any]) -> None:
        if "error" in said:
            target = self._settings.data_directory / f"{name}.nwb"
            self._failed[name] = without_folders(str(said["error"]), target)
            return
        done, total = said["done"] / 1e6, said["total"]
        of = "" if total is None else f" of {total / 1e6:.1f}"
        self._running[name] = f"{done:.1f}{of} MB have come"
