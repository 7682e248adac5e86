"""Records over HTTP."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.domains.blood.resources import RESOURCES
from tests.unit.batches.file_service import FileService

DONOR = {
    "external_id": "D-1",
    "name": "Asha Menon",
    "phone": "+91 98470 12345",
    "blood_group": "B+",
    "born_on": "1990-02-01",
    "latitude": 10.0,
    "longitude": 76.3,
    "consented": True,
}
URL = "/api/ml/donors"


def wrong(response) -> list[str]:
    assert response.status_code == 422, response.text
    assert all(error["reason"] for error in response.json["errors"])
    return [error["field"] for error in response.json["errors"]]


def test_a_record_is_added_once_with_its_address(service: FileService):
    added = service.client.post(URL, json=DONOR)
    assert added.status_code == 201
    assert service.client.get(added.headers["Location"]).json == added.json
    again = service.client.post(URL, json=DONOR)
    assert (again.status_code, again.json) == (200, added.json)
    assert again.headers["Location"] == added.headers["Location"]


def test_another_record_of_the_same_name_is_a_409_that_names_it_by_id(service: FileService):
    added = service.client.post(URL, json=DONOR).json
    refused = service.client.post(URL, json=DONOR | {"phone": "+91 98470 54321"})
    assert (refused.status_code, refused.json["code"]) == (409, "conflict")
    assert f"donor {added['id']}" in refused.json["detail"]
    assert service.client.get(f"{URL}/{added['id']}").json == added


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"latitude": 95}, "latitude"),
        ({"born_on": "2190-01-01"}, "born_on"),
        ({"colour": "red"}, "colour"),
        ({"blood_group": None}, "blood_group"),
        ({"name": "=cmd()"}, "name"),
    ],
)
def test_wrong_fields_are_named_and_nothing_is_stored(service: FileService, change, field):
    assert wrong(service.client.post(URL, json=DONOR | change)) == [field]
    assert service.client.get(URL).json["items"] == []


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"external_id": "D-2"}, ["external_id"]),
        ({"id": 7}, ["id"]),
        ({"updated_at": "2026-01-01T00:00Z"}, ["updated_at"]),
        ({"consented": None}, ["consented"]),
        ({"sex": None}, ["sex"]),
        ({"born_on": "2190-01-01", "latitude": 95}, ["born_on", "latitude"]),
        ([], [""]),
    ],
)
def test_a_patch_of_what_cannot_be_so_is_refused_and_changes_nothing(service: FileService, change, fields):
    added = service.client.post(URL, json=DONOR)
    assert wrong(service.client.patch(added.headers["Location"], json=change)) == fields
    assert service.client.get(added.headers["Location"]).json == added.json


def test_a_patch_with_null_empties_what_may_be_empty(service: FileService):
    location = service.client.post(URL, json=DONOR | {"weight_kg": 60}).headers["Location"]
    changed = service.client.patch(location, json={"weight_kg": None, "name": None, "registered_at": None}).json
    assert (changed["weight_kg"], changed["name"]) == (None, None)
    assert changed["phone"] is not None
    assert changed["registered_at"] is not None


def test_what_may_not_move_is_no_field_of_a_patch(service: FileService):
    donor = service.client.post(URL, json=DONOR).json
    given = {"external_id": "G-1", "donor_id": donor["id"], "at": "2026-01-01T05:00:00Z"}
    location = service.client.post("/api/ml/donations", json=given).headers["Location"]
    for change in ({"donor_id": 1}, {"donor_external_id": "D-1"}):
        assert wrong(service.client.patch(location, json=change)) == list(change)
    assert service.client.patch(location, json={"component": "platelets"}).json["component"] == "platelets"


def test_an_unknown_record_is_a_404_however_large_its_number(service: FileService):
    for number in (1, 2**63 - 1, 2**63, 10**40):
        for answer in (
            service.client.get(f"{URL}/{number}"),
            service.client.patch(f"{URL}/{number}", json={"weight_kg": 60}),
        ):
            assert (answer.status_code, answer.json["detail"]) == (404, f"no donor {number}")
    assert service.client.get(f"{URL}/x").status_code == 404


def test_lists_are_filtered_and_paged_and_their_queries_checked(service: FileService):
    for n, group in enumerate(["B+", "O-", "B+"]):
        service.client.post(URL, json=DONOR | {"external_id": f"D-{n}", "blood_group": group})
    page = service.client.get(f"{URL}?blood_group=B%2B&limit=1").json
    assert [item["external_id"] for item in page["items"]] == ["D-0"]
    rest = service.client.get(f"{URL}?blood_group=B%2B&after_id={page['next_after_id']}").json
    assert ([item["external_id"] for item in rest["items"]], rest["next_after_id"]) == (["D-2"], None)
    assert service.client.get(f"{URL}?external_id=D-1").json["items"][0]["blood_group"] == "O-"
    for query, fields in {
        "limit=0": ["limit"],
        "limit=1001": ["limit"],
        "after_id=-1": ["after_id"],
        "after_id=99999999999999999999": ["after_id"],
        "blood_group=C": ["blood_group"],
        "external_id=%00": ["external_id"],
        "name=Asha": ["name"],
        "limit=1&limit=2": ["limit"],
    }.items():
        assert wrong(service.client.get(f"{URL}?{query}")) == fields


def test_no_answer_shows_a_name_or_a_phone(service: FileService):
    location = service.client.post(URL, json=DONOR).headers["Location"]
    answers = [
        service.client.post(URL, json=DONOR),
        service.client.post(URL, json=DONOR | {"name": "Asha Nair"}),
        service.client.post(URL, json=DONOR | {"phone": "98470-12345-Menon"}),
        service.client.get(location),
        service.client.get(URL),
        service.client.patch(location, json={"weight_kg": 60}),
        service.client.patch(location, json={"name": "Asha\x00Menon"}),
        service.client.patch(location, json={"phone": "Menon 12345"}),
    ]
    assert Counter(answer.status_code for answer in answers) == {200: 4, 409: 1, 422: 3}
    for answer in answers:
        assert not {"Asha", "Menon", "Nair", "98470", "12345"} & {
            word for word in ("Asha", "Menon", "Nair", "98470", "12345") if word in answer.text
        }
    assert answers[3].json["name"] == "A••• M•••"
    assert answers[3].json["phone"] == "••••••••45"


@pytest.mark.parametrize("resource", [resource.name for resource in RESOURCES])
def test_every_resource_has_its_four_routes(service: FileService, resource):
    assert service.client.get(f"/api/ml/{resource}").json == {"items": [], "next_after_id": None}
    assert service.client.get(f"/api/ml/{resource}/1").status_code == 404
    assert service.client.post(f"/api/ml/{resource}", json={}).status_code == 422
    assert service.client.patch(f"/api/ml/{resource}/1", json={}).status_code == 404
    assert service.client.delete(f"/api/ml/{resource}/1").status_code == 405


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.integers())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.dictionaries(st.sampled_from([*DONOR, "weight_kg", "sex", "deferred_until"]), anything, min_size=1))
def test_whatever_is_sent_is_stored_or_refused_and_never_a_fault(service: FileService, fields):
    answer = service.client.post(URL, json=DONOR | fields)
    assert answer.status_code in {200, 201, 409, 422}, answer.text
    if answer.status_code == 201:
        assert service.client.get(answer.headers["Location"]).json == answer.json
