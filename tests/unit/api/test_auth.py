"""Logging in, staying in and out over HTTP."""

import logging
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.api import auth
from backend.api.guard import IDENTIFIED, OPEN
from backend.extensions import transaction
from backend.security.permissions import PERMISSIONS, Permission, Role
from backend.security.tables import Login
from tests.accounts import headers_of
from tests.people import PASSWORD, add_person, quick_passwords

AUTH = "/api/ml/auth"
NEW = "another four words"
ELSEWHERE = {"REMOTE_ADDR": "10.0.0.9"}


@pytest.fixture
def client(app: Flask):
    """A client on another machine, in an installation where nobody is there yet."""
    with quick_passwords():
        client = app.test_client()
        client.environ_base |= ELSEWHERE
        yield client


@pytest.fixture
def asha(client: FlaskClient) -> str:
    return add_person("asha", Role.CLINICIAN)


def log_in(client: FlaskClient, name: str = "asha", password: str = PASSWORD):
    return client.post(f"{AUTH}/login", json={"name": name, "password": password})


def bearer(tokens) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens.json['access_token']}"}


def is_problem(response, status: int, code: str) -> str:
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    assert response.json["code"] == code
    return response.json["detail"]


def test_somebody_logs_in_works_and_logs_out(client: FlaskClient, asha: str):
    tokens = log_in(client)
    assert tokens.status_code == 200
    assert tokens.headers["Cache-Control"] == "no-store"
    assert set(tokens.json) == {"token_type", "access_token", "expires_in", "refresh_token"}
    assert (tokens.json["token_type"], tokens.json["expires_in"]) == ("Bearer", 600)
    assert client.get("/api/ml/jobs", headers=bearer(tokens)).status_code == 200
    out = client.post(f"{AUTH}/logout", headers=bearer(tokens))
    assert (out.status_code, out.data, out.headers["Cache-Control"]) == (204, b"", "no-store")
    is_problem(client.get("/api/ml/jobs", headers=bearer(tokens)), 401, "unauthenticated")
    is_problem(
        client.post(f"{AUTH}/refresh", json={"refresh_token": tokens.json["refresh_token"]}), 401, "unauthenticated"
    )


def test_whoever_does_not_get_in_hears_the_same_whatever_the_reason(client: FlaskClient, asha: str):
    headers_of("lab-system")
    answers = [log_in(client, *who) for who in (("asha", "wrong"), ("nobody", PASSWORD), ("lab-system", ""))]
    assert len({answer.data for answer in answers}) == 1
    for answer in answers:
        is_problem(answer, 401, "unauthenticated")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_the_answer_is_the_same_when_the_account_is_locked(client: FlaskClient, asha: str):
    refused = {log_in(client, password="wrong").data for _ in range(5)}  # noqa: S106 - it is wrong
    assert {log_in(client).data} == refused


def test_a_refresh_gives_other_tokens(client: FlaskClient, asha: str):
    tokens = log_in(client)
    following = client.post(f"{AUTH}/refresh", json={"refresh_token": tokens.json["refresh_token"]})
    assert following.status_code == 200
    assert following.headers["Cache-Control"] == "no-store"
    assert not set(following.json.values()) & {tokens.json["access_token"], tokens.json["refresh_token"]}
    assert client.get(f"{AUTH}/me", headers=bearer(following)).json["account"] == "asha"


def test_a_key_or_an_access_token_refreshes_nothing_and_a_refresh_token_opens_nothing(client: FlaskClient, asha: str):
    tokens = log_in(client)
    for text in (tokens.json["access_token"], headers_of("asha")["Authorization"].removeprefix("Bearer "), ""):
        shown = client.post(f"{AUTH}/refresh", json={"refresh_token": text[:200]})
        is_problem(shown, 401, "unauthenticated")
    shown = {"Authorization": f"Bearer {tokens.json['refresh_token']}"}
    is_problem(client.get(f"{AUTH}/me", headers=shown), 401, "unauthenticated")


