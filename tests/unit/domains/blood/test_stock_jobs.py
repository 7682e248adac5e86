"""Reviewing the stock on a real SQLite file."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import delete, select, update

from backend.audit.cleanup import clean_table
from backend.domains.blood.domain import DOMAIN
from backend.domains.blood.stock_jobs import TOO_SHORT, review_stock
from backend.domains.blood.stock_queries import NO_BANKS
from backend.domains.blood.stock_schemas import ReviewRequest, ReviewResult
from backend.domains.blood.tables import BloodBank, BloodUnit, DemandForecast, StockAlert
from backend.errors import LeaseLost
from backend.extensions import transaction
from backend.jobs.claim import claim
from backend.jobs.context import JobContext, RecordingModels
from backend.jobs.submit import submit
from tests.unit.conftest import SilentDoorbell
from tests.unit.domains.blood.stock_service import NOON, add_bank, add_forecast, add_units

# Tests begin several at a time and end none of them.
KIND = next(replace(kind, unique=None) for kind in DOMAIN.job_kinds if kind.name == "blood.review_stock")
PLENTY = 60  # units of each group, at 0.5 red cells a day


@pytest.fixture
def service(blood_app: Flask) -> Flask:
    blood_app.extensions["doorbell"] = SilentDoorbell()
    return blood_app


def context_of(app: Flask, *, at=NOON, attempt: int | None = None) -> JobContext:
    job = submit(KIND, ReviewRequest())
    (held,) = claim(KIND, job.id, worker="w", lease=timedelta(seconds=30))
    models = RecordingModels(app.extensions["models"])
    return JobContext(job_id=held.job_id, attempt=attempt or held.attempt, models=models, clock=lambda: at)


def review(app: Flask, *, at=NOON) -> ReviewResult:
    return review_stock(ReviewRequest(), context_of(app, at=at))


def alerts() -> list[StockAlert]:
    with transaction(read_only=True) as session:
        return list(session.scalars(select(StockAlert).order_by(StockAlert.id)))


def rows() -> list[dict[str, object]]:
    names = [column.name for column in StockAlert.__table__.c]
    return [{name: getattr(alert, name) for name in names} for alert in alerts()]


@pytest.fixture
def short_of_o_positive(service: Flask) -> int:
    """A bank with enough of everything for the demand of a day a little, but of O+ red cells: its id."""
    bank = add_bank()
    for group in ("O-", "A-", "A+", "B-", "B+", "AB-", "AB+", "O+"):
        if group != "O+":
            add_units(bank, PLENTY, blood_group=group, days=40)
        add_units(bank, PLENTY, blood_group=group, days=300, product="fresh_frozen_plasma")
        add_units(bank, PLENTY, blood_group=group, days=4.9, product="platelets")
    add_units(bank, 2, days=40)
    add_forecast(0.5)
    return bank


def counts(result: ReviewResult) -> tuple[int, int, int, int]:
    return result.opened, result.kept, result.closed, result.not_judged


def test_an_empty_installation_has_nothing_to_review(service: Flask):
    result = review(service)
    assert (result.banks, result.units, result.reason) == (0, 0, NO_BANKS)
    assert counts(result) == (0, 0, 0, 0)


def test_a_shortage_is_opened_once_and_seen_again(service: Flask, short_of_o_positive: int):
    assert counts(review(service)) == (1, 0, 0, 0)
    (alert,) = alerts()
    assert (alert.kind, alert.level, alert.district, alert.bank_id) == ("shortage", "warning", "Ernakulam", None)
    assert (alert.blood_group, alert.component, alert.units) == ("O+", "red_cells", 2)
    assert alert.days_of_cover == pytest.approx(4.0)
    assert (alert.opened_at, alert.seen_at, alert.closed_at) == (NOON, NOON, None)
    later = NOON + timedelta(seconds=1)
    before = rows()
    assert counts(review(service, at=later)) == (0, 1, 0, 0)
    (after,) = rows()
    assert after.pop("seen_at") == later
    assert after.pop("days_of_cover") == pytest.approx(4.0, abs=1e-4)
    assert after.items() <= before[0].items()


def test_the_same_review_twice_changes_nothing(service: Flask, short_of_o_positive: int):
    review(service)
    before = rows()
    assert counts(review(service)) == (0, 1, 0, 0)
    assert rows() == before


def test_a_shortage_gets_worse_and_is_closed_when_there_is_enough_again(service: Flask, short_of_o_positive: int):
    bank = short_of_o_positive
    review(service)
    with transaction() as session:
        o_positive = BloodUnit.blood_group == "O+", BloodUnit.product == "red_cells_additive"
        session.execute(update(BloodUnit).where(*o_positive).values(state="issued"))
    review(service)
    assert [(alert.level, alert.units, alert.days_of_cover) for alert in alerts()] == [("critical", 0, 0.0)]
    add_units(bank, 3, days=40)
    review(service)
    assert [alert.level for alert in alerts()] == ["warning"], "6 days are more than 5, and less than 6.25"
    add_units(bank, 1, days=40)
    later = NOON + timedelta(hours=1)
    assert counts(review(service, at=later)) == (0, 0, 1, 0)
    (closed,) = alerts()
    assert (closed.closed_at, closed.seen_at) == (later, NOON)


def test_a_shortage_that_comes_back_is_another_alert(service: Flask, short_of_o_positive: int):
    review(service)
    add_units(short_of_o_positive, PLENTY, days=40)
    review(service)
    with transaction() as session:
        session.execute(delete(BloodUnit).where(BloodUnit.blood_group == "O+", BloodUnit.product.like("red%")))
    assert counts(review(service)) == (1, 0, 0, 0)
    assert [alert.closed_at is None for alert in alerts()] == [False, True]


def test_districts_without_a_bank_are_not_short(service: Flask, short_of_o_positive: int):
    review(service)
    assert {alert.district for alert in alerts()} == {"Ernakulam"}


def test_when_the_last_bank_of_a_district_is_gone_its_alerts_are_closed(service: Flask, short_of_o_positive: int):
    review(service)
    with transaction() as session:
        session.execute(delete(BloodBank))
    assert counts(review(service)) == (0, 0, 1, 0)


def test_without_a_forecast_shortages_stay_as_they_are(service: Flask, short_of_o_positive: int):
    review(service)
    before = rows()
    with transaction() as session:
        session.execute(delete(DemandForecast))
    result = review(service, at=NOON + timedelta(hours=1))
    assert counts(result) == (0, 0, 0, 1)
    assert result.reason == "there is no forecast yet: POST /forecasts makes one"
    assert rows() == before


def test_a_forecast_that_ends_before_the_limits_of_plasma_judges_the_others(service: Flask):
    add_bank()
    add_forecast(1.0, days=10)
    result = review(service)
    assert result.reason == TOO_SHORT
    assert {alert.component for alert in alerts()} == {"red_cells"}, "0.15 platelets a day are no shortage"


def test_units_that_expire_unused_are_told_by_bank(service: Flask):
    first, second = add_bank(), add_bank()
    add_units(first, 3, days=3.0)
    add_units(second, 3, days=6.0)
    add_units(first, 9, days=20.0)
    add_forecast(1.0)
    review(service)
    assert not [alert for alert in alerts() if alert.kind == "expiry"], "one a day is used: all six in time"
    add_units(first, 4, days=3.0)
    review(service)
    found = {alert.bank_id: alert for alert in alerts() if alert.kind == "expiry"}
    assert set(found) == {first}
    assert (found[first].units, found[first].level, found[first].days_of_cover) == (4, "warning", None)
    assert (found[first].blood_group, found[first].component) == ("O+", "red_cells")


def test_the_bank_is_told_whose_units_are_left_when_those_of_its_neighbour_are_used(service: Flask):
    first, second = add_bank(), add_bank()
    add_units(first, 3, days=3.0)
    add_units(second, 7, days=6.0)
    add_units(first, 9, days=20.0)
    add_forecast(1.0)
    review(service)
    assert [(alert.bank_id, alert.units) for alert in alerts() if alert.kind == "expiry"] == [(second, 4)]


def test_an_expiry_becomes_critical_and_is_closed_when_the_units_are_gone(service: Flask):
    bank = add_bank()
    add_units(bank, 2, days=5.0)
    add_forecast(0.1)
    review(service)
    later = NOON + timedelta(days=3, hours=1)
    review(service, at=later)
    assert [alert.level for alert in alerts() if alert.kind == "expiry"] == ["critical"]
    result = review(service, at=NOON + timedelta(days=5))
    assert result.units == 0
    assert [alert.closed_at for alert in alerts() if alert.kind == "expiry"] == [NOON + timedelta(days=5)]


def test_what_has_no_forecast_is_a_warning_near_its_end(service: Flask):
    bank = add_bank()
    add_units(bank, 1, days=1.0, product="cryoprecipitate", blood_group="A+")
    add_units(bank, 2, days=1.0, blood_group="Oh")
    add_forecast(1.0)
    review(service)
    found = [alert for alert in alerts() if alert.kind == "expiry"]
    assert {(alert.component, alert.units, alert.level) for alert in found} == {
        ("cryoprecipitate", 1, "warning"),
        ("red_cells", 2, "warning"),
    }


def test_an_attempt_that_lost_its_job_writes_nothing(service: Flask, short_of_o_positive: int):
    with pytest.raises(LeaseLost):
        review_stock(ReviewRequest(), context_of(service, attempt=7))
    assert alerts() == []


def test_closed_alerts_leave_in_time_and_open_ones_never(service: Flask, tmp_path: Path):
    old = NOON - timedelta(days=2)
    columns = {"kind": "shortage", "level": "warning", "blood_group": "O+", "component": "red_cells", "units": 0}
    with transaction() as session:
        for district, closed_at in (("Ernakulam", old), ("Kollam", NOON), ("Wayanad", None)):
            session.add(StockAlert(**columns, district=district, opened_at=old, seen_at=old, closed_at=closed_at))
    retention = next(one for one in DOMAIN.retentions if one.table is StockAlert)
    cutoff = NOON - timedelta(days=1)
    assert clean_table(retention, tmp_path, cutoff=cutoff, commit=lambda _: transaction()).rows == 1
    assert [alert.district for alert in alerts()] == ["Kollam", "Wayanad"]


def test_the_review_is_asked_for_every_hour():
    (schedule,) = (one for one in DOMAIN.schedules if one.kind == "blood.review_stock")
    assert (schedule.name, schedule.cron.split()[1:]) == ("hourly_stock", ["*"] * 4)


def test_stock_and_alerts_are_read_over_http(service: Flask, short_of_o_positive: int):
    review(service)
    client = service.test_client()
    answer = client.get("/api/ml/stock?district=Ernakulam&blood_group=B%2B")
    assert answer.status_code == 200
    assert {cell["blood_group"] for cell in answer.json["cells"]} <= {"B+"}
    answer = client.get("/api/ml/stock/alerts?closed=false&kind=shortage")
    assert [alert["component"] for alert in answer.json["alerts"]] == ["red_cells"]
