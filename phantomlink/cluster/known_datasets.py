"""Which datasets a worker could play, by the digests of their files: open or not.

A node takes over only sessions whose data it has. So it hashes the files of its catalogue ahead,
without haste, and again when one has changed.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass

import trio

from phantomlink.errors import RecordingError
from phantomlink.recordings.catalogue.datasets import Catalogue, Dataset
from phantomlink.recordings.digest_cache import DigestCache
from phantomlink.recordings.identity import FileIdentity
from phantomlink.scheduling.worker_thread import run_in_thread_patiently
from phantomlink.service.datasets import Datasets

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_LOOKS_UNTIL_NEXT = 30


@dataclass(frozen=True, slots=True)
class _Known:
    identity: FileIdentity
    sha256: str


class KnownDatasets:
    """Those of one worker.

    Args:
        datasets: of it.
        cache: of digests.
    """

    def __init__(self, datasets: Datasets, cache: DigestCache | None = None) -> None:
        self._datasets = datasets
        self._cache = cache or DigestCache()
        self._known: dict[str, _Known] = {}
        self._thread = trio.CapacityLimiter(1)

    def digests(self) -> set[str]:
        """SHA-256 of all that it could play, as far as they are known."""
        return self._datasets.digests() | {each.sha256 for each in self._known.values()}

    def name_of(self, sha256: str, name: str) -> str:
        """What a dataset is called here.

        Args:
            sha256: of its file.
            name: what it is called where its session was; kept where nothing else is known.
        """
        names = [name, *self._datasets.catalogue]
        return next((each for each in names if self._sha256_of(each) == sha256), name)

    def sha256_as(self, name: str, identity: FileIdentity) -> str | None:
        """The digest of a file that was opened; None where it was not hashed as it was then."""
        known = self._known.get(name)
        return known.sha256 if known is not None and known.identity == identity else None

    async def run(self) -> None:
        """Hash what is there, and what comes, until cancelled."""
        while True:
            looked_at = self._datasets.catalogue
            await self._look(looked_at)
            for _ in range(_LOOKS_UNTIL_NEXT):
                await trio.sleep(_LOOK_SECONDS)
                if self._datasets.catalogue is not looked_at:
                    break

    async def _look(self, catalogue: Catalogue) -> None:
        self._known = {name: each for name, each in self._known.items() if name in catalogue}
        datasets = list(catalogue.values())
        # Workers of one machine share what they find: each begins elsewhere.
        random.shuffle(datasets)
        for dataset in datasets:
            known = await run_in_thread_patiently(
                self._learnt, dataset, limiter=self._thread, abandon_on_cancel=True
            )
            if known is None:
                self._known.pop(dataset.name, None)
            else:
                self._known[dataset.name] = known

    def _learnt(self, dataset: Dataset) -> _Known | None:
        if dataset.path is None or dataset.problem is not None:
            return None
        try:
            identity = FileIdentity.of(dataset.path)
            return _Known(identity, self._cache.learn(dataset.path, identity))
        except FileNotFoundError:
            # The synthetic one is made when it is wanted.
            return None
        except (OSError, RecordingError) as error:
            logger.info("Sessions of dataset %s are not taken over: %s", dataset.name, error)
            return None

    def _sha256_of(self, name: str) -> str | None:
        opened = self._datasets.opened_now(name)
        if opened is not None and opened.sha256 is not None:
            return opened.sha256
        known = self._known.get(name)
        return None if known is None else known.sha256
