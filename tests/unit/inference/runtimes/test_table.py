import subprocess
import sys

import pytest

from backend.errors import ArtifactError
from backend.inference.interfaces import ModelRuntime
from backend.inference.runtimes import RUNTIMES, runtime_class


@pytest.mark.parametrize("name", ["lightgbm", "onnx", "sklearn", "xgboost"])
def test_every_name_leads_to_a_runtime(name: str) -> None:
    assert issubclass(runtime_class(name), ModelRuntime)


def test_an_unknown_name_is_told_the_valid_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RUNTIMES, "sum")
    monkeypatch.delitem(RUNTIMES, "explained_sum")
    with pytest.raises(ArtifactError, match="unknown runtime 'tea'; the valid ones are lightgbm, onnx, sklearn, torch"):
        runtime_class("tea")


def test_a_runtime_whose_library_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RUNTIMES, "absent", "backend.inference.runtimes.absent:Absent")
    with pytest.raises(ArtifactError, match="runtime 'absent' cannot be imported"):
        runtime_class("absent")


@pytest.mark.parametrize(
    ("name", "library", "remedy"),
    [
        ("torch", "torch", "pip install -r requirements-torch.txt"),
        ("xgboost", "xgboost", "pip install -r requirements-xgboost.txt"),
        ("sklearn", "skops", "pip install -r requirements.txt"),
    ],
)
def test_the_error_about_a_library_that_is_not_installed_says_how_to_install_it(
    name: str, library: str, remedy: str
) -> None:
    script = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "from backend.errors import ArtifactError\n"
        "from backend.inference.runtimes import runtime_class\n"
        f"try: runtime_class({name!r})\n"
        "except ArtifactError as error: print(error)"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert remedy in output


def test_threads_of_openmp_are_told_to_sleep_unless_the_operator_says_otherwise() -> None:
    script = "import os, backend.inference.runtimes; print(os.environ['OMP_WAIT_POLICY'])"
    for given, policy in (({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")):
        environment = {"PATH": "/usr/bin", **given}
        command = [sys.executable, "-c", script]
        output = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
        assert output.strip() == policy


def test_the_client_imports_no_model_library_before_a_model_needs_it() -> None:
    script = (
        "import sys, backend.inference.client;"
        "print({'lightgbm', 'onnxruntime', 'sklearn', 'skops', 'torch', 'xgboost'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"
