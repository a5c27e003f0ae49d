"""Decoders of movement from spike counts, fitted and run with numpy alone.

`fit_model` fits one of `DECODERS` to bins of a recording, `Model.decoder` runs it bin by bin,
`save_model` and `load_model` keep it. No event loop, no file but the model's own: whoever serves,
scores or calibrates calls from here.
"""

from phantomlink.decoding.fitting import DECODERS, FitOptions, fit_model
from phantomlink.decoding.interface import Decoder, LearningDecoder, Predicted, RefittingDecoder
from phantomlink.decoding.model import Model, ModelError
from phantomlink.decoding.model_file import load_model, save_model
from phantomlink.decoding.training import TrainingData, run_decoder
from phantomlink.decoding.validation import (
    Validation,
    cross_validate,
    fit_and_validate,
    split_trials,
)

__all__ = [
    "DECODERS",
    "Decoder",
    "FitOptions",
    "LearningDecoder",
    "Model",
    "ModelError",
    "Predicted",
    "RefittingDecoder",
    "TrainingData",
    "Validation",
    "cross_validate",
    "fit_and_validate",
    "fit_model",
    "load_model",
    "run_decoder",
    "save_model",
    "split_trials",
]
