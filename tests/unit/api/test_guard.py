"""Every route asks who calls, and shows nobody what is somebody else's."""

from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from backend.api.guard import OPEN, OWNED
from backend.clock import utc_now
from backend.extensions import transaction
from backend.jobs.tables import Job
from backend.security.permissions import PERMISSIONS, Permission, Role
from tests.accounts import headers_of
from tests.unit.domains.blood.conftest import application

DONOR = {"blood_group": "O-", "latitude": 10.0, "longitude": 76.3, "born_on": "1990-05-17"}
PREDICTION = {"kind": "blood.predict_availability", "request": {"donor": DONOR}}
HOOK = "http://127.0.0.1:9/"
ELSEWHERE = {"REMOTE_ADDR": "10.0.0.9"}
PAGES = {
    "static",
    "flasgger.static",
    "flasgger.apidocs",
    "flasgger.openapi",
    "flasgger.oauth_redirect",
    "flasgger.<lambda>",
}
"""What shows how to use the API, and nothing that is in it."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The whole application; its tests leave rows for each other."""
    with application(Path(tmp_path_factory.mktemp("guarded"))) as app:
        loopback = {"webhook_networks": (IPv4Network("127.0.0.0/8"),)}
        app.extensions["settings"] = app.extensions["settings"].model_copy(update=loopback)
        yield app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def routes(app: Flask) -> list[tuple[str, Rule]]:
    """Each method of each route that is not a page of the description."""
    return [
        (method, rule)
        for rule in app.url_map.iter_rules()
        if rule.endpoint not in PAGES
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def permission(app: Flask, rule: Rule) -> object:
    return getattr(app.view_functions[rule.endpoint], "permission", None)


def path(app: Flask, rule: Rule, **named: object) -> str:
    """The path of a route; what it names and is not given is something that is not there."""
    values = {name: uuid4() if name.endswith("_id") else "none" for name in rule.arguments}
    values |= dict.fromkeys(rule.arguments & {"record_id", "request_id"}, 999_999)
    with app.test_request_context():
        return str(app.url_map.bind("localhost").build(rule.endpoint, values | named))


def test_every_route_says_whom_it_lets_in(app: Flask):
    silent = {str(rule) for _, rule in routes(app) if permission(app, rule) is None}
    assert silent == set()


def test_few_routes_are_open(app: Flask):
    found = {f"{method} {rule}" for method, rule in routes(app) if permission(app, rule) == OPEN}
    assert found >= {"GET /api/ml/health/live", "GET /api/ml/health/ready", "GET /v2/health/live"}
    assert all(
        "health" in one or one.startswith(("GET /v2", "GET /api/ml/webhooks/key", "POST /api/ml/auth/"))
        for one in found
    )


def test_whoever_is_unknown_is_asked_for_a_key_whatever_is_there(app: Flask, client: FlaskClient):
    for method, rule in routes(app):
        if permission(app, rule) == OPEN:
            continue
        answer = client.open(path(app, rule), method=method, environ_base=ELSEWHERE)
        assert answer.status_code == 401, rule
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_key_that_allows_nothing_opens_no_route(app: Flask, client: FlaskClient):
    headers = headers_of("nothing", permissions=[])
    for method, rule in routes(app):
        if isinstance(permission(app, rule), Permission):
            answer = client.open(path(app, rule), method=method, headers=headers)
            assert (answer.status_code, permission(app, rule).value in answer.text) == (403, True), rule


@pytest.mark.parametrize("role", Role)
def test_a_role_opens_what_its_permissions_say(app: Flask, client: FlaskClient, role: Role):
    headers = headers_of(f"a-{role}", role)
    for method, rule in routes(app):
        if method == "GET" and isinstance(permission(app, rule), Permission):
            answer = client.open(path(app, rule), method=method, headers=headers)
            assert (answer.status_code != 403) == (permission(app, rule) in PERMISSIONS[role]), rule


def test_another_ones_job_bulk_and_webhook_are_answered_as_if_they_were_not_there(app: Flask, client: FlaskClient):
    everything = [one for one in Permission if one is not Permission.SEE_ALL_JOBS]
    owner, other = (headers_of(name, Role.ADMIN, permissions=everything) for name in ("owner", "other"))
    bulk = client.post("/api/ml/jobs/bulk", json={"jobs": [PREDICTION]}, headers=owner).json["id"]
    job = client.get(f"/api/ml/jobs/bulk/{bulk}/jobs", headers=owner).json["jobs"][0]["id"]
    hook = client.post("/api/ml/webhooks", json={"url": HOOK}, headers=owner).json["id"]
    theirs = {"job_id": job, "bulk_id": bulk, "endpoint_id": hook}
    assert theirs.keys() == OWNED.keys()
    tried = 0
    for method, rule in routes(app):
        if not rule.arguments & theirs.keys():
            continue
        tried += 1
        named = {name: theirs[name] for name in rule.arguments & theirs.keys()}
        nobodys = {name: str(uuid4()) for name in named}
        body = {"json": {"reason": "curiosity", "url": HOOK}} if method != "GET" else {}
        seen, absent = (
            client.open(path(app, rule, **which), method=method, headers=other, **body) for which in (named, nobodys)
        )
        texts = seen.text, absent.text
        for name, value in named.items():
            texts = texts[0].replace(value, "it"), texts[1].replace(nobodys[name], "it")
        assert (seen.status_code, texts[0]) == (404, texts[1]), rule
    assert tried > 15
    assert client.get(f"/api/ml/jobs/{job}", headers=owner).json["state"] == "queued", "nobody cancelled it"
    assert client.get(f"/api/ml/webhooks/{hook}", headers=owner).status_code == 200


def test_lists_show_what_is_ones_own_and_everything_to_whoever_may_see_all(client: FlaskClient):
    mine, yours, all_ = headers_of("mine"), headers_of("yours"), headers_of("boss", Role.ADMIN)
    job = client.post("/api/ml/predict_availability", json=PREDICTION["request"], headers=mine).json["id"]
    hook = client.post("/api/ml/webhooks", json={"url": HOOK}, headers=mine).json["id"]

    def seen(headers: dict[str, str]) -> tuple[bool, bool]:
        jobs = {one["id"] for one in client.get("/api/ml/jobs?limit=500", headers=headers).json["jobs"]}
        hooks = {one["id"] for one in client.get("/api/ml/webhooks", headers=headers).json["webhooks"]}
        return job in jobs, hook in hooks

    assert [seen(mine), seen(yours), seen(all_)] == [(True, True), (False, False), (True, True)]


def test_a_part_belongs_to_whoever_submitted_the_whole(client: FlaskClient):
    mine, yours = headers_of("whole"), headers_of("stranger")
    whole = client.post("/api/ml/predict_availability", json=PREDICTION["request"], headers=mine).json["id"]
    part = uuid4()
    with transaction() as session:
        values = {"kind": "blood.predict_availability", "queue": "interactive", "request": {}, "max_attempts": 1}
        now = utc_now()
        session.add(Job(id=part, parent_id=UUID(whole), part=0, created_at=now, available_at=now, **values))
    assert client.get(f"/api/ml/jobs/{part}", headers=mine).status_code == 200
    assert client.get(f"/api/ml/jobs/{part}", headers=yours).status_code == 404
    parts = f"/api/ml/jobs?parent_id={whole}"
    assert [one["id"] for one in client.get(parts, headers=mine).json["jobs"]] == [str(part)]
    assert client.get(parts, headers=yours).status_code == 404


def test_dead_letters_of_everybody_are_for_those_who_may_see_all_jobs(client: FlaskClient):
    headers = headers_of("operator", Role.ADMIN, permissions=[Permission.OPERATE])
    everything = {"json": {"kind": "blood.match", "reason": "a test"}}
    answers = [
        client.get("/api/ml/dead-letters", headers=headers),
        client.post("/api/ml/dead-letters/replay", headers=headers, json={"kind": "blood.match"}),
        client.post("/api/ml/dead-letters/discard", headers=headers, **everything),
    ]
    assert [(one.status_code, "see_all_jobs" in one.text) for one in answers] == [(403, True)] * 3


def test_a_bulk_asks_for_what_each_of_its_kinds_asks(client: FlaskClient):
    headers = headers_of("clinician", Role.CLINICIAN)
    bulk = {"jobs": [PREDICTION, {"kind": "platform.cleanup", "request": {}}]}
    answer = client.post("/api/ml/jobs/bulk", json=bulk, headers=headers)
    assert (answer.status_code, "operate" in answer.text) == (403, True)


def test_decisions_are_made_in_the_name_of_the_account(client: FlaskClient):
    headers = headers_of("asha", Role.ADMIN)
    url = "/api/ml/models/donor_availability/reload"
    answer = client.post(url, json={"by": "bala", "reason": "a test"}, headers=headers)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "by")
