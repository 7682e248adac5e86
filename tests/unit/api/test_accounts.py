"""Accounts and their keys over HTTP."""

from datetime import datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.clock import utc_now
from backend.security import authentication, key_management
from backend.security.accounts import create_account, get_account
from backend.security.key_management import list_keys
from backend.security.permissions import Permission, Role
from tests.accounts import headers_of

ACCOUNTS = "/api/ml/accounts"
KEYS = "/api/ml/keys"
FIGURES = "/api/ml/schedules"  # takes read_figures, which a service has
MODELS = "/api/ml/models/ledger"  # takes read_models, too


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def asha(app: Flask) -> dict[str, str]:
    """What an admin shows."""
    return headers_of("asha", Role.ADMIN)


@pytest.fixture
def lab(client: FlaskClient, asha: dict[str, str]) -> dict[str, str]:
    """A key of the account `lab`, a service, as it is shown once."""
    assert client.post(ACCOUNTS, json={"name": "lab", "role": "service"}, headers=asha).status_code == 201
    return client.post(f"{ACCOUNTS}/lab/keys", headers=asha).json


def status(client: FlaskClient, key: dict[str, str], path: str = FIGURES) -> int:
    return client.get(path, headers={"Authorization": f"Bearer {key['key']}"}).status_code


def is_problem(response, status: int, code: str) -> str:
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    assert response.json["code"] == code
    return response.json["detail"]


def test_an_account_is_made_and_shown(client: FlaskClient, asha):
    made = client.post(ACCOUNTS, json={"name": "lab", "role": "service"}, headers=asha)
    assert (made.status_code, made.headers["Location"]) == (201, f"{ACCOUNTS}/lab")
    assert (made.json["role"], made.json["created_by"], made.json["disabled_at"]) == ("service", "asha", None)
    assert client.get(f"{ACCOUNTS}/lab", headers=asha).json == made.json
    listed = client.get(ACCOUNTS, headers=asha).json["accounts"]
    assert [one["name"] for one in listed] == ["asha", "lab"]
    assert listed[1] == made.json
    is_problem(client.post(ACCOUNTS, json={"name": "lab", "role": "viewer"}, headers=asha), 409, "conflict")


def test_a_key_is_shown_once_and_says_who_made_it(client: FlaskClient, asha, lab):
    assert status(client, lab) == 200
    (listed,) = client.get(f"{ACCOUNTS}/lab/keys", headers=asha).json["keys"]
    assert listed["id"] == lab["id"]
    assert listed["created_by"] == "asha"
    assert listed["last_used_at"] is not None, "it was used a moment ago"
    assert "key" not in listed
    assert "digest" not in listed


def test_a_key_expires_when_it_was_said_to(client: FlaskClient, asha, lab):
    made = client.post(f"{ACCOUNTS}/lab/keys", json={"expires_at": "P90D"}, headers=asha)
    left = datetime.fromisoformat(made.json["expires_at"]) - utc_now()
    assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
    assert timedelta(days=89) < left <= timedelta(days=90)


def test_a_revoked_key_is_refused_at_once(client: FlaskClient, asha, lab):
    assert status(client, lab) == 200
    assert client.delete(f"{KEYS}/{lab['id']}", headers=asha).status_code == 204
    assert status(client, lab) == 401
    assert client.delete(f"{KEYS}/{lab['id']}", headers=asha).status_code == 204


def test_an_expired_key_is_refused_at_once(client: FlaskClient, asha, lab, monkeypatch: pytest.MonkeyPatch):
    made = client.post(f"{ACCOUNTS}/lab/keys", json={"expires_at": "PT1H"}, headers=asha).json
    assert status(client, made) == 200
    ends = datetime.fromisoformat(made["expires_at"])
    monkeypatch.setattr(authentication, "utc_now", lambda: ends)
    refused = client.get(FIGURES, headers={"Authorization": f"Bearer {made['key']}"})
    assert "has expired" in is_problem(refused, 401, "unauthenticated")
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert status(client, lab) == 200


def test_a_rotated_key_is_valid_during_the_overlap_and_not_after(
    client: FlaskClient, asha, lab, monkeypatch: pytest.MonkeyPatch
):
    rotated = client.post(f"{KEYS}/{lab['id']}/rotate", json={"overlap": "PT2H"}, headers=asha)
    assert (rotated.status_code, rotated.json["created_by"]) == (201, "asha")
    now = utc_now()
    for after, old in ((timedelta(minutes=119), 200), (timedelta(minutes=121), 401)):
        monkeypatch.setattr(authentication, "utc_now", lambda moment=now + after: moment)
        assert (status(client, lab), status(client, rotated.json)) == (old, 200)


