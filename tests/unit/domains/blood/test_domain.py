"""What the blood service declares for the clock and for the cleanup."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from backend.audit.cleanup import clean_table
from backend.domains.blood.domain import DOMAIN
from backend.domains.blood.tables import DemandForecast, Donor, MatchPrediction
from backend.extensions import transaction
from backend.jobs.schedules.cron import next_fire
from backend.jobs.tables import Job

CUTOFF = datetime(2025, 6, 1, tzinfo=UTC)
OLD = CUTOFF - timedelta(days=10)


def test_reliability_is_scored_half_an_hour_after_midnight_of_the_zone():
    schedule = next(one for one in DOMAIN.schedules if one.kind == "blood.rescore_reliability")
    found = next_fire(schedule.cron, "Asia/Kolkata", after=OLD)
    assert f"{found:%H:%M}" == "19:00"  # UTC


@pytest.fixture
def job_id(app) -> UUID:
    job_id = uuid4()
    with transaction() as session:
        columns = {"kind": "test.double", "queue": "batch", "state": "succeeded", "request": {}, "max_attempts": 1}
        session.add(Job(id=job_id, created_at=OLD, available_at=OLD, finished_at=OLD, **columns))
    return job_id


def clean(table, folder: Path) -> int:
    retention = next(one for one in DOMAIN.retentions if one.table is table)
    return clean_table(retention, folder, cutoff=CUTOFF, commit=lambda _: transaction()).rows


def test_old_predictions_leave_and_young_ones_stay(job_id: UUID, tmp_path: Path):
    scores = dict.fromkeys(("match_score", "match_score_low", "match_score_high", "availability_score"), 0.5)
    with transaction() as session:
        session.add(
            Donor(
                id=1,
                blood_group="B+",
                sex="female",
                born_on=OLD.date(),
                district="Ernakulam",
                latitude=10.0,
                longitude=76.3,
                consented=True,
                registered_at=OLD,
            )
        )
        session.flush()
        for rank, at in enumerate((OLD, CUTOFF), start=1):
            rest = {"reliability_score": 0.5, "distance_km": 1.0, "reasons": [], "model_version": "1"}
            session.add(MatchPrediction(job_id=job_id, donor_id=1, at=at, rank=rank, **scores, **rest))
    assert clean(MatchPrediction, tmp_path) == 1
    with transaction(read_only=True) as session:
        assert session.scalars(select(MatchPrediction.rank)).all() == [2]


def test_a_forecast_for_a_day_that_is_not_old_stays(job_id: UUID, tmp_path: Path):
    with transaction() as session:
        for day in (CUTOFF - timedelta(days=1), CUTOFF):
            session.add(
                DemandForecast(
                    job_id=job_id,
                    district="Ernakulam",
                    blood_group="B+",
                    day=day.date(),
                    made_at=OLD,
                    model="m",
                    **dict.fromkeys(("units", "low_80", "high_80", "low_95", "high_95"), 1.0),
                )
            )
    assert clean(DemandForecast, tmp_path) == 1
    with transaction(read_only=True) as session:
        assert session.scalars(select(DemandForecast.day)).all() == [CUTOFF.date()]