@pytest.mark.parametrize("role", list(Role))
def test_everybody_may_ask_who_they_are(client: FlaskClient, role: Role):
    add_person("asha", role)
    tokens = log_in(client)
    me = client.get(f"{AUTH}/me", headers=bearer(tokens))
    assert me.status_code == 200
    assert me.json == {
        "account": "asha",
        "role": str(role),
        "permissions": sorted(PERMISSIONS[role]),
        "through": f"login {UUID(hex=tokens.json['refresh_token'].split('_')[1])}",
    }


def test_a_key_without_any_permission_may_ask_who_it_is(client: FlaskClient):
    me = client.get(f"{AUTH}/me", headers=headers_of("lab", permissions=()))
    assert (me.json["account"], me.json["permissions"]) == ("lab", [])
    assert me.json["through"].startswith("key ")


@pytest.mark.parametrize(("method", "path"), [("post", "/logout"), ("get", "/me"), ("post", "/password")])
def test_nobody_is_nobody(client: FlaskClient, method: str, path: str):
    is_problem(getattr(client, method)(AUTH + path), 401, "unauthenticated")


def test_at_a_development_machine_one_is_development_and_has_no_login_and_no_password(app: Flask):
    client = app.test_client()
    assert client.get(f"{AUTH}/me").json["account"] == "development"
    assert "no login" in is_problem(client.post(f"{AUTH}/logout"), 409, "conflict")
    change = {"old": PASSWORD, "new": NEW}
    with quick_passwords():
        is_problem(client.post(f"{AUTH}/password", json=change), 422, "validation_failed")


def test_a_key_has_no_login_that_could_end(client: FlaskClient):
    is_problem(client.post(f"{AUTH}/logout", headers=headers_of("lab")), 409, "conflict")


def test_a_logout_ends_one_login(client: FlaskClient, asha: str):
    one, other = log_in(client), log_in(client)
    client.post(f"{AUTH}/logout", headers=bearer(one))
    assert client.get(f"{AUTH}/me", headers=bearer(other)).status_code == 200


def test_one_changes_ones_own_password_with_the_old_one(client: FlaskClient, asha: str):
    tokens = log_in(client)
    wrong = client.post(f"{AUTH}/password", json={"old": "wrong", "new": NEW}, headers=bearer(tokens))
    is_problem(wrong, 422, "validation_failed")
    assert [one["field"] for one in wrong.json["errors"]] == ["old"]
    weak = client.post(f"{AUTH}/password", json={"old": PASSWORD, "new": "password1234"}, headers=bearer(tokens))
    assert [one["field"] for one in weak.json["errors"]] == ["new"]
    changed = client.post(f"{AUTH}/password", json={"old": PASSWORD, "new": NEW}, headers=bearer(tokens))
    assert (changed.status_code, changed.headers["Cache-Control"]) == (204, "no-store")
    is_problem(client.get(f"{AUTH}/me", headers=bearer(tokens)), 401, "unauthenticated")
    is_problem(log_in(client), 401, "unauthenticated")
    assert log_in(client, password=NEW).status_code == 200


