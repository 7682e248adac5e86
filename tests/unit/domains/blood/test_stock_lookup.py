"""Reading the stock on a real SQLite file."""

from datetime import date, timedelta

import pytest
from flask import Flask
from pydantic import ValidationError
from sqlalchemy import update

from backend.domains.blood import stock_lookup
from backend.domains.blood.records import BLOOD_GROUPS
from backend.domains.blood.stock_lookup import stock, stock_alerts
from backend.domains.blood.stock_queries import NO_BANKS
from backend.domains.blood.stock_schemas import AlertQuery, DistrictCover, StockPage, StockQuery
from backend.domains.blood.tables import BloodRequest, StockAlert
from backend.errors import NotFound
from backend.extensions import transaction
from tests.unit.domains.blood.stock_service import MIDNIGHT, NOON, add_bank, add_forecast, add_requests, add_units


@pytest.fixture
def service(blood_app: Flask, monkeypatch: pytest.MonkeyPatch) -> Flask:
    monkeypatch.setattr(stock_lookup, "utc_now", lambda: NOON)
    return blood_app


def read(**query) -> StockPage:
    return stock(StockQuery.model_validate(query))


def cover(group="O+", component="red_cells", district="Ernakulam", **query) -> DistrictCover:
    (found,) = (
        one
        for one in read(**query).cover
        if (one.district, one.blood_group, one.component) == (district, group, component)
    )
    return found


def test_an_empty_installation_says_what_to_do(service: Flask):
    page = read()
    assert (page.cells, page.totals, page.cover, page.reason) == ([], [], [], NO_BANKS)
    assert page.at == NOON


def test_units_are_counted_by_bank_group_and_component(service: Flask):
    bank, other = add_bank(), add_bank(district="Wayanad", name="District Hospital")
    add_units(bank, 2, days=0.5)
    add_units(bank, 3, days=2.5, product="red_cells_cpda1")
    add_units(bank, 4, days=7.0)
    add_units(bank, 5, days=7.01)
    add_units(bank, 6, days=1.0, state="reserved")
    add_units(other, 1, days=30.0)
    page = read()
    assert [(cell.bank_id, cell.bank, cell.district) for cell in page.cells] == [
        (bank, "General Hospital", "Ernakulam"),
        (other, "District Hospital", "Wayanad"),
    ]
    first = page.cells[0]
    assert (first.blood_group, first.component, first.available, first.reserved) == ("O+", "red_cells", 14, 6)
    assert (first.expiring_in_1_day, first.expiring_in_3_days, first.expiring_in_7_days) == (2, 5, 9)
    assert first.earliest_expiry == NOON + timedelta(hours=12)
    (total,) = page.totals
    assert (total.available, total.reserved, total.expiring_in_7_days) == (15, 6, 9)
    assert page.reason is None


def test_what_has_expired_or_left_is_not_there(service: Flask):
    bank = add_bank()
    add_units(bank, days=0.0)
    add_units(bank, state="issued")
    add_units(bank, state="discarded")
    page = read()
    assert (page.cells, page.totals) == ([], [])
    assert {one.units for one in page.cover} == {0}


def test_a_cell_with_reserved_units_only_has_no_earliest_expiry(service: Flask):
    add_units(add_bank(), state="reserved")
    (cell,) = read().cells
    assert (cell.available, cell.reserved, cell.earliest_expiry) == (0, 1, None)


def test_whole_blood_and_cryoprecipitate_are_kept_apart(service: Flask):
    bank = add_bank()
    add_units(bank, 7, product="whole_blood_cpda1")
    add_units(bank, 8, product="cryoprecipitate")
    page = read()
    assert {(cell.component, cell.available) for cell in page.cells} == {("whole_blood", 7), ("cryoprecipitate", 8)}
    assert {one.component for one in page.cover} == {"red_cells", "plasma", "platelets"}
    assert {one.units for one in page.cover} == {0}
    assert read(component="cryoprecipitate").cover == []


