"""Beat's clock, without a broker."""

from datetime import timedelta
from pathlib import Path

import pytest
from celery.beat import SchedulingError, Service
from sqlalchemy import func, select, update

from backend.clock import utc_now
from backend.extensions import Table, db, transaction
from backend.jobs.schedules.tables import JobSchedule, ScheduleFiring
from backend.settings import load_settings
from tests.unit.conftest import SilentDoorbell
from workers.app import create_celery
from workers.schedule import TICK, RowScheduler
from workers.tasks import RECONCILE


@pytest.fixture
def scheduler(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("SANGUINE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SANGUINE_LOG_LEVEL", "ERROR")
    load_settings.cache_clear()
    celery = create_celery()
    scheduler = Service(celery, scheduler_cls=celery.conf.beat_scheduler).get_scheduler()
    sent = []
    scheduler.apply_async = lambda entry, **_: sent.append(entry.task)
    scheduler.sent = sent
    yield scheduler
    load_settings.cache_clear()
    if scheduler._application is not None:
        with scheduler._application.app_context():
            db.engine.dispose()


@pytest.fixture
def migrated(scheduler: RowScheduler) -> RowScheduler:
    scheduler.tick()
    scheduler._application.extensions["doorbell"] = SilentDoorbell()
    with scheduler._application.app_context():
        Table.metadata.create_all(db.engine)
    return scheduler


def firings(scheduler: RowScheduler) -> int:
    with scheduler._application.app_context(), transaction(read_only=True) as session:
        return session.scalar(select(func.count()).select_from(ScheduleFiring))


def test_beat_uses_it_and_keeps_no_file(scheduler: RowScheduler, tmp_path: Path):
    assert isinstance(scheduler, RowScheduler)
    scheduler.sync()
    assert [path.name for path in tmp_path.iterdir() if "beat" in path.name] == []


def test_it_waits_for_the_database_to_be_made_and_then_fires_what_is_due(migrated: RowScheduler):
    assert 0 <= migrated.tick() <= TICK
    with migrated._application.app_context(), transaction() as session:
        session.execute(update(JobSchedule).values(next_at=utc_now() - timedelta(seconds=1)))
        declared = session.scalar(select(func.count()).select_from(JobSchedule))
    assert declared >= 1
    for _ in range(3):
        migrated.tick()
    assert firings(migrated) == declared
    assert len(migrated._application.extensions["doorbell"].rings) >= 1


def test_a_database_that_goes_away_and_comes_back_does_not_end_it(migrated: RowScheduler):
    migrated.tick()
    with migrated._application.app_context():
        Table.metadata.drop_all(db.engine)
        assert 0 <= migrated.tick() <= TICK
        Table.metadata.create_all(db.engine)
    assert 0 <= migrated.tick() <= TICK


def test_it_asks_for_the_upkeep_and_a_broker_that_is_away_does_not_end_it(migrated: RowScheduler):
    wait = load_settings().reconcile_seconds
    entry = migrated.schedule[RECONCILE]
    assert entry.schedule.run_every.total_seconds() == wait

    def away(_entry, **_options):
        raise SchedulingError("no broker") from OSError()

    migrated.apply_async = away
    migrated.apply_entry(entry)
    assert migrated.producer is None
