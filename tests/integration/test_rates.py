"""How fast a client may submit and ask, counted on a real broker for all processes."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from backend.app import create_app
from backend.errors import TooMany
from backend.extensions import Table, db
from backend.jobs.limits import Limits, Rate
from backend.settings import Settings
from tests.integration.conftest import Valkey


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = create_app(Settings(data_dir=tmp_path, log_level="ERROR", _env_file=None), ())
    with app.app_context():
        Table.metadata.create_all(db.engine)
        yield app
        db.engine.dispose()


def rate_of(port: int, tmp_path: Path) -> Rate:
    url = f"redis://127.0.0.1:{port}/0"
    return Rate(Settings(broker_url=url, client_rate="5/hour", data_dir=tmp_path, _env_file=None))


def test_processes_share_what_a_client_may_submit(valkey: Valkey, tmp_path: Path):
    one, other = rate_of(valkey.port, tmp_path), rate_of(valkey.port, tmp_path)
    one.admit("a", 3)
    other.admit("a", 2)
    for rate in (one, other):
        with pytest.raises(TooMany) as refused:
            rate.admit("a", 1)
        assert 1 <= refused.value.retry_after <= 3_600
        rate.admit("b", 1)


def test_processes_share_what_a_caller_may_send(valkey: Valkey, tmp_path: Path):
    settings = Settings(
        broker_url=valkey.url, request_rate="3/hour", data_dir=tmp_path, log_level="ERROR", _env_file=None
    )
    one, other = create_app(settings, ()), create_app(settings, ())
    with one.app_context():
        Table.metadata.create_all(db.engine)
    statuses = [app.test_client().get("/api/ml/jobs").status_code for app in (one, other, one, other, one)]
    assert statuses == [200, 200, 200, 429, 429]
    valkey.stop()
    statuses = [app.test_client().get("/api/ml/jobs").status_code for app in (one, one, one, one, other)]
    assert statuses == [200, 200, 200, 429, 200]
    valkey.start()
    for app in (one, other):
        with app.app_context():
            db.engine.dispose()


def test_while_the_broker_is_away_each_counts_alone(valkey: Valkey, tmp_path: Path):
    one, other = rate_of(valkey.port, tmp_path), rate_of(valkey.port, tmp_path)
    one.admit("a", 5)
    valkey.stop()
    for rate in (one, other):
        started = time.monotonic()
        rate.admit("a", 5)
        with pytest.raises(TooMany):
            rate.admit("a", 1)
        assert time.monotonic() - started < 3
    valkey.start()


def test_a_broker_that_hangs_delays_one_submission_by_a_second_and_none_after_it(app, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as hung:
        settings = Settings(
            broker_url=f"redis://127.0.0.1:{hung.getsockname()[1]}/0",
            client_rate="5000/hour",
            data_dir=tmp_path,
            _env_file=None,
        )
        limits = Limits(settings)
        started = time.monotonic()
        limits.admit("a", {"batch": 1})
        first = time.monotonic() - started
        for _ in range(100):
            limits.admit("a", {"batch": 1})
        after = time.monotonic() - started - first
    assert first < 2.5
    assert after < 1.0
