"""A version is compiled by a job of its own."""

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Flask

from backend.errors import NotFound
from backend.jobs.context import JobContext, RecordingModels
from backend.jobs.views import list_jobs
from backend.registry import service
from backend.registry.compile_job import COMPILE_MODEL, CompileRequest, compile_version
from backend.registry.shipped import adopt_shipped
from backend.registry.views import VersionView
from tests.unit.inference.conftest import write_sum
from tests.unit.registry.registry_stage import START


class Cache:
    """Takes down what it is asked to compile."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []

    def compile(self, manifest, weights: bytes) -> bool:
        self.asked.append((manifest.name, manifest.version, weights))
        return True


@pytest.fixture
def context(app: Flask) -> JobContext:
    return JobContext(job_id=uuid4(), models=RecordingModels(app.extensions["models"]))


def test_the_weights_of_the_version_are_compiled(app: Flask, tmp_path: Path, context: JobContext):
    write_sum(tmp_path / "models", "adder")
    cache = Cache()
    app.extensions["registry"] = replace(app.extensions["registry"], compiled=cache)
    adopt_shipped(app.extensions["registry"], at=START)
    assert compile_version(CompileRequest(model="adder", version="1"), context).compiled
    assert cache.asked == [("adder", "1", b"0.5")]


def test_a_version_that_is_gone_ends_the_job(app: Flask, context: JobContext):
    with pytest.raises(NotFound):
        compile_version(CompileRequest(model="adder", version="9"), context)


@pytest.mark.parametrize(("runtime", "jobs"), [("lightgbm", 1), ("onnx", 0)])
def test_what_is_registered_is_compiled_if_it_can_be(
    app: Flask, doorbell, monkeypatch: pytest.MonkeyPatch, runtime: str, jobs: int
):
    made = VersionView.model_construct(model="trees", version="2", runtime=runtime)
    monkeypatch.setattr(service, "register_upload", lambda *_, **__: made)
    monkeypatch.setattr("backend.inference.compiled.find_spec", lambda name: name)
    assert service.do_register([], by="Asha") is made
    submitted = list_jobs(limit=5).jobs
    assert [job.kind for job in submitted] == [COMPILE_MODEL.name] * jobs


def test_nothing_is_compiled_without_the_compiler(app: Flask, doorbell, monkeypatch: pytest.MonkeyPatch):
    made = VersionView.model_construct(model="trees", version="2", runtime="lightgbm")
    monkeypatch.setattr(service, "register_upload", lambda *_, **__: made)
    monkeypatch.setattr("backend.inference.compiled.find_spec", lambda _name: None)
    service.do_register([], by="Asha")
    assert list_jobs(limit=5).jobs == []
