"""Networks as ONNX files, run on the CPU by onnxruntime, which the extra `onnx` installs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phantomlink.evaluation.feed import DecoderError


class OnnxDecoder:
    """Runs a network bin by bin.

    Its one input is float32 of shape (1, units), or (1, bins, units) for the latest bins, oldest
    first, those before the first being 0. Of its first output the last two or four numbers count:
    vx, vy, or vx, vy, x, y.

    Args:
        path: of the file.

    Raises:
        DecoderError: onnxruntime is not installed, or the network has another form.
    """

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime  # noqa: PLC0415
        except ImportError:
            raise DecoderError(
                f"{path}: onnxruntime is not installed: pip install 'phantomlink[onnx]'"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its errors have no common class
            raise DecoderError(f"{path}: cannot be loaded: {error}") from error
        inputs = self._session.get_inputs()
        shape = inputs[0].shape if len(inputs) == 1 else None
        if shape is None or len(shape) not in (2, 3) or inputs[0].type != "tensor(float)":
            told = ", ".join(f"{each.name}: {each.type} {each.shape}" for each in inputs)
            raise DecoderError(
                f"{path}: has the inputs {told}; takes one of float32, (1, units) or "
                "(1, bins, units)"
            )
        self._name = inputs[0].name
        n_bins = shape[1] if len(shape) == 3 else 1
        if not isinstance(n_bins, int):
            raise DecoderError(f"{path}: the number of bins of its input must be fixed, {shape}")
        self._is_window = len(shape) == 3
        self._n_bins = n_bins
        self._kept: NDArray[np.float32] | None = None

    def reset(self) -> None:
        """Forget what was seen."""
        self._kept = None

    def step(self, counts: NDArray[np.integer]) -> list[float]:
        """Decode the next bin."""
        if self._kept is None:
            self._kept = np.zeros((1, self._n_bins, counts.size), np.float32)
        self._kept[0, :-1] = self._kept[0, 1:]
        self._kept[0, -1] = counts
        given = self._kept if self._is_window else self._kept[:, -1]
        output = np.asarray(self._session.run(None, {self._name: given})[0])
        said: list[float] = output.reshape(-1, output.shape[-1])[-1].tolist()
        return said