def test_a_key_rotated_without_overlap_is_refused_at_once(client: FlaskClient, asha, lab):
    assert status(client, lab) == 200
    rotated = client.post(f"{KEYS}/{lab['id']}/rotate", json={"overlap": "PT0S"}, headers=asha).json
    assert (status(client, lab), status(client, rotated)) == (401, 200)


def test_a_rotation_overlaps_for_a_day_when_nothing_is_said(client: FlaskClient, asha, lab):
    assert client.post(f"{KEYS}/{lab['id']}/rotate", headers=asha).status_code == 201
    old = list_keys("lab").keys[0]
    assert old.id == lab["id"]
    assert timedelta(hours=23) < old.expires_at - utc_now() <= timedelta(hours=24)


def test_the_keys_of_a_disabled_account_are_refused_at_once_and_stay_so(client: FlaskClient, asha, lab):
    assert status(client, lab) == 200
    assert client.patch(f"{ACCOUNTS}/lab", json={"disabled": True}, headers=asha).json["disabled_at"] is not None
    assert status(client, lab) == 401
    is_problem(client.post(f"{ACCOUNTS}/lab/keys", headers=asha), 409, "conflict")
    assert client.patch(f"{ACCOUNTS}/lab", json={"disabled": False}, headers=asha).json["disabled_at"] is None
    assert status(client, lab) == 401
    assert status(client, client.post(f"{ACCOUNTS}/lab/keys", headers=asha).json) == 200


def test_a_key_with_fewer_permissions_is_forbidden_elsewhere(client: FlaskClient, asha, lab):
    body = {"permissions": ["read_models"]}
    narrow = client.post(f"{ACCOUNTS}/lab/keys", json=body, headers=asha).json
    assert (status(client, narrow, MODELS), status(client, narrow)) == (200, 403)
    assert (status(client, lab, MODELS), status(client, lab)) == (200, 200)


def test_another_role_counts_from_the_next_request(client: FlaskClient, asha, lab):
    assert status(client, lab) == 200
    assert client.patch(f"{ACCOUNTS}/lab", json={"role": "auditor"}, headers=asha).json["role"] == "auditor"
    assert (status(client, lab), status(client, lab, MODELS)) == (403, 200)
    client.patch(f"{ACCOUNTS}/lab", json={"role": "admin"}, headers=asha)
    assert status(client, lab, ACCOUNTS) == 200


def test_a_key_allows_what_it_names_only_while_its_role_does(client: FlaskClient, asha, lab):
    body = {"permissions": ["read_figures"]}
    narrow = client.post(f"{ACCOUNTS}/lab/keys", json=body, headers=asha).json
    client.patch(f"{ACCOUNTS}/lab", json={"role": "auditor"}, headers=asha)
    assert status(client, narrow) == 403
    client.patch(f"{ACCOUNTS}/lab", json={"role": "viewer"}, headers=asha)
    assert (status(client, narrow), status(client, narrow, MODELS)) == (200, 403)


@pytest.mark.parametrize("patch", [{"disabled": True}, {"role": "viewer"}, {"role": "admin", "disabled": True}])
def test_nobody_disables_or_demotes_the_account_they_act_with(client: FlaskClient, asha, patch):
    create_account("bala", Role.ADMIN, by="asha", at=utc_now())
    assert "you act as asha" in is_problem(client.patch(f"{ACCOUNTS}/asha", json=patch, headers=asha), 409, "conflict")
    assert (get_account("asha").role, get_account("asha").disabled_at) == (Role.ADMIN, None)
    assert client.patch(f"{ACCOUNTS}/bala", json=patch, headers=asha).status_code == 200


def test_what_changes_nothing_of_ones_own_account_is_no_conflict(client: FlaskClient, asha):
    assert client.patch(f"{ACCOUNTS}/asha", json={"role": "admin", "disabled": False}, headers=asha).status_code == 200


def test_the_last_admin_is_kept_also_where_nobody_is_asked(client: FlaskClient, asha):
    refused = client.patch(f"{ACCOUNTS}/asha", json={"disabled": True})
    assert "last admin" in is_problem(refused, 409, "conflict")


