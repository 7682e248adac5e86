"""What the cleanup takes and what it leaves, on a real SQLite file."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import func, select, update

from backend.audit import cleanup
from backend.audit.archive import read_archive
from backend.audit.cleanup import Cleaned, clean_table
from backend.domains.platform.domain import DOMAIN
from backend.errors import ArchiveError
from backend.extensions import transaction
from backend.jobs.schedules.tables import JobSchedule, ScheduleFiring
from backend.jobs.states import JobState
from backend.jobs.tables import Job, JobAttempt, ModelPredictionLog

CUTOFF = datetime(2025, 6, 1, tzinfo=UTC)
OLD, NEW = CUTOFF - timedelta(days=10), CUTOFF + timedelta(days=1)
RETENTIONS = {retention.table: retention for retention in DOMAIN.retentions}
LOGS, JOBS = RETENTIONS[ModelPredictionLog], RETENTIONS[Job]


def a_job(*, created=OLD, finished=OLD, state=JobState.SUCCEEDED, attempts=1, logs=0, at=OLD):
    job_id = uuid4()
    with transaction() as session:
        session.add(
            Job(
                id=job_id,
                kind="test.double",
                queue="batch",
                state=state,
                request={},
                result={"value": 1},
                max_attempts=1,
                created_at=created,
                available_at=created,
                finished_at=finished,
            )
        )
        session.flush()
        session.add_all(JobAttempt(job_id=job_id, number=n, worker="w", started_at=created) for n in range(attempts))
        session.add_all(
            ModelPredictionLog(job_id=job_id, at=at, model="m", version="1", sha256="0", calls=1, rows=1, seconds=0.1)
            for _ in range(logs)
        )
    return job_id


def count(table) -> int:
    with transaction(read_only=True) as session:
        return session.scalar(select(func.count()).select_from(table))


def clean(retention, folder: Path, **options) -> Cleaned:
    return clean_table(retention, folder, cutoff=CUTOFF, commit=lambda _: transaction(), **options)


def archived(folder: Path) -> list[dict]:
    return [json.loads(line) for path in folder.glob("*.gz") for line in read_archive(path).splitlines()]


def test_old_finished_jobs_leave_with_their_attempts_and_are_in_the_archive(app, tmp_path: Path):
    gone = {str(a_job(attempts=n)) for n in (1, 2)}
    done = clean(JOBS, tmp_path)
    assert (done.rows, len(done.files)) == (2, 1)
    assert (count(Job), count(JobAttempt)) == (0, 0)
    lines = archived(tmp_path)
    assert {line["id"] for line in lines} == gone
    assert sorted(len(line["job_attempt"]) for line in lines) == [1, 2]
    assert {attempt["worker"] for line in lines for attempt in line["job_attempt"]} == {"w"}
    assert clean(JOBS, tmp_path) == Cleaned()


@pytest.mark.parametrize(
    "kept",
    [
        {"created": NEW, "finished": NEW},
        {"finished": NEW},
        {"finished": None, "state": JobState.RUNNING},
        {"finished": None, "state": JobState.QUEUED},
        {"logs": 1, "at": NEW},
        {"logs": 1, "at": OLD},  # until its log has left
    ],
)
def test_what_is_young_unfinished_or_referred_to_stays(app, tmp_path: Path, kept):
    a_job(**kept)
    assert clean(JOBS, tmp_path).rows == 0
    assert (count(Job), list(tmp_path.glob("*.gz"))) == (1, [])


def test_a_schedule_keeps_its_last_job(app, tmp_path: Path):
    last, earlier = a_job(), a_job()
    with transaction() as session:
        session.add(
            JobSchedule(
                name="weekly",
                kind="test.double",
                request={},
                cron="0 0 * * 0",
                timezone="UTC",
                catch_up_seconds=0,
                last_job_id=last,
                updated_at=OLD,
            )
        )
        session.flush()
        session.add(ScheduleFiring(schedule="weekly", fire_at=OLD, at=OLD, outcome="started", job_id=earlier))
    for retention, left in ((JOBS, 2), (DOMAIN.retentions[1], 2), (JOBS, 1)):
        clean(retention, tmp_path)
        assert count(Job) == left
    assert count(ScheduleFiring) == 0


def test_it_goes_in_chunks_and_each_file_holds_what_its_transaction_deletes(app, tmp_path: Path):
    for day in range(5):
        a_job(created=OLD + timedelta(days=day))
    done = clean(JOBS, tmp_path, chunk=2)
    assert (done.rows, len(done.files), count(Job)) == (5, 3, 0)
    assert [len(read_archive(tmp_path / name).splitlines()) for name in done.files] == [2, 2, 1]
    assert done.files[0].startswith("job-20250522T000000Z-20250523T000000Z-")


def test_stopped_between_archive_and_delete_nothing_is_lost_and_the_same_file_comes_again(app, tmp_path: Path):
    a_job(logs=3)

    def stop(_cleaned):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clean_table(LOGS, tmp_path, cutoff=CUTOFF, commit=stop)
    (first,) = tmp_path.glob("*.gz")
    assert count(ModelPredictionLog) == 3
    done = clean(LOGS, tmp_path)
    assert (done.rows, done.files, count(ModelPredictionLog)) == (3, (first.name,), 0)
    assert list(tmp_path.glob("*.gz")) == [first]


def test_without_a_verified_archive_nothing_is_deleted(app, tmp_path: Path, monkeypatch):
    a_job(logs=1)

    def fail(*_args, **_options):
        raise ArchiveError("the disk is full")

    monkeypatch.setattr(cleanup, "write_archive", fail)
    with pytest.raises(ArchiveError):
        clean(LOGS, tmp_path)
    assert count(ModelPredictionLog) == 1


def test_a_row_that_is_referred_to_between_reading_and_deleting_stays_whole(app, tmp_path: Path, monkeypatch):
    job_id = a_job(attempts=2)
    write = cleanup.write_archive

    def refer(*args, **options):
        with transaction() as session:
            session.execute(update(Job).where(Job.id == job_id).values(finished_at=NEW))
        return write(*args, **options)

    monkeypatch.setattr(cleanup, "write_archive", refer)
    clean(JOBS, tmp_path)
    assert (count(Job), count(JobAttempt)) == (1, 2)
