"""The blood service's records, one by one and from files."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from backend.clock import utc_now
from backend.domains.blood.shelf_lives import PRODUCTS
from backend.domains.blood.tables import BloodUnit, Donation, Donor
from backend.extensions import transaction
from tests.unit.batches.file_service import FileService, counts
from tests.unit.domains.blood.conftest import application
from tests.unit.domains.blood.outcome_cases import a_donor, a_request, happened, send
from tests.unit.domains.blood.outcome_cases import store as store_rows

DONORS = "external_id,blood_group,born_on,latitude,longitude,consented\n"
DONATIONS = "external_id,donor_external_id,at\n"
UNITS = "external_id,bank_external_id,blood_group,product,collected_at\n"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[FileService]:
    with application(tmp_path) as app:
        yield FileService(app)


@pytest.fixture
def donor(service: FileService) -> int:
    service.imported("donors", DONORS + "D1,B+,1990-02-01,10,76.3,yes\n")
    with transaction(read_only=True) as session:
        return session.scalars(select(Donor.id)).one()


def donations() -> list[Donation]:
    with transaction(read_only=True) as session:
        return list(session.scalars(select(Donation).order_by(Donation.id)))


@pytest.mark.parametrize(
    ("place", "district"),
    [((9.97, 76.28), "Ernakulam"), ((12.4, 75.1), "Kasaragod"), ((8.0, 77.2), "Thiruvananthapuram")],
)
def test_a_donor_without_a_district_gets_the_nearest(service: FileService, place, district):
    service.imported("donors", DONORS + f"D1,B+,1990-02-01,{place[0]},{place[1]},yes\n")
    assert service.client.get("/api/ml/donors").json["items"][0]["district"] == district


def test_references_are_by_external_id_or_by_ours_and_unknown_ones_refused(service: FileService, donor):
    body = DONATIONS + "G1,D1,2026-01-01T05:00Z\nG2,D9,2026-01-01T05:00Z\n"
    result = service.imported("donations", body)
    assert counts(result) == (1, 0, 0, 1)
    assert service.refused(result["id"]) == [(2, "donor_external_id", "there is no such donor")]
    by_id = f"external_id,donor_id,at\nG3,{donor},2026-05-01T05:00Z\nG4,{donor + 1},2026-05-01T05:00Z\n"
    result = service.imported("donations", by_id)
    assert counts(result) == (1, 0, 0, 1)
    assert service.refused(result["id"]) == [(2, "donor_id", "there is no such donor")]
    assert {donation.donor_id for donation in donations()} == {donor}


def test_a_donation_by_a_child_has_the_wrong_donor_or_date(service: FileService, donor):
    result = service.imported("donations", DONATIONS + "G1,D1,1996-02-01T05:00Z\nG2,D1,2008-02-01T05:00Z\n")
    assert service.refused(result["id"]) == [(1, "at", "the donor was a child then")]
    added = service.client.get("/api/ml/donations").json["items"][0]
    refused = service.client.patch(f"/api/ml/donations/{added['id']}", json={"at": "1996-02-01T05:00Z"})
    assert refused.json["errors"] == [{"field": "at", "reason": "the donor was a child then"}]


@pytest.fixture
def recorded(service: FileService):
    """A donation that an outcome recorded, at half past one at night in Kerala."""
    ids = {"donor_id": store_rows(a_donor(external_id="D1")), "request_id": store_rows(a_request())}
    kinds = (("asked", 0), ("accepted", 1), ("donated", 10 * 60))
    assert send(service.client, *(happened(ids, kind, minutes) for kind, minutes in kinds)).status_code == 200
    (donation,) = donations()
    assert donation.at.isoformat() == "2026-03-01T20:00:00+00:00"
    return donation


def test_an_imported_donation_of_the_same_local_day_is_the_one_an_outcome_recorded(service: FileService, recorded):
    body = "external_id,donor_external_id,at,component\nG1,D1,2026-03-01T19:00Z,red_cells\n"
    assert counts(service.imported("donations", body)) == (0, 1, 0, 0)
    (adopted,) = donations()
    assert (adopted.id, adopted.external_id, adopted.component) == (recorded.id, "G1", "red_cells")
    assert adopted.at == recorded.at - timedelta(hours=1)
    assert counts(service.imported("donations", body)) == (0, 0, 1, 0)


@pytest.mark.parametrize("at", ["2026-03-01T18:00Z", "2026-03-02T18:30Z"])
def test_a_donation_of_another_local_day_is_another(service: FileService, recorded, at):
    assert counts(service.imported("donations", DONATIONS + f"G1,D1,{at}\n")) == (1, 0, 0, 0)
    assert len(donations()) == 2


def test_one_recorded_donation_is_adopted_once(service: FileService, recorded):
    body = DONATIONS + "G1,D1,2026-03-01T19:00Z\nG2,D1,2026-03-01T21:00Z\n"
    assert counts(service.imported("donations", body)) == (1, 1, 0, 0)
    assert [donation.external_id for donation in donations()] == ["G1", "G2"]


def test_a_donation_that_is_added_alone_is_the_recorded_one_as_well(service: FileService, recorded):
    given = {"external_id": "G1", "donor_external_id": "D1", "at": "2026-03-01T19:00Z"}
    for _ in range(2):
        added = service.client.post("/api/ml/donations", json=given)
        assert (added.status_code, added.json["id"], added.json["external_id"]) == (200, recorded.id, "G1")
    assert len(donations()) == 1


def test_a_recorded_donation_can_be_corrected(service: FileService, recorded):
    changed = service.client.patch(f"/api/ml/donations/{recorded.id}", json={"component": "red_cells"})
    assert (changed.status_code, changed.json["component"], changed.json["external_id"]) == (200, "red_cells", None)


@pytest.mark.parametrize("product", sorted(PRODUCTS))
def test_a_unit_without_an_expiry_gets_that_of_its_product(service: FileService, product):
    place = {"external_id": "B1", "name": "General", "district": "Kollam", "latitude": 9, "longitude": 76.6}
    service.client.post("/api/ml/banks", json=place)
    service.imported("units", UNITS + f"U1,B1,O-,{product},2026-03-01T10:00Z\n")
    with transaction(read_only=True) as session:
        unit = session.scalars(select(BloodUnit)).one()
    days = 28 if PRODUCTS[product].irradiated else PRODUCTS[product].days
    assert unit.expires_at - unit.collected_at == timedelta(days=days)


def test_a_request_can_be_called_off_and_reopened(service: FileService):
    request_id = store_rows(a_request())
    url = f"/api/ml/requests/{request_id}"
    assert service.client.patch(url, json={"cancelled_at": "2026-03-02T10:00Z"}).json["cancelled_at"] is not None
    assert service.client.patch(url, json={"cancelled_at": None}).json["cancelled_at"] is None


def test_a_new_request_is_needed_later_than_now(service: FileService):
    body = "external_id,district,latitude,longitude,blood_group,needed_by\nR1,Kollam,9,76.6,O-,2026-01-01T10:00Z\n"
    result = service.imported("requests", body)
    reason = "must be later than created_at, which is now if it is not given"
    assert service.refused(result["id"]) == [(1, "needed_by", reason)]


def test_a_request_file_may_be_imported_again_when_its_requests_are_over(service: FileService, monkeypatch):
    """Without a column created_at, what is stored counts, and not the moment of the second import."""
    needed = (utc_now() + timedelta(hours=1)).isoformat()
    body = "external_id,district,latitude,longitude,blood_group,needed_by\n" + f"R1,Kollam,9,76.6,O-,{needed}\n"
    assert counts(service.imported("requests", body)) == (1, 0, 0, 0)
    later = utc_now() + timedelta(days=2)
    for module in ("resource_schemas", "resources"):
        monkeypatch.setattr(f"backend.domains.blood.{module}.utc_now", lambda: later)
    assert counts(service.imported("requests", body)) == (0, 0, 1, 0)
