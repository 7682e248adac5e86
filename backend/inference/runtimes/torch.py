"""PyTorch programs written by `torch.export.save`.

Reading one executes code of whoever wrote it: some of its parts are pickles, others are evaluated or name functions of
Python. Such files are read only when they are signed and the installation allows it, which `backend.inference.trust`
decides by their names; so a name that it does not take for executable is refused here.
"""

from io import BytesIO
from typing import Any, ClassVar, Self

import numpy as np
import torch

from backend.errors import ArtifactError
from backend.inference.interfaces import Floats, ModelRuntime
from backend.inference.manifest import Manifest
from backend.inference.trust import EXECUTABLE

SHAPES = "the program must take one float tensor of shape (n, columns), n dynamic, and return one of (n,) or (n, 1)"


class TorchRuntime(ModelRuntime):
    """A program of one float tensor of shape (n, k) to one of shape (n,) or (n, 1), on the CPU.

    The library has one number of threads for the whole process, as the process has one client: it is set when a model
    is loaded. They are OpenMP's and sleep between calls.
    """

    keeps_memory: ClassVar[str | None] = "its programs refer to themselves, so they stay until Python looks for cycles"

    def __init__(self, program: Any, dtype: Any) -> None:  # noqa: ANN401 - the library is optional
        self._run = program.module()
        self._dtype = dtype

    @classmethod
    def load(cls, content: bytes, manifest: Manifest, *, threads: int) -> Self:
        """Build the program; see `ModelRuntime.load`."""
        if not manifest.file.endswith(EXECUTABLE):
            raise ArtifactError(f"executes code when it is read, and must be named so ({', '.join(EXECUTABLE)})")
        torch.set_num_threads(threads)
        try:
            program = torch.export.load(BytesIO(content))
        except Exception as error:  # of zip, JSON, pickle and everything they name
            raise ArtifactError(
                f"not a program of torch.export.save() ({type(error).__name__}); export it again"
            ) from error
        return cls(program, _check_shapes(program, len(manifest.columns)))

    def predict(self, rows: Floats) -> Floats:
        """Return the program's output, shape (n,); a program of float32 rounds its inputs."""
        with torch.inference_mode():
            output = self._run(torch.from_numpy(rows).to(self._dtype))
        return np.asarray(output.reshape(len(rows)).numpy(), dtype=np.float64)


def _check_shapes(program: Any, columns: int) -> Any:  # noqa: ANN401 - as above
    """Return the type of the numbers that the program takes."""
    signature = program.graph_signature
    if len(signature.user_inputs) != 1 or len(signature.user_outputs) != 1:
        raise ArtifactError(SHAPES)
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    given, returned = values[signature.user_inputs[0]], values[signature.user_outputs[0]]
    if given.dtype not in {torch.float32, torch.float64} or given.ndim != 2 or isinstance(given.shape[0], int):
        raise ArtifactError(SHAPES)
    if returned.ndim not in {1, 2} or isinstance(returned.shape[0], int) or (returned.shape[1:] or (1,)) != (1,):
        raise ArtifactError(SHAPES)
    if given.shape[1] != columns:
        raise ArtifactError(f"the program takes {given.shape[1]} columns, the manifest has {columns}")
    return given.dtype
