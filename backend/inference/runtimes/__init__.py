"""The runtimes by name, imported only when a model asks for one."""

from importlib import import_module

from backend.errors import ArtifactError
from backend.inference.interfaces import ModelRuntime

RUNTIMES = {
    "lightgbm": "backend.inference.runtimes.lightgbm:LightGBMRuntime",
    "onnx": "backend.inference.runtimes.onnx:OnnxRuntime",
}


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
        raise ArtifactError(f"the runtime {name!r} cannot be imported ({error}); install its library") from error
    return found
