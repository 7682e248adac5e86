"""The cleanup as a job of a real engine."""

from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from backend.app import create_app
from backend.audit.cleanup import Cleaned
from backend.clock import utc_now
from backend.domains.platform import cleanup_jobs
from backend.domains.platform.domain import DOMAIN
from backend.domains.platform.schemas import CleanupRequest
from backend.errors import ArchiveError, NotFound
from backend.extensions import db, transaction
from backend.files.tables import JobFile
from backend.inference.catalogue import Catalogue
from backend.inference.client import ModelClient
from backend.jobs.execute import Worker, execute
from backend.jobs.leases import LeaseKeeper
from backend.jobs.states import JobState
from backend.jobs.submit import cancel, submit
from backend.jobs.tables import Job
from backend.jobs.views import get_job
from backend.settings import Settings
from tests.unit.conftest import LEASE, SilentDoorbell, create_tables

KIND = next(kind for kind in DOMAIN.job_kinds if kind.name == "platform.cleanup")


@pytest.fixture
def app(tmp_path: Path):
    settings = Settings(data_dir=tmp_path, retention_days=30, log_level="ERROR", _env_file=None)
    app = create_app(settings, (DOMAIN,))
    app.extensions["doorbell"] = SilentDoorbell()
    with app.app_context():
        create_tables()
        yield app
        db.engine.dispose()


def ended_job(*, days_ago: int):
    job = submit(KIND, CleanupRequest())
    cancel(job.id)
    moment = utc_now() - timedelta(days=days_ago)
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job.id).values(created_at=moment, finished_at=moment))
    return job.id


def run(app: Flask):
    job = submit(KIND, CleanupRequest())
    worker = Worker(
        name="w",
        models=ModelClient(Catalogue(Path("nowhere"))),
        leases=LeaseKeeper(app.app_context, lease=LEASE),
        lease=LEASE,
        news=app.extensions["news"],
    )
    return job.id, lambda: execute(KIND, job.id, worker)


def stored() -> int:
    with transaction(read_only=True) as session:
        return session.scalar(select(func.count()).select_from(Job))


def test_it_says_what_left_each_table_and_where_it_is(app: Flask, tmp_path: Path):
    for days_ago in (29, 33, 40):
        ended_job(days_ago=days_ago)
    job_id, attempt = run(app)
    attempt()
    done = get_job(job_id)
    assert done.state is JobState.SUCCEEDED, done.error
    assert done.result["rows"] == 2
    left = {table["table"]: (table["rows"], table["files"]) for table in done.result["tables"]}
    assert list(left)[-1] == "job"
    rows, (file,) = left["job"]
    assert rows == 2
    assert (tmp_path / "archive" / file).is_file()
    assert stored() == 2  # the young one, and the cleanup itself


def test_a_second_attempt_goes_on_and_its_result_tells_of_both(app: Flask, monkeypatch):
    for _ in range(3):
        ended_job(days_ago=40)
    clean_table = cleanup_jobs.clean_table
    stops = [1]

    def stop_after_a_chunk(retention, folder, *, commit, cleaned: Cleaned, **options):
        def stopping(so_far):
            if so_far.rows == 2 and stops:
                stops.pop()
                raise ArchiveError("the disk is full")
            return commit(so_far)

        return clean_table(retention, folder, commit=stopping, cleaned=cleaned, chunk=1, **options)

    monkeypatch.setattr(cleanup_jobs, "clean_table", stop_after_a_chunk)
    job_id, attempt = run(app)
    attempt()
    assert (get_job(job_id).state, get_job(job_id).error.code, stored()) == (JobState.QUEUED, "archive_failed", 3)
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(available_at=utc_now()))
    attempt()
    done = get_job(job_id)
    assert (done.state, done.result["rows"], stored()) == (JobState.SUCCEEDED, 3, 1)
    assert len(done.result["tables"][-1]["files"]) == 3


def test_a_job_stays_as_long_as_one_of_its_parts_and_leaves_with_its_files(app: Flask):
    whole, part = ended_job(days_ago=40), ended_job(days_ago=20)
    now = utc_now()
    with transaction() as session:
        session.execute(update(Job).where(Job.id == part).values(parent_id=whole, part=0))
        same = {"format": "csv", "bytes": 1, "sha256": "0" * 64, "created_at": now, "expires_at": now}
        session.add(JobFile(job_id=whole, role="result", **same))
    run(app)[1]()
    assert get_job(whole)
    with transaction() as session:
        old = now - timedelta(days=40)
        session.execute(update(Job).where(Job.id == part).values(created_at=old, finished_at=old))
    for _ in range(2):  # parts leave one night, the whole the next
        run(app)[1]()
    with pytest.raises(NotFound):
        get_job(whole)
    with transaction(read_only=True) as session:
        assert session.get(JobFile, (whole, "result")) is None


def test_the_cleanup_runs_every_night():
    (schedule,) = DOMAIN.schedules
    assert (schedule.kind, KIND.queue) == (KIND.name, "batch")