def test_who_manages_accounts_gives_them_passwords(client: FlaskClient, asha: str):
    tokens = log_in(client)
    admin = headers_of("bala", Role.ADMIN)
    given = client.put("/api/ml/accounts/asha/password", json={"password": NEW}, headers=admin)
    assert (given.status_code, given.headers["Cache-Control"]) == (204, "no-store")
    is_problem(client.get(f"{AUTH}/me", headers=bearer(tokens)), 401, "unauthenticated")
    assert log_in(client, password=NEW).status_code == 200
    with transaction(read_only=True) as session:
        login = session.get_one(Login, UUID(hex=tokens.json["refresh_token"].split("_")[1]))
    assert login.ended_because == "the password was changed by bala"
    for name in ("nobody", "%00", "development"):
        missing = client.put(f"/api/ml/accounts/{name}/password", json={"password": NEW}, headers=admin)
        is_problem(missing, 404, "not_found")
    weak = client.put("/api/ml/accounts/asha/password", json={"password": "asha"}, headers=admin)
    is_problem(weak, 422, "validation_failed")


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.ADMIN}))
def test_nobody_else_gives_a_password_not_even_to_themselves(client: FlaskClient, role: Role):
    shown = headers_of("lab", role)
    given = client.put("/api/ml/accounts/lab/password", json={"password": NEW}, headers=shown)
    assert Permission.MANAGE_ACCOUNTS in is_problem(given, 403, "forbidden")


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        ("/login", {}, {"name", "password"}),
        ("/login", {"name": "asha", "password": "x" * 201}, {"password"}),
        ("/login", {"name": "n" * 65, "password": "x"}, {"name"}),
        ("/login", {"name": "asha", "password": ["x"], "role": "admin"}, {"password", "role"}),
        ("/refresh", {}, {"refresh_token"}),
        ("/refresh", {"refresh_token": "x" * 201}, {"refresh_token"}),
    ],
)
def test_a_body_that_is_none_is_refused_by_its_fields(client: FlaskClient, path: str, body, fields):
    refused = client.post(AUTH + path, json=body)
    is_problem(refused, 422, "validation_failed")
    assert {one["field"] for one in refused.json["errors"]} == fields


def test_the_routes_say_what_they_ask_for():
    asked = {view.__name__: view.permission for view in (auth.log_in, auth.refresh, auth.log_out, auth.me)}
    assert asked == {"log_in": OPEN, "refresh": OPEN, "log_out": IDENTIFIED, "me": IDENTIFIED}
    assert auth.change_password.permission == IDENTIFIED
    assert auth.set_password.permission is Permission.MANAGE_ACCOUNTS


def test_no_password_and_no_token_gets_into_logs_or_refusals(
    client: FlaskClient, asha: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Not even before redaction: pytest's handler gets what our code says, as it says it."""
    canary = "canary-0b7f2d91-of-a-secret"
    caplog.set_level(logging.DEBUG)
    tokens = log_in(client)
    access, token = tokens.json["access_token"], tokens.json["refresh_token"]
    admin = headers_of("bala", Role.ADMIN)
    answers = [
        *(log_in(client, password=text) for text in (canary, canary * 9)),
        log_in(client, name=canary),
        client.post(f"{AUTH}/login", json={"name": canary}),
        client.post(f"{AUTH}/login", json={"name": "asha", "password": [canary]}),
        client.post(f"{AUTH}/login", data=f'{{"password": {canary}', content_type="application/json"),
        client.post(f"{AUTH}/refresh", json={"refresh_token": canary}),
        client.post(f"{AUTH}/refresh", json={"refresh_token": [canary]}),
        client.get(f"{AUTH}/me", headers={"Authorization": f"Bearer {canary}"}),
        client.get(f"{AUTH}/me", headers={"Authorization": f"Bearer {access[:-20]}{canary}"}),
        client.get(f"{AUTH}/me", headers={"Authorization": canary}),
        client.post(f"{AUTH}/password", json={"old": canary, "new": NEW + canary}, headers=bearer(tokens)),
        client.put("/api/ml/accounts/nobody/password", json={"password": canary}, headers=admin),
    ]
    assert all(400 <= answer.status_code < 500 for answer in answers), [answer.text for answer in answers]
    monkeypatch.setattr("backend.security.passwords.digest", lambda text: 1 / len(text[:0]))
    broken = client.put("/api/ml/accounts/asha/password", json={"password": canary}, headers=admin)
    is_problem(broken, 500, "internal_error")
    for headers in (bearer(tokens), {}):
        client.post(f"{AUTH}/logout", headers=headers)
    said = "\n".join(str(vars(record)) for record in caplog.records)
    assert "login_failed" in said
    assert "request_failed" in said
    for secret in (canary, PASSWORD, access, token, token.rpartition("_")[2], access.rpartition(".")[2]):
        assert secret not in said
        assert not any(secret in answer.text for answer in (*answers, broken))
