"""ONNX graphs on the CPU.

Since 1.29 onnxruntime reports its use to Microsoft, from a thread it starts when it is imported. That has no place
beside health data, and a forked child of a process with that thread cannot exit. It is switched off before the import.
"""

import os
from typing import Any, Self

import numpy as np

from backend.errors import ArtifactError
from backend.inference.interfaces import Floats, ModelRuntime
from backend.inference.manifest import Manifest

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

FLOAT_TENSORS: dict[str, type[np.floating[Any]]] = {"tensor(float)": np.float32, "tensor(double)": np.float64}


class OnnxRuntime(ModelRuntime):
    """One float tensor of shape (n, k) in; the output is the graph's only one, of shape (n,) or (n, 1).

    A two-class classifier from skl2onnx (`zipmap=False`) has two outputs: the second column of `probabilities` is used.
    """

    def __init__(self, session: onnxruntime.InferenceSession, columns: int) -> None:
        self._session = session
        self._input, self._dtype = _find_input(session.get_inputs(), columns)
        self._output, self._column = _find_output(session.get_outputs())

    @classmethod
    def load(cls, content: bytes, manifest: Manifest, *, threads: int) -> Self:
        """Build a session from the graph's bytes; see `ModelRuntime.load`."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what is wrong comes as an exception
        # Idle threads that spin take the core from LightGBM in the same process.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common base
            reason = str(error).splitlines()[0]
            raise ArtifactError(f"not a graph that onnxruntime can load: {reason}") from error
        return cls(session, len(manifest.columns))

    def predict(self, rows: Floats) -> Floats:
        """Return the graph's output, shape (n,); a graph of float32 rounds its inputs."""
        (output,) = self._session.run([self._output], {self._input: rows.astype(self._dtype, copy=False)})
        values = output if output.ndim == 1 else output[:, self._column]
        return np.asarray(values, dtype=np.float64)


def _find_input(inputs: list[Any], columns: int) -> tuple[str, type[np.floating[Any]]]:
    if len(inputs) != 1 or inputs[0].type not in FLOAT_TENSORS or len(inputs[0].shape) != 2:
        raise ArtifactError("the graph must have one input, a float or double tensor of shape (n, columns)")
    width = inputs[0].shape[1]
    if isinstance(width, int) and width != columns:
        raise ArtifactError(f"the graph takes {width} columns, the manifest has {columns}")
    return inputs[0].name, FLOAT_TENSORS[inputs[0].type]


def _find_output(outputs: list[Any]) -> tuple[str, int]:
    """Return the name of the output to read and the column to take when it is two-dimensional."""
    named = [output for output in outputs if output.name == "probabilities"]
    found = named or outputs
    if len(found) == 1 and found[0].type in FLOAT_TENSORS:
        shape = found[0].shape
        if len(shape) == 1 or (len(shape) == 2 and shape[1] == 1):
            return found[0].name, 0
        if named and len(shape) == 2 and shape[1] == 2:
            return found[0].name, 1
    raise ArtifactError(
        "the graph must have one float output of shape (n,) or (n, 1), or one named 'probabilities' of shape (n, 2)"
        " (skl2onnx: options={'zipmap': False})"
    )
