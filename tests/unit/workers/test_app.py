"""What the Celery application is made of."""

import pytest
from celery import Celery

from backend.domains.catalog import job_kinds
from backend.jobs.broker import MAINTENANCE_QUEUE
from backend.settings import load_settings
from workers.app import create_celery
from workers.tasks import RECONCILE, SWEEP


@pytest.fixture
def celery(tmp_path, monkeypatch) -> Celery:
    monkeypatch.setenv("SANGUINE_DATA_DIR", str(tmp_path))
    load_settings.cache_clear()
    yield create_celery()
    load_settings.cache_clear()


def test_there_is_one_task_for_each_job_kind_and_the_upkeep(celery: Celery):
    ours = {name for name in celery.tasks if not name.startswith("celery.")}
    assert ours == {kind.name for kind in job_kinds()} | {RECONCILE, SWEEP}


def test_celery_keeps_nothing_and_retries_nothing(celery: Celery):
    assert celery.conf.result_backend is None
    assert celery.conf.task_ignore_result
    assert not celery.conf.task_acks_late
    assert celery.conf.accept_content == ["json"]


def test_a_half_open_connection_is_noticed(celery: Celery):
    options = celery.conf.broker_transport_options
    assert options["socket_timeout"] > 0
    assert options["health_check_interval"] > 0
    longest = max(kind.timeout for kind in job_kinds())
    assert options["visibility_timeout"] > longest


def test_beat_asks_for_the_reconciler_and_late_asks_expire(celery: Celery):
    entry = celery.conf.beat_schedule[RECONCILE]
    assert entry["options"]["queue"] == MAINTENANCE_QUEUE
    assert entry["options"]["expires"] <= entry["schedule"]