def test_the_answer_is_narrowed_by_bank_district_group_component_and_product(service: Flask):
    bank, other = add_bank(), add_bank(district="Wayanad")
    add_units(bank, 1, blood_group="O+")
    add_units(bank, 2, blood_group="B+", product="platelets", days=3)
    add_units(other, 4, blood_group="O+", product="red_cells_cpda1")

    def available(**query) -> int:
        return sum(cell.available for cell in read(**query).cells)

    assert available() == 7
    assert available(bank_id=bank) == available(district="Ernakulam") == 3
    assert available(blood_group="O+") == available(component="red_cells") == 5
    assert available(product="red_cells_cpda1") == 4
    assert available(blood_group="O+", district="Ernakulam", component="red_cells") == 1
    assert {one.district for one in read(bank_id=other).cover} == {"Wayanad"}
    assert {one.component for one in read(product="red_cells_cpda1").cover} == {"red_cells"}
    assert {one.blood_group for one in read(blood_group="B+").cover} == {"B+"}


def test_cover_is_that_of_the_district_also_when_one_bank_is_read(service: Flask):
    bank, neighbour = add_bank(), add_bank()
    add_units(bank, 2)
    add_units(neighbour, 3)
    assert cover(bank_id=bank).units == 5
    assert sum(cell.available for cell in read(bank_id=bank).cells) == 2


def test_days_of_cover_are_those_of_the_forecast_from_now_on(service: Flask):
    add_units(add_bank(), 5, days=20)
    add_forecast(2.0, high=4.0)
    found = cover()
    assert found.days_of_cover == pytest.approx(2.5), "half of today has passed, and so has half of its demand"
    assert found.days_of_cover_if_high == pytest.approx(1.25)
    assert (found.at_least, found.reason) == (False, None)
    assert read().forecast_made_at == MIDNIGHT


def test_only_the_latest_forecast_counts(service: Flask):
    add_units(add_bank(), 4, days=50)
    add_forecast(1.0)
    add_forecast(9.0, days=40, made_at=MIDNIGHT - timedelta(days=1))
    assert cover().days_of_cover == pytest.approx(4.0)
    add_forecast(2.0, days=20, made_at=MIDNIGHT + timedelta(hours=1))
    assert cover().days_of_cover == pytest.approx(2.0)


def test_units_that_expire_before_they_are_needed_cover_nothing(service: Flask):
    bank = add_bank()
    add_units(bank, 100, product="platelets", days=4.0)
    add_forecast(1.0)
    assert cover(component="platelets").days_of_cover == pytest.approx(4.0)


def test_cover_beyond_the_forecast_is_at_least_its_horizon(service: Flask):
    add_units(add_bank(), 100, days=40)
    add_forecast(1.0, days=10)
    found = cover()
    assert found.at_least
    assert found.days_of_cover == pytest.approx(9.5)


def test_plasma_and_platelets_are_asked_for_in_proportion_to_red_cells(service: Flask):
    bank = add_bank()
    add_units(bank, 1, product="fresh_frozen_plasma", days=300)
    add_forecast(1.0)
    assert read().component_shares == pytest.approx({"red_cells": 0.8, "plasma": 0.08, "platelets": 0.12})
    assert cover(component="plasma").days_of_cover == pytest.approx(10.0)
    assert cover(component="plasma").days_of_cover_if_high is None
    add_requests(100, component="plasma")
    add_requests(100, days_ago=89)
    add_requests(500, component="platelets", days_ago=91)
    assert read().component_shares == pytest.approx({"red_cells": 0.6, "plasma": 0.36, "platelets": 0.04})
    assert cover(component="plasma").days_of_cover == pytest.approx(1 / 0.6)


def test_requests_that_were_cancelled_were_demand(service: Flask):
    add_bank()
    add_forecast(1.0)
    add_requests(300, component="plasma")
    before = read().component_shares
    with transaction() as session:
        session.execute(update(BloodRequest).values(cancelled_at=NOON))
    assert read().component_shares == before


