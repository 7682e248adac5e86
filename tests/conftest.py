"""What holds for all tests."""

import gc
from collections.abc import Generator

import pytest
from hypothesis import settings

from backend.inference.following import FollowingThread

# No test is timed: a busy machine is no failure, and speed is what benchmarks are for.
settings.register_profile("sanguine", deadline=None)
settings.load_profile("sanguine")
# For `make check`, which is to end within a minute; `make test` draws the usual hundred examples.
settings.register_profile("check", deadline=None, max_examples=10)

INTEGRATION = "tests/integration/"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Search for garbage seldom, and never in what was imported: that took a fifth of the unit tests' time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
        gc.set_threshold(20_000, 10, 10)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts processes."""
    for item in items:
        if item.nodeid.startswith(INTEGRATION):
            item.add_marker(pytest.mark.integration)


@pytest.fixture(autouse=True)
def _nobody_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread looks what models are live; tests of that look themselves."""
    monkeypatch.setattr(FollowingThread, "ensure", lambda _thread, _follower: None)