CALLS = [
    ("GET", ACCOUNTS),
    ("POST", ACCOUNTS),
    ("GET", f"{ACCOUNTS}/lab"),
    ("PATCH", f"{ACCOUNTS}/lab"),
    ("GET", f"{ACCOUNTS}/lab/keys"),
    ("POST", f"{ACCOUNTS}/lab/keys"),
    ("POST", f"{KEYS}/00000000/rotate"),
    ("DELETE", f"{KEYS}/00000000"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_who_may_not_manage_accounts_is_forbidden(client: FlaskClient, method: str, path: str, role: Role):
    is_problem(client.open(path, method=method, headers=headers_of("bala", role)), 403, "forbidden")


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_an_admins_key_for_something_else_is_forbidden(client: FlaskClient, method: str, path: str):
    narrow = headers_of("asha", Role.ADMIN, permissions=set(Permission) - {Permission.MANAGE_ACCOUNTS})
    is_problem(client.open(path, method=method, headers=narrow), 403, "forbidden")


@pytest.mark.parametrize(
    ("call", "body", "field"),
    [
        ("POST /accounts", {"name": "Lab 1", "role": "viewer"}, "name"),
        ("POST /accounts", {"name": "system", "role": "viewer"}, "name"),
        ("POST /accounts", {"name": "ward", "role": "king"}, "role"),
        ("POST /accounts", {"name": "ward", "role": "viewer", "password_hash": "x"}, "password_hash"),
        ("PATCH /accounts/lab", {}, ""),
        ("PATCH /accounts/lab", {"role": None}, ""),
        ("PATCH /accounts/lab", {"name": "ward"}, "name"),
        ("POST /accounts/lab/keys", {"permissions": ["manage_models"]}, "permissions"),
        ("POST /accounts/lab/keys", {"permissions": []}, "permissions"),
        ("POST /accounts/lab/keys", {"permissions": ["fly"]}, "permissions.0"),
        ("POST /accounts/lab/keys", {"expires_at": "2026-01-01T00:00:00Z"}, "expires_at"),
        ("POST /accounts/lab/keys", {"expires_at": 3600}, "expires_at"),
        ("POST /accounts/lab/keys", {"name": "asha"}, "name"),
        ("POST /keys/ID/rotate", {"overlap": "P31D"}, "overlap"),
        ("POST /keys/ID/rotate", {"overlap": "-PT1S"}, "overlap"),
        ("POST /keys/ID/rotate", {"key_id": "00000000"}, "key_id"),
    ],
)
def test_bad_input_says_where_and_changes_nothing(client: FlaskClient, lab, call: str, body, field: str):
    before = (client.get(ACCOUNTS).json, [one.expires_at for one in list_keys(None).keys])
    method, path = call.replace("ID", lab["id"]).split()
    response = client.open(f"/api/ml{path}", method=method, json=body)
    is_problem(response, 422, "validation_failed")
    assert [error["field"] for error in response.json["errors"]] == [field]
    assert (client.get(ACCOUNTS).json, [one.expires_at for one in list_keys(None).keys]) == before


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"{ACCOUNTS}/ward", None),
        ("GET", f"{ACCOUNTS}/%00", None),
        ("PATCH", f"{ACCOUNTS}/ward", {"role": "viewer"}),
        ("GET", f"{ACCOUNTS}/ward/keys", None),
        ("POST", f"{ACCOUNTS}/ward/keys", {}),
        ("POST", f"{KEYS}/00000000/rotate", {}),
        ("DELETE", f"{KEYS}/00000000", None),
    ],
)
def test_what_does_not_exist_is_not_found(client: FlaskClient, asha, method, path, body):
    is_problem(client.open(path, method=method, json=body, headers=asha), 404, "not_found")


def test_a_whole_key_in_place_of_its_id_is_not_repeated(client: FlaskClient, asha, lab):
    refused = client.delete(f"{KEYS}/{lab['key']}", headers=asha)
    assert "an id is the eight digits" in is_problem(refused, 404, "not_found")
    assert lab["key"] not in refused.text


def test_a_revoked_key_is_not_rotated(client: FlaskClient, asha, lab):
    client.delete(f"{KEYS}/{lab['id']}", headers=asha)
    is_problem(client.post(f"{KEYS}/{lab['id']}/rotate", headers=asha), 409, "conflict")


def test_the_first_key_opens_everything(client: FlaskClient):
    first = {"key": key_management.first_admin_key(utc_now())}
    assert status(client, first, ACCOUNTS) == 200
    disable_itself = client.patch(
        f"{ACCOUNTS}/admin", json={"disabled": True}, headers={"Authorization": f"Bearer {first['key']}"}
    )
    is_problem(disable_itself, 409, "conflict")
