"""The models that a server keeps, in a folder of npz files."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import platformdirs

from phantomlink.decoding import Model, ModelError, load_model
from phantomlink.errors import NotFoundError, PhantomLinkError

logger = logging.getLogger(__name__)

MAX_MODELS = 32
_SUFFIX = ".npz"


class ModelNotFoundError(NotFoundError):
    """The server has no such model."""

    title = "No such model"


class ModelInUseError(PhantomLinkError):
    """A model is put on a session, or being fitted."""

    http_status = 409
    title = "Model in use"


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model, or one that is to become one.

    Attributes:
        model_id: its name in routes.
        state: `fitting`, `ready` or `failed`.
        kind: of the decoder.
        created_at: when it was asked for, or its file written.
        model: once it is ready.
        reason: why it failed.
    """

    model_id: str
    state: str
    kind: str
    created_at: datetime
    model: Model | None = None
    reason: str | None = None


class ModelStore:
    """Models by id.

    Args:
        folder: of their files; made when the first is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._models: dict[str, StoredModel] = {}

    def load(self) -> None:
        """Read what an earlier run of the server has kept; a file that is no model is passed over.

        Blocks.
        """
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            self._load(path)

    def look_for(self, model_id: str) -> None:
        """Read a model that another process of the server has fitted, if there is such a file.

        Blocks.
        """
        path = self.folder / f"{model_id}{_SUFFIX}"
        is_plain = path.parent == self.folder and "\0" not in model_id and len(model_id) < 128
        if is_plain and model_id not in self._models and path.is_file():
            self._load(path)

    def _load(self, path: Path) -> None:
        try:
            model = load_model(path)
        except ModelError as error:
            logger.warning("A model is passed over: %s", error)
            return
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        self._models[path.stem] = StoredModel(path.stem, "ready", model.kind, written, model)

    def all(self) -> list[StoredModel]:
        """From the oldest to the newest."""
        return sorted(self._models.values(), key=lambda stored: stored.created_at)

    def get(self, model_id: str) -> StoredModel:
        """The model of this id.

        Raises:
            ModelNotFoundError: there is none.
        """
        try:
            return self._models[model_id]
        except KeyError:
            raise ModelNotFoundError(f"no model {model_id!r}") from None

    def ready(self, model_id: str) -> Model:
        """The model of this id, to be used.

        Raises:
            ModelNotFoundError: there is none.
            ModelError: it is being fitted, or that has failed.
        """
        stored = self.get(model_id)
        if stored.model is None:
            reason = f": {stored.reason}" if stored.reason else ""
            raise ModelError(
                f"model {model_id!r} is {stored.state}, takes one that is ready{reason}"
            )
        return stored.model

    def path(self, model_id: str) -> Path:
        """Of its file.

        Raises:
            ModelNotFoundError: there is no such model.
        """
        self.get(model_id)
        return self.folder / f"{model_id}{_SUFFIX}"

    def begin(self, kind: str, in_use: Collection[str]) -> StoredModel:
        """A model is about to be fitted; the oldest that is not in use makes room for it.

        Args:
            kind: of the decoder.
            in_use: models that are put on sessions.

        Raises:
            ModelInUseError: all are in use.
        """
        while len(self._models) >= MAX_MODELS:
            free = [m for m in self.all() if m.model_id not in in_use and m.state != "fitting"]
            if not free:
                raise ModelInUseError(f"{MAX_MODELS} models are kept, and all are in use")
            self.delete(free[0].model_id, in_use)
        model_id = f"{kind}-{secrets.token_hex(4)}"
        stored = StoredModel(model_id, "fitting", kind, datetime.now(UTC))
        self._models[model_id] = stored
        return stored

    def fitted(self, model_id: str, model: Model) -> None:
        """A model is ready; its file is written."""
        begun = self._models[model_id]
        self._models[model_id] = StoredModel(model_id, "ready", model.kind, begun.created_at, model)

    def failed(self, model_id: str, reason: str) -> None:
        """A model could not be fitted."""
        begun = self._models[model_id]
        self._models[model_id] = StoredModel(
            model_id, "failed", begun.kind, begun.created_at, reason=reason
        )

    def delete(self, model_id: str, in_use: Collection[str]) -> None:
        """Forget a model, and delete its file.

        Raises:
            ModelNotFoundError: there is none.
            ModelInUseError: it is put on a session, or being fitted.
        """
        stored = self.get(model_id)
        if model_id in in_use or stored.state == "fitting":
            what = "is being fitted" if stored.state == "fitting" else "is put on a session"
            raise ModelInUseError(f"model {model_id!r} {what}")
        self.path(model_id).unlink(missing_ok=True)
        del self._models[model_id]


def default_models_dir() -> Path:
    """Where models are kept unless a setting says otherwise."""
    return platformdirs.user_data_path("phantomlink") / "models"
