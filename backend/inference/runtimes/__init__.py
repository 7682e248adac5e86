"""The runtimes by name, imported only when a model asks for one."""

import os
from importlib import import_module

from backend.errors import ArtifactError
from backend.inference.interfaces import ModelRuntime

RUNTIMES = {
    "lightgbm": "backend.inference.runtimes.lightgbm:LightGBMRuntime",
    "onnx": "backend.inference.runtimes.onnx:OnnxRuntime",
    "sklearn": "backend.inference.runtimes.sklearn:SklearnRuntime",
    "torch": "backend.inference.runtimes.torch:TorchRuntime",
    "xgboost": "backend.inference.runtimes.xgboost:XGBoostRuntime",
}
INSTALL = {
    "torch": "pip install -r requirements-torch.txt",
    "xgboost": "pip install -r requirements-xgboost.txt",
}
"""How to install the libraries that requirements.txt leaves out."""

# OpenMP's threads spin for milliseconds after each call, on cores that others need. Each library brings its own OpenMP,
# which reads this when the library is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def runtime_class(name: str) -> type[ModelRuntime]:
    """Return the class of the runtime `name`.

    Raises:
        ArtifactError: there is no such runtime, or the library it needs is not installed.
    """
    if name not in RUNTIMES:
        raise ArtifactError(f"unknown runtime {name!r}; the valid ones are {', '.join(sorted(RUNTIMES))}")
    module, _, attribute = RUNTIMES[name].partition(":")
    try:
        found: type[ModelRuntime] = getattr(import_module(module), attribute)
    except ImportError as error:
        remedy = INSTALL.get(name, "pip install -r requirements.txt")
        raise ArtifactError(f"the runtime {name!r} cannot be imported ({error}); {remedy}") from error
    return found
