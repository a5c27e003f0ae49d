"""Where the decoders of `phantomlink score` come from: a class, a model, a network, a name."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phantomlink.decoding import DECODERS, Decoder, TrainingData, fit_model, load_model
from phantomlink.errors import InvalidParameterError
from phantomlink.evaluation.falcon import FalconDecoder
from phantomlink.evaluation.feed import DecoderError
from phantomlink.evaluation.onnx import OnnxDecoder
from phantomlink.scoring import is_decoder_name

_FORMS = f"package:Class, falcon:package:Class, MODEL.npz, NETWORK.onnx, or {', '.join(DECODERS)}"


@dataclass(frozen=True, slots=True)
class DecoderSource:
    """A decoder as it was named on the command line.

    Attributes:
        name: in the report.
        text: what it is: one of the forms.
        options: of a class, as keyword arguments.
    """

    name: str
    text: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class LoadedDecoder:
    """A decoder, ready to be fitted and run.

    Attributes:
        decoder: to run; None for a built-in one that is still to be fitted.
        fit: fits it to training trials, and answers what to run; None for one that is not fitted.
        trained_on: trials that it was fitted to before.
        unit_ids, bin_size_ms: that it needs; None where it does not say.
    """

    decoder: Decoder | None
    fit: Callable[[TrainingData], Decoder] | None = None
    trained_on: tuple[int, ...] = ()
    check: Callable[[Sequence[int], float], None] | None = None


def parse_sources(texts: Sequence[str], options: Mapping[str, Any]) -> list[DecoderSource]:
    """The decoders of a command line, each `FORM` or `NAME=FORM`.

    Raises:
        InvalidParameterError: one has neither form, or two have the same name.
    """
    sources: list[DecoderSource] = []
    for text in texts:
        name, separator, form = text.rpartition("=")
        if not separator:
            form = text
            stem = Path(form).stem if form.endswith((".npz", ".onnx")) else form.split(":")[-1]
            name = re.sub(r"[^A-Za-z0-9_-]", "-", stem)[:64]
            taken = {source.name for source in sources}
            if name in taken:
                name = next(f"{name}-{k}" for k in range(2, 100) if f"{name}-{k}" not in taken)
        if not is_decoder_name(name):
            raise InvalidParameterError(
                f"decoder: got the name {name!r}, takes 1 to 64 letters, digits, - and _"
            )
        if any(source.name == name for source in sources):
            raise InvalidParameterError(f"decoder: two are named {name!r}: write NAME={form}")
        is_known = form in DECODERS or form.endswith((".npz", ".onnx")) or ":" in form
        if not is_known:
            raise InvalidParameterError(f"decoder: got {form!r}, takes {_FORMS}")
        sources.append(DecoderSource(name, form, options))
    return sources


def load_decoder(source: DecoderSource, dataset: str) -> LoadedDecoder:
    """Load a decoder. What it names is imported, and runs in this process.

    Args:
        source: what it is.
        dataset: name of the recording, which FALCON-style decoders are told.

    Raises:
        DecoderError: it cannot be loaded.
        ModelError: a model cannot be read.
    """
    text = source.text
    if text in DECODERS:
        return LoadedDecoder(None, lambda data: fit_model(text, data).decoder())
    if text.endswith(".npz"):
        model = load_model(Path(text))
        return LoadedDecoder(model.decoder(), None, model.training_trials, model.check)
    if text.endswith(".onnx"):
        return LoadedDecoder(OnnxDecoder(Path(text)))
    is_falcon = text.startswith("falcon:")
    made = _made(source, text.removeprefix("falcon:"))
    if is_falcon:
        return LoadedDecoder(FalconDecoder(made, dataset))
    _require(source.name, made, ("reset", "step"))
    fit = getattr(made, "fit", None)  # the interface says that it may be absent
    return LoadedDecoder(made, None if fit is None else lambda data: _fitted(made, fit, data))


def _fitted(decoder: Decoder, fit: Callable[..., Any], data: TrainingData) -> Decoder:
    """Fit a user's class to the bins of the training trials whose kinematics are known."""
    has_any = np.isfinite(data.kinematics).any(axis=0)
    rows = data.used & np.isfinite(data.kinematics[:, has_any]).all(axis=1)
    fit(data.counts[rows], data.kinematics[rows], data.trial_ids[rows])
    return decoder


def _made(source: DecoderSource, path: str) -> Any:
    module_name, _, class_name = path.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # a file beside which the command was started
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise DecoderError(f"{source.name}: {module_name} cannot be imported: {error}") from error
    try:
        made_of = getattr(module, class_name)
    except AttributeError:
        raise DecoderError(f"{source.name}: {module_name} has no {class_name!r}") from None
    try:
        return made_of(**source.options)
    except TypeError as error:
        raise DecoderError(f"{source.name}: {class_name} cannot be made: {error}") from error


def _require(name: str, made: object, methods: Sequence[str]) -> None:
    missing = [method for method in methods if not callable(getattr(made, method, None))]
    if missing:
        raise DecoderError(
            f"{name}: {type(made).__name__} has no {' and no '.join(missing)}; a decoder has "
            "reset() and step(counts)"
        )
