import subprocess
import sys

import pytest

from backend.errors import ArtifactError
from backend.inference.interfaces import ModelRuntime
from backend.inference.runtimes import RUNTIMES, runtime_class


@pytest.mark.parametrize("name", ["lightgbm", "onnx"])
def test_every_name_leads_to_a_runtime(name: str) -> None:
    assert issubclass(runtime_class(name), ModelRuntime)


def test_an_unknown_name_is_told_the_valid_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RUNTIMES, "sum")
    monkeypatch.delitem(RUNTIMES, "explained_sum")
    with pytest.raises(ArtifactError, match="unknown runtime 'torch'; the valid ones are lightgbm, onnx"):
        runtime_class("torch")


def test_a_runtime_whose_library_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RUNTIMES, "absent", "backend.inference.runtimes.absent:Absent")
    with pytest.raises(ArtifactError, match="runtime 'absent' cannot be imported"):
        runtime_class("absent")


def test_the_client_imports_no_model_library_before_a_model_needs_it() -> None:
    script = "import sys, backend.inference.client; print({'lightgbm', 'onnxruntime'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"
