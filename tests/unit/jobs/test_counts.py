"""Counts while the broker is away: each process has its own."""

from pathlib import Path

import pytest
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string

from backend.jobs import counts as module
from backend.jobs.counts import OFFLINE, SCHEME, SharedCounts
from backend.settings import Settings


class Broker(MemoryStorage):
    """A broker that can be away."""

    away = False
    asked = 0

    def __init__(self, *_args: object, **_options: object) -> None:
        super().__init__()

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        self.asked += 1
        if self.away:
            raise StorageError(ConnectionError())
        return super().incr(key, expiry, amount)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SharedCounts:
    monkeypatch.setattr(module, "RedisStorage", Broker)
    return SharedCounts(settings=Settings(data_dir=tmp_path, _env_file=None))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    passed = [1_000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: passed[0])
    return passed


def test_what_was_counted_can_be_read_and_forgotten(counts: SharedCounts):
    assert [counts.incr("a", 60), counts.incr("a", 60, 2), counts.get("a"), counts.get("b")] == [1, 3, 3, 0]
    assert counts.get_expiry("a") > 0
    counts.clear("a")
    assert counts.get("a") == 0
    counts.incr("a", 60)
    counts.reset()
    assert counts.get("a") == 0
    assert counts.check()


def test_while_the_broker_is_away_it_is_not_asked_and_then_asked_again(counts: SharedCounts, clock: list[float]):
    counts.incr("a", 60)
    broker = counts._shared
    broker.away = True
    assert [counts.incr("a", 60) for _ in range(3)] == [1, 2, 3]
    assert broker.asked == 2
    broker.away = False
    clock[0] += OFFLINE
    assert counts.incr("a", 60) == 2


def test_a_forked_child_opens_connections_of_its_own(counts: SharedCounts, monkeypatch: pytest.MonkeyPatch):
    counts.incr("a", 60)
    of_parent = counts._shared
    monkeypatch.setattr(module.os, "getpid", lambda: -1)
    counts.incr("a", 60)
    assert counts._shared is not of_parent


def test_flask_limiter_finds_it_by_its_scheme(tmp_path: Path):
    settings = Settings(data_dir=tmp_path, _env_file=None)
    assert isinstance(storage_from_string(f"{SCHEME}://", settings=settings), SharedCounts)
