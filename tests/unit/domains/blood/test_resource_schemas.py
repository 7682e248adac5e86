"""What the blood service takes for a record, and what it shows of one."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from backend.clock import utc_now
from backend.domains.blood.resource_schemas import (
    CLOCK_SKEW,
    DonorFilters,
    DonorRecord,
    NewDonation,
    NewDonor,
    NewRequest,
    NewUnit,
)
from backend.domains.blood.shelf_lives import PRODUCTS, expires_at

DONOR = {"external_id": "D-1", "blood_group": "B+", "born_on": "1990-02-01", "latitude": 10, "longitude": 76.3}
DONOR |= {"consented": True}
REQUEST = {"external_id": "R-1", "district": "Kollam", "latitude": 9, "longitude": 76.6, "blood_group": "O-"}
UNIT = {"external_id": "U-1", "bank_id": 1, "blood_group": "A+", "product": "platelets"}
UNIT |= {"collected_at": "2026-03-01T10:00:00Z"}
COLLECTED = datetime(2026, 3, 1, 10, tzinfo=UTC)
TODAY = utc_now().date()


def wrong(schema, values, **changes) -> set[str]:
    """The fields that are refused; nothing of their values is in the reasons."""
    with pytest.raises(ValidationError) as refused:
        schema.model_validate(values | changes)
    return {".".join(map(str, error["loc"])) for error in refused.value.errors()}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("born_on", "2149-01-01"),
        ("born_on", "1899-12-31"),
        ("born_on", "1990-02-30"),
        ("born_on", "631152000"),
        ("born_on", 86_400),
        ("latitude", 90.001),
        ("latitude", "nan"),
        ("longitude", -180.5),
        ("longitude", float("inf")),
        ("weight_kg", 0),
        ("weight_kg", "NaN"),
        ("hemoglobin_g_dl", 140),
        ("blood_group", "b+"),
        ("sex", "f"),
        ("district", "Bangalore"),
        ("consented", "maybe"),
        ("registered_at", "2026-01-01T10:00:00"),
        ("registered_at", "20260101"),
        ("registered_at", 1_700_000_000),
        ("registered_at", "1700000000.5"),
        ("registered_at", "2026-01-01"),
        ("registered_at", "2149-01-01T00:00Z"),
        ("deferred_until", "9999-12-31T23:59:59-14:00"),
        ("deferred_until", 5),
        ("external_id", ""),
        ("external_id", "=D1"),
        ("external_id", "-D1"),
        ("external_id", "D\n1"),
        ("external_id", "D;1"),
        ("external_id", "x" * 65),
        ("phone", "=12345678"),
        ("phone", "call me"),
        ("phone", "+"),
        ("phone", "12"),
        ("phone", "1" * 40),
    ],
)
def test_a_donor_like_this_is_refused(field, value):
    assert wrong(NewDonor, DONOR, **{field: value}) == {field}


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", " =", "\t@"])
def test_a_name_that_a_spreadsheet_would_run_is_refused(begin):
    assert wrong(NewDonor, DONOR, name=begin + "HYPERLINK(A1)") == {"name"}


@given(st.characters(categories=["Cc", "Cf", "Zl", "Zp", "Cs", "Co"]))
def test_a_name_with_a_character_that_cannot_be_seen_is_refused(character):
    assert wrong(NewDonor, DONOR, name=f"Asha{character}Menon") == {"name"}


@pytest.mark.parametrize("name", ["Asha Menon", "  Asha  ", "ആശ", "O'Neill-Śmith", "D. 2"])
def test_a_name_is_kept_as_it_is_without_blanks_around_it(name):
    assert NewDonor.model_validate(DONOR | {"name": name}).name == name.strip()


@pytest.mark.parametrize("phone", ["+91 98470 12345", "0484-2345678", "(0484) 2345678"[1:], "9847012345"])
def test_phones_are_taken_as_people_write_them(phone):
    assert NewDonor.model_validate(DONOR | {"phone": phone}).phone == phone


@pytest.mark.parametrize(
    "at",
    ["2026-01-01T10:00:00Z", "2026-01-01T15:30:00+05:30", "2026-01-01 10:00Z", datetime(2026, 1, 1, 10, tzinfo=UTC)],
)
def test_a_moment_with_its_zone_is_the_same_however_it_is_written(at):
    assert NewDonor.model_validate(DONOR | {"registered_at": at}).registered_at == datetime(2026, 1, 1, 10, tzinfo=UTC)


def test_a_clock_that_is_a_little_ahead_is_no_fault():
    soon = utc_now() + CLOCK_SKEW / 2
    assert NewDonor.model_validate(DONOR | {"registered_at": soon}).registered_at == soon


def test_a_donor_may_be_born_today_and_deferred_for_years():
    donor = NewDonor.model_validate(DONOR | {"born_on": TODAY, "deferred_until": "2100-01-01T00:00Z"})
    assert (donor.born_on, donor.deferred_until.year) == (TODAY, 2100)


@pytest.mark.parametrize("group", ["Bombay", "O", "O +", "", None])
def test_a_group_that_the_rules_do_not_know_is_not_taken_for_another(group):
    assert wrong(NewDonor, DONOR, blood_group=group) == {"blood_group"}


def test_a_request_is_needed_after_it_was_made():
    made = "2026-03-01T10:00Z"
    fine = NewRequest.model_validate(REQUEST | {"created_at": made, "needed_by": "2026-03-01T10:01Z"})
    assert fine.needed_by - fine.created_at == timedelta(minutes=1)
    assert wrong(NewRequest, REQUEST, created_at=made, needed_by=made) == {""}


@pytest.mark.parametrize(
    ("field", "value"), [("units_required", 0), ("units_required", 21), ("units_required", 1.5), ("urgency", 5)]
)
def test_a_request_asks_for_what_can_be_asked(field, value):
    assert wrong(NewRequest, REQUEST, **{field: value}) == {field}


@pytest.mark.parametrize("owner", [{}, {"donor_id": 1, "donor_external_id": "D-1"}])
def test_a_donation_has_one_donor(owner):
    given = {"external_id": "G-1", "at": "2026-01-01T10:00Z"}
    assert wrong(NewDonation, given, **owner) == {""}
    assert wrong(NewDonation, given, donor_id=0) == {"donor_id"}


@given(product=st.sampled_from(sorted(PRODUCTS)), hours=st.floats(-48, 24 * 400))
def test_a_unit_expires_after_its_collection_and_within_its_shelf_life(product, hours):
    """A label may run to the end of its day, so a day more is taken."""
    expires = COLLECTED + timedelta(hours=hours)
    values = UNIT | {"product": product, "expires_at": expires}
    if timedelta(0) < expires - COLLECTED <= timedelta(days=PRODUCTS[product].days + 1):
        assert NewUnit.model_validate(values).expires_at == expires
    else:
        assert wrong(NewUnit, values) == {""}


@pytest.mark.parametrize("product", sorted(PRODUCTS))
def test_the_expiry_that_is_worked_out_is_one_that_would_be_taken(product):
    worked_out = expires_at(product, COLLECTED)
    assert NewUnit.model_validate(UNIT | {"product": product, "expires_at": worked_out}).expires_at == worked_out


@pytest.mark.parametrize(
    ("field", "value"),
    [("product", "plasma"), ("state", "used"), ("collected_at", utc_now() + timedelta(days=1)), ("bank_id", 2**63)],
)
def test_a_unit_like_this_is_refused(field, value):
    assert wrong(NewUnit, UNIT, **{field: value}) == {field}


@given(name=st.text(min_size=1, max_size=30), phone=st.from_regex(r"\+?[0-9][0-9 ()/-]{8,30}", fullmatch=True))
def test_a_donor_is_shown_without_name_and_phone(name, phone):
    row = NewDonor.model_validate(DONOR).model_dump() | {"name": name, "phone": phone, "id": 1, "district": "Kollam"}
    shown = DonorRecord.model_validate(row | {"registered_at": COLLECTED, "updated_at": COLLECTED})
    assert all(len(word) <= 4 for word in shown.name.split())
    assert sum(character.isdecimal() for character in shown.phone) <= 2


def test_an_unknown_filter_is_refused():
    assert wrong(DonorFilters, {}, name="Asha") == {"name"}


def test_dates_are_days():
    assert NewDonor.model_validate(DONOR).born_on == date(1990, 2, 1)
