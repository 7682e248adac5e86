"""How far the work on a file has come."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from backend.batches.views import get_file_work
from backend.errors import NotFound
from backend.extensions import transaction
from backend.jobs.tables import Job
from tests.unit.batches.file_service import FileService, parts_of

START = datetime(2026, 3, 1, 10, tzinfo=UTC)
BODY = "a,b\n" + "1,2\n" * 14 + "x,2\n" + "1,2\n" * 30


@pytest.fixture
def clock(monkeypatch):
    """Time as the view sees it; the parts came into being at START."""

    def at(seconds: float) -> None:
        monkeypatch.setattr("backend.batches.views.utc_now", lambda: START + timedelta(seconds=seconds))

    return at


def begun_at_start(job_id: str) -> None:
    with transaction() as session:
        session.execute(update(Job).where(Job.parent_id == UUID(job_id)).values(created_at=START))


def test_before_the_file_was_looked_through_its_rows_are_not_known(service: FileService):
    work = service.upload("/batches?model=adder", BODY).json
    assert (work["state"], work["rows"], work["done"], work["failed"]) == ("queued", None, 0, 0)
    assert (work["rows_per_second"], work["eta_seconds"], work["parts"], work["parts_done"]) == (None, None, None, 0)


def test_rows_done_rate_and_time_left_follow_the_parts_that_ended(service: FileService, small_parts, clock):
    job_id = service.upload("/batches?model=adder", BODY).json["id"]
    service.run(most=1)
    begun_at_start(job_id)
    clock(10)
    before = service.work(job_id)
    assert (before["rows"], before["done"], before["rows_per_second"], before["eta_seconds"]) == (45, 0, None, None)
    service.run(most=1)
    work = service.work(job_id)
    assert (work["state"], work["parts"], work["parts_done"], work["done"], work["failed"]) == ("waiting", 3, 1, 15, 1)
    assert work["rows_per_second"] == pytest.approx(1.5)
    assert work["eta_seconds"] == pytest.approx((45 - 15) / 1.5)
    assert [part.request["part"]["rows"] for part in parts_of(job_id)] == [15, 15, 15]


def test_when_it_is_done_the_rate_stays_and_no_time_is_left(service: FileService, small_parts, clock):
    accepted = service.upload("/batches?model=adder", BODY)
    service.run(most=1)
    begun_at_start(accepted.json["id"])
    done = service.finish(accepted)
    with transaction() as session:
        ended = update(Job).where(Job.parent_id == UUID(done["id"])).values(finished_at=START + timedelta(seconds=9))
        session.execute(ended)
    for seconds in (10, 10_000):
        clock(seconds)
        work = service.work(done["id"])
        assert (work["done"], work["failed"], work["eta_seconds"]) == (45, 1, None)
        assert work["rows_per_second"] == pytest.approx(5.0)


def test_jobs_of_other_kinds_and_unknown_ones_are_no_work_on_files(service: FileService, small_parts):
    done = service.finish(service.upload("/batches?model=adder", BODY))
    for job_id in (uuid4(), parts_of(done["id"])[0].id):
        with pytest.raises(NotFound, match="no batch or import"):
            get_file_work(job_id)
