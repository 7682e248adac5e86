"""The example of each runtime in turn, and a client that serves it."""

from pathlib import Path

import pytest

from backend.inference.catalogue import Catalogue
from backend.inference.client import ModelClient
from tests.contract.model_examples import EXAMPLES, TRUST, Example, release


@pytest.fixture(scope="session", params=EXAMPLES.values(), ids=EXAMPLES.keys())
def example(request: pytest.FixtureRequest) -> Example:
    return request.param()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def weights(root: Path, example: Example) -> Path:
    """The weights of the example, released as version 1."""
    return release(root, example) / example.file


@pytest.fixture
def client(root: Path, weights: Path) -> ModelClient:
    assert weights.exists()
    return ModelClient(Catalogue(root, trust=TRUST))
