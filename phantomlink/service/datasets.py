"""The datasets of a running server: opened on first use, kept while sessions play them.

Theory of operation. The default dataset is opened by the service and never let go. Any other is
opened once, by a task of the service, and whoever asks meanwhile waits for that opening. A child
process reads the file and hands over what is in it, counted in the bins that sessions usually have:
a damaged one may take HDF5 down, and reading and counting keep an interpreter busy that has packets
to send. Meanwhile nobody is given the CPU between packets: it would be that process. What is too
large for memory is opened here too. What no session plays is closed, longest unused first, when the
recordings together take more memory than they may. A file that was changed since is opened again
when nobody plays it.

HDF5 has one lock for the whole process: a read that hangs keeps those of other datasets waiting.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, asynccontextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path

import trio

from phantomlink.engine.open_recording import OpenRecording
from phantomlink.engine.parts import PartsCache
from phantomlink.engine.session import Session
from phantomlink.errors import PhantomLinkError, RecordingError, SettingsError, UnavailableError
from phantomlink.files.shown import without_folders
from phantomlink.recordings.catalogue.datasets import Catalogue, Dataset
from phantomlink.recordings.catalogue.facts import Facts, FactsCache, facts_of
from phantomlink.recordings.catalogue.readers import Readers
from phantomlink.recordings.identity import FileIdentity
from phantomlink.recordings.options import SeriesOptions
from phantomlink.recordings.read_contents import ReadContents
from phantomlink.recordings.recording import Recording, open_recording, read_recording
from phantomlink.recordings.synthetic_default import make_synthetic
from phantomlink.scheduling.background import put_behind_packets
from phantomlink.scheduling.worker_thread import run_in_thread
from phantomlink.service.dataset_errors import (
    CatalogueFileError,
    DatasetBrokenError,
    DatasetBusyError,
    DatasetListedError,
)
from phantomlink.service.held_dataset import HeldDataset

logger = logging.getLogger(__name__)

WAIT_SECONDS = 10.0
"""Longest that a request waits for a dataset to be opened."""

_CHILDREN = 2
_MB = 1e6


class Datasets:
    """Datasets by name.

    Args:
        find: reads data directory and catalogues; blocks.
        catalogue_file: of the data directory.
        sessions: all that there are.
        parts: of what is played.
        memory_mb: that recordings may take together, in MB.
        rate_hz: bins a second of most sessions: readers count in those.
        keep_cpu: a context in which packets have the CPU before a process of ours that computes.

    Attributes:
        after_look: awaited after `look_again`; None where no other process has to look, too.
    """

    def __init__(
        self,
        find: Callable[[], Catalogue],
        catalogue_file: Path,
        sessions: Iterable[Session],
        parts: PartsCache,
        memory_mb: int,
        rate_hz: Fraction,
        keep_cpu: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._find = find
        self._catalogue_file = catalogue_file
        self._sessions = sessions
        self._parts = parts
        self._memory_bytes = memory_mb * _MB
        self._rate_hz = rate_hz
        self._keep_cpu = keep_cpu
        self._catalogue = Catalogue([])
        self._held: dict[str, HeldDataset] = {}
        self._broken: dict[str, str] = {}
        self._nursery: trio.Nursery | None = None
        self._children = trio.CapacityLimiter(_CHILDREN)
        self._default: OpenRecording | None = None
        self.facts_cache = FactsCache()
        self.after_look: Callable[[], Awaitable[None]] | None = None
        self._readers = Readers(started=put_behind_packets)

    @property
    def catalogue(self) -> Catalogue:
        """What there is, as last looked for."""
        return self._catalogue

    @property
    def default_name(self) -> str | None:
        """Name of the dataset that is played when none is named."""
        return self._catalogue.default

    async def start(self, nursery: trio.Nursery, default: OpenRecording) -> None:
        """Read the catalogue; the default one is open already.

        Raises:
            SettingsError: the catalogue file has the wrong form.
        """
        self._nursery = nursery
        self._default = default
        await self.rescan()

    def close(self) -> None:
        """End the processes that read files."""
        self._readers.close()

    async def rescan(self) -> int:
        """Look at data directory and catalogues again; answers how many datasets there are."""
        self._catalogue = await run_in_thread(self._find, limiter=self._children)
        self._broken = {}
        return len(self._catalogue)

    async def rescan_when_asked(self) -> int:
        """As `rescan`, for a client.

        Raises:
            CatalogueFileError: the catalogue file has the wrong form; all stays as it was.
        """
        try:
            return await self.rescan()
        except SettingsError as error:
            why = without_folders(str(error), self._catalogue_file)
            raise CatalogueFileError(f"{why}; the list of datasets stays as it was") from error

    async def look_again(self) -> None:
        """As `rescan`, when a file has come or gone; where that fails, a line says so."""
        try:
            await self.rescan()
        except (OSError, PhantomLinkError) as error:
            logger.warning("The list of datasets stays as it was: %s", error)
        if self.after_look is not None:
            await self.after_look()

    def sessions_of(self, name: str) -> int:
        """How many sessions play a dataset."""
        opened = self.opened_now(name)
        if opened is None:
            return 0
        return sum(session.open_recording is opened for session in self._sessions)

    def opened_now(self, name: str) -> OpenRecording | None:
        """The open recording of a dataset; None when it is not open."""
        if name == self.default_name:
            return self._default
        held = self._held.get(name)
        return None if held is None else held.opened

    def digests(self) -> set[str]:
        """SHA-256 of the files that are open, where it is known."""
        opened = [self._default, *(held.opened for held in self._held.values())]
        known = (None if each is None else each.sha256 for each in opened)
        return {sha256 for sha256 in known if sha256 is not None}

    def state_of(self, dataset: Dataset) -> tuple[str, str | None]:
        """State of a dataset, as a card has it, and the reason."""
        if dataset.path is None:
            return "listed", dataset.problem
        opened = self.opened_now(dataset.name)
        if opened is not None:
            lost = opened.lost
            return ("open", opened.reason) if lost is None else ("broken", lost)
        held = self._held.get(dataset.name)
        if held is not None and not held.done.is_set():
            return "available", held.progress
        reason = dataset.problem or self._broken.get(dataset.name)
        return ("available", None) if reason is None else ("broken", reason)

    async def facts_of(self, dataset: Dataset) -> tuple[Facts | None, int | None]:
        """What is known of a dataset's file, and its size, without opening it."""
        if dataset.path is None:
            return None, None
        opened = self.opened_now(dataset.name)
        return await run_in_thread(
            partial(self._facts, dataset, dataset.path, opened), limiter=self._children
        )

    @asynccontextmanager
    async def using(self, name: str | None) -> AsyncIterator[OpenRecording]:
        """The open recording of a dataset, which stays open in here; None: the default one.

        Raises:
            UnknownDatasetError: there is none of this name.
            InvalidParameterError: the name is a path.
            DatasetBrokenError: it cannot be played.
            DatasetBusyError: it is still being opened, or there is no room for it.
        """
        if self._default is None or self._nursery is None:
            raise UnavailableError("the server is starting or going away: try again")
        if name is None or name == self.default_name:
            yield self._default
            return
        held = await self._fresh(self._catalogue.named(name))
        held.pins += 1
        try:
            with trio.move_on_after(WAIT_SECONDS):
                await held.done.wait()
            if not held.done.is_set():
                raise DatasetBusyError(f"dataset {name}: {held.progress}; try again")
            if held.error is not None:
                raise held.error
            assert held.opened is not None
            held.last_used = trio.current_time()
            yield held.opened
        finally:
            held.pins -= 1

    async def _fresh(self, dataset: Dataset) -> HeldDataset:
        """What holds a dataset; begun where nothing does, or where its file was changed."""
        held = self._held.get(dataset.name)
        if held is not None and held.opened is not None and not self._is_busy(held):
            changed = await run_in_thread(
                _is_changed, held.opened.recording, limiter=self._children
            )
            if changed and not self._is_busy(held) and self._held.get(dataset.name) is held:
                await self._let_go(held)
                held = None
            elif self._held.get(dataset.name) is not held:
                held = self._held.get(dataset.name)
        if held is None:
            assert self._nursery is not None
            now = trio.current_time()
            held = self._held[dataset.name] = HeldDataset(dataset, now, now)
            self._nursery.start_soon(self._hold, held)
        return held

    async def _hold(self, held: HeldDataset) -> None:
        """Open a dataset, and look after it until it is let go."""
        name = held.dataset.name
        opened: OpenRecording | None = None
        try:
            with held.scope:
                with self._keep_cpu():
                    opened = await self._open(held.dataset)
                    held.opened = opened
                    await self._make_room(held)
                self._broken.pop(name, None)
                logger.info("Dataset %s is open: %s", name, opened.recording.path)
                held.done.set()
                await opened.run()
                await trio.sleep_forever()
        except PhantomLinkError as error:
            held.error, held.opened = error, None
            if not isinstance(error, DatasetBusyError):
                self._broken[name] = str(error)
            logger.warning("Dataset %s (%s) cannot be played: %s", name, held.dataset.path, error)
        finally:
            if self._held.get(name) is held:
                del self._held[name]
            held.done.set()
            if opened is not None:
                await opened.close()

    async def _open(self, dataset: Dataset) -> OpenRecording:
        if dataset.problem is not None:
            raise DatasetBrokenError(dataset.problem)
        if dataset.path is None:
            raise DatasetListedError(
                f"dataset {dataset.name} is not here yet: phantomlink fetch {dataset.name}"
            )
        thread = trio.CapacityLimiter(1)
        try:
            if dataset.is_to_make:
                await run_in_thread(make_synthetic, limiter=self._children, abandon_on_cancel=True)
            contents = await run_in_thread(
                self._read,
                dataset.path,
                dataset.options,
                limiter=self._children,
                abandon_on_cancel=True,
            )
            recording = await run_in_thread(
                partial(open_recording, dataset.path, options=dataset.options, name=dataset.name)
                if contents is None
                else partial(read_recording, dataset.path, contents, dataset.options, dataset.name),
                limiter=thread,
            )
        except RecordingError as error:
            raise DatasetBrokenError(without_folders(str(error), dataset.path)) from error
        except OSError as error:
            # Too few descriptors, processes or bytes of memory: nothing is wrong with the file.
            why = without_folders(str(error), dataset.path)
            raise DatasetBusyError(f"dataset {dataset.name} cannot be opened now: {why}") from error
        return OpenRecording.recovering(recording, thread)

    async def _make_room(self, newcomer: HeldDataset) -> None:
        """Let go what nobody plays, longest unused first, until all fit.

        Raises:
            DatasetBusyError: what is played leaves no room for the new one.
        """
        while (taken := self._taken_bytes()) > self._memory_bytes:
            idle = [
                held
                for held in self._held.values()
                if held is not newcomer and held.opened is not None and not self._is_busy(held)
            ]
            if not idle:
                assert newcomer.opened is not None
                needed = newcomer.opened.recording.memory_bytes
                raise DatasetBusyError(
                    f"dataset {newcomer.dataset.name} takes {needed / _MB:.0f} MB; recordings that "
                    f"are played take {(taken - needed) / _MB:.0f} of "
                    f"{self._memory_bytes / _MB:.0f} MB (PHANTOM_RECORDINGS_MEMORY_MB)"
                )
            await self._let_go(min(idle, key=lambda held: held.last_used))

    async def _let_go(self, held: HeldDataset) -> None:
        logger.info("Dataset %s is let go", held.dataset.name)
        if self._held.get(held.dataset.name) is held:
            del self._held[held.dataset.name]
        held.opened = None
        held.scope.cancel()
        await trio.lowlevel.checkpoint()

    def _is_busy(self, held: HeldDataset) -> bool:
        """Whether a request or a session uses it."""
        return held.pins > 0 or any(
            session.open_recording is held.opened for session in self._sessions
        )

    def _taken_bytes(self) -> int:
        opened = [held.opened for held in self._held.values() if held.opened is not None]
        if self._default is not None:
            opened.append(self._default)
        return sum(each.recording.memory_bytes + self._parts.bytes_of(each) for each in opened)

    def _read(self, path: Path, options: SeriesOptions) -> ReadContents | None:
        """All of a file, read by another process; None when it is to be opened here.

        It is where it was opened well before and no reader is ready yet, since starting one takes
        longer than opening a file, and where it is too large to be held in memory.
        """
        if not self._readers.has_idle and self.facts_cache.get(path, options) is not None:
            self._readers.start()
            return None
        return self._readers.read(path, options, [self._rate_hz]).contents

    def _facts(
        self, dataset: Dataset, path: Path, opened: OpenRecording | None
    ) -> tuple[Facts | None, int | None]:
        try:
            size = FileIdentity.of(path).size
        except OSError:
            size = None
        facts = self.facts_cache.get(path, dataset.options)
        if facts is None and opened is not None:
            facts = facts_of(opened.recording)
            self.facts_cache.put(path, dataset.options, opened.recording.identity, facts)
        return facts, size


def _is_changed(recording: Recording) -> bool:
    """Whether its name has another file now, or none; blocks."""
    try:
        return FileIdentity.of(recording.path) != recording.identity
    except OSError:
        return True