def test_only_the_identical_group_is_cover_and_the_compatible_ones_are_told(service: Flask):
    bank = add_bank()
    add_units(bank, 2, blood_group="O-")
    add_units(bank, 3, blood_group="A+")
    add_units(bank, 4, blood_group="B+")
    add_units(add_bank(district="Wayanad"), 50, blood_group="O-")
    found = cover("A+")
    assert (found.units, found.compatible_units) == (3, 5)
    assert (cover("O-").units, cover("O-").compatible_units) == (2, 2)


def test_without_a_forecast_cover_is_unknown_and_says_why(service: Flask):
    add_units(add_bank(), 3)
    found = cover()
    assert (found.units, found.days_of_cover, found.days_of_cover_if_high, found.at_least) == (3, None, None, False)
    assert found.reason == "there is no forecast yet: POST /forecasts makes one"
    page = read()
    assert (page.forecast_made_at, page.component_shares) == (None, None)
    add_forecast(1.0, days=3, made_at=MIDNIGHT - timedelta(days=3))
    assert cover().reason == f"the forecast of {date(2026, 2, 28)} has run out: POST /forecasts makes a new one"


def test_bombay_is_listed_where_there_is_some_and_has_no_cover(service: Flask):
    bank = add_bank()
    add_forecast(1.0)
    assert {one.blood_group for one in read().cover} == set(BLOOD_GROUPS) - {"Oh"}
    add_units(bank, blood_group="Oh")
    found = cover("Oh")
    assert (found.units, found.compatible_units, found.days_of_cover) == (1, 1, None)
    assert found.reason is not None
    assert "one by one" in found.reason


def test_a_bank_that_does_not_exist_or_lies_elsewhere_is_not_found(service: Flask):
    bank = add_bank(district="Wayanad")
    with pytest.raises(NotFound, match="no blood bank 999"):
        read(bank_id=999)
    with pytest.raises(NotFound, match=f"no blood bank {bank} in Ernakulam"):
        read(bank_id=bank, district="Ernakulam")
    assert read(bank_id=bank, district="Wayanad").reason is None


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"product": "plazma"}, "unknown product; one of whole_blood_cpda1"),
        ({"component": "bone"}, "component"),
        ({"component": "plasma", "product": "platelets"}, "product platelets is platelets, not plasma"),
        ({"bank_id": 0}, "bank_id"),
        ({"state": "reserved"}, "state"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(query: dict[str, object], reason: str):
    with pytest.raises(ValidationError, match=reason):
        StockQuery.model_validate(query)


def add_alert(**changes) -> None:
    values = {"kind": "shortage", "level": "warning", "district": "Ernakulam", "blood_group": "O+", "units": 3}
    values |= {"component": "red_cells", "days_of_cover": 1.5, "opened_at": NOON, "seen_at": NOON}
    with transaction() as session:
        session.add(StockAlert(**(values | changes)))


def test_alerts_are_read_open_or_closed_by_kind_level_and_district(service: Flask):
    bank = add_bank()
    add_alert()
    add_alert(kind="expiry", bank_id=bank, level="critical", days_of_cover=None)
    add_alert(district="Wayanad")
    add_alert(closed_at=NOON)

    def ids(**query) -> list[int]:
        return [alert.id for alert in stock_alerts(AlertQuery.model_validate(query)).alerts]

    assert ids() == [3, 2, 1]
    assert ids(closed="true") == [4]
    assert ids(kind="shortage") == [3, 1]
    assert ids(level="critical") == [2]
    assert ids(district="Wayanad") == [3]
    assert ids(before_id=3) == [2, 1]


def test_alerts_come_in_pages(service: Flask):
    for _ in range(5):
        add_alert()
    first = stock_alerts(AlertQuery(limit=3))
    assert [alert.id for alert in first.alerts] == [5, 4, 3]
    assert first.next_before_id == 3
    last = stock_alerts(AlertQuery(limit=3, before_id=3))
    assert [alert.id for alert in last.alerts] == [2, 1]
    assert last.next_before_id is None


def test_an_installation_without_alerts_has_an_empty_page(service: Flask):
    assert stock_alerts(AlertQuery()).model_dump() == {"alerts": [], "next_before_id": None}
