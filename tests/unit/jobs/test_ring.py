"""Ringing never makes the caller wait, whatever the broker does."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from kombu.exceptions import OperationalError

from backend.jobs.ring import Doorbell
from backend.settings import Settings


def doorbell(port: int, tmp_path: Path) -> Doorbell:
    return Doorbell(Settings(broker_url=f"redis://127.0.0.1:{port}/0", data_dir=tmp_path, _env_file=None))


@pytest.fixture
def hung() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def refusing() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.mark.parametrize("broker", ["hung", "refusing"])
def test_a_ring_returns_at_once(broker: str, request: pytest.FixtureRequest, tmp_path: Path):
    bell = doorbell(request.getfixturevalue(broker), tmp_path)
    started = time.monotonic()
    for _ in range(100):
        bell.ring("a.b", "interactive", uuid4())
    assert time.monotonic() - started < 1.0


def test_a_broker_that_refuses_is_an_error_when_asked_directly(refusing: int, tmp_path: Path):
    bell = doorbell(refusing, tmp_path)
    with pytest.raises(OperationalError):
        bell.publish("a.b", "interactive", uuid4())
    with pytest.raises(OperationalError):
        bell.waiting("interactive")


def test_rings_beyond_the_backlog_are_left_to_the_reconciler(hung: int, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("backend.jobs.ring.BACKLOG", 1)
    bell = doorbell(hung, tmp_path)
    for _ in range(5):
        bell.ring("a.b", "interactive", UUID(int=1))
    assert sum(thread.name == "doorbell" for thread in threading.enumerate()) >= 1
