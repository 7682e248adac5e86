"""The cleanup on real databases, and two of them at once: what left is in an archive, and nothing else left."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import insert, select

from backend.app import create_app
from backend.audit.archive import read_archive
from backend.audit.cleanup import clean_table
from backend.domains.platform.domain import DOMAIN
from backend.extensions import Table, db, transaction
from backend.jobs.tables import ATTEMPT, JOB, MODEL_LOG
from backend.settings import Settings

CUTOFF = datetime(2025, 6, 1, tzinfo=UTC)


@pytest.fixture
def app(database_url: str, tmp_path: Path) -> Iterator[Flask]:
    settings = Settings(database_url=database_url, data_dir=tmp_path, log_level="ERROR", _env_file=None)
    app = create_app(settings, (DOMAIN,))
    with app.app_context():
        Table.metadata.create_all(db.engine)
        yield app
        db.engine.dispose()


def store_jobs(count: int, *, first: datetime) -> set[UUID]:
    ids = [uuid4() for _ in range(count)]
    moments = [first + timedelta(minutes=n) for n in range(count)]
    job = {"kind": "k.k", "queue": "batch", "state": "succeeded", "request": {}, "result": {"score": 0.1}}
    log = {"model": "m", "version": "1", "sha256": "0" * 64, "calls": 1, "rows": 1, "seconds": 0.1}
    counts = {"progress": 1.0, "attempt": 1, "max_attempts": 1}
    with transaction() as session:
        session.execute(
            insert(JOB),
            [
                {"id": i, "created_at": at, "available_at": at, "finished_at": at, **job, **counts}
                for i, at in zip(ids, moments, strict=True)
            ],
        )
        session.execute(insert(ATTEMPT), [{"job_id": i, "number": 1, "worker": "w", "started_at": first} for i in ids])
        session.execute(insert(MODEL_LOG), [{"job_id": i, "at": at, **log} for i, at in zip(ids, moments, strict=True)])
    return set(ids)


def clean_everything(app: Flask, folder: Path) -> None:
    with app.app_context():
        for retention in app.extensions["retentions"]:
            clean_table(retention, folder, cutoff=CUTOFF, commit=lambda _: transaction(), chunk=40)


@pytest.mark.parametrize("cleaners", [1, 3])
def test_what_left_is_archived_and_nothing_else_left(app: Flask, tmp_path: Path, cleaners: int):
    old = store_jobs(150, first=CUTOFF - timedelta(days=3))
    young = store_jobs(20, first=CUTOFF)
    threads = [threading.Thread(target=clean_everything, args=(app, tmp_path / "archive")) for _ in range(cleaners)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with transaction(read_only=True) as session:
        assert set(session.scalars(select(JOB.c.id))) == young
        assert set(session.scalars(select(ATTEMPT.c.job_id))) == young
        assert set(session.scalars(select(MODEL_LOG.c.job_id))) == young
    lines = {
        table: [
            json.loads(line)
            for path in (tmp_path / "archive").glob(f"{table}-*.gz")
            for line in read_archive(path).splitlines()
        ]
        for table in ("job", "model_prediction_log")
    }
    assert {UUID(line["id"]) for line in lines["job"]} == old
    assert all(line["job_attempt"][0]["worker"] == "w" for line in lines["job"] if line["job_attempt"])
    assert {UUID(line["id"]) for line in lines["job"] if line["job_attempt"]} == old
    assert {UUID(line["job_id"]) for line in lines["model_prediction_log"]} == old
    assert list((tmp_path / "archive").glob(".partial-*")) == []
