"""Webhooks over HTTP."""

from ipaddress import IPv4Network
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from standardwebhooks import Webhook

from backend.jobs.execute import Worker, execute
from backend.jobs.kinds import JobKind
from backend.jobs.submit import submit
from backend.webhooks.deliver import DELIVER_WEBHOOK
from backend.webhooks.dispatch import dispatch
from tests.unit.conftest import Number
from tests.unit.webhooks.receiver import Names, receiving

URL = "/api/ml/webhooks"
ADDRESS = "https://hooks.example.org/sanguine?token=1"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names()
    names.known = {"hooks.example.org": ["93.184.216.34"], "db.hospital.internal": ["10.0.0.5"]}
    monkeypatch.setattr("socket.getaddrinfo", names.getaddrinfo)
    return names


@pytest.fixture
def client(app: Flask, names: Names) -> FlaskClient:
    settings = app.extensions["settings"]
    networks = {"webhook_networks": (IPv4Network("127.0.0.0/8"),)}
    app.extensions["settings"] = settings.model_copy(update=networks)
    return app.test_client()


def registered(client: FlaskClient, **options):
    return client.post(URL, json={"url": ADDRESS} | options).json


def test_a_webhook_is_registered_with_a_secret_that_is_shown_once(client: FlaskClient):
    made = client.post(URL, json={"url": ADDRESS, "kinds": ["test.double"], "states": ["dead"], "description": "LIMS"})
    assert made.status_code == 201
    secret = made.json.pop("secret")
    assert secret.startswith("whsec_")
    Webhook(secret)
    one = client.get(made.headers["Location"])
    assert one.status_code == 200
    assert one.json == {name: value for name, value in made.json.items() if name != "secret"}
    assert client.get(URL).json == {"webhooks": [one.json]}
    assert (one.json["kinds"], one.json["states"], one.json["description"]) == (["test.double"], ["dead"], "LIMS")
    assert (one.json["enabled"], one.json["disabled_reason"], one.json["rotated_at"]) == (True, None, None)


def test_without_more_it_hears_of_everything(client: FlaskClient):
    made = registered(client)
    assert (made["kinds"], made["states"]) == (None, None)


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({"url": "http://169.254.169.254/"}, "url", "private or reserved"),
        ({"url": "https://db.hospital.internal/"}, "url", "private or reserved"),
        ({"url": "https://nowhere.example.org/"}, "url", "does not resolve"),
        ({"url": "http://hooks.example.org/"}, "url", "https on port 443"),
        ({"url": "https://hooks.example.org@169.254.169.254/"}, "url", "user name"),
        ({"url": "https://2852039166/"}, "url", "neither a name nor an address"),
        ({"url": "https://hooks.example.org/" + 2000 * "a"}, "url", "2000"),
        ({"url": None}, "url", "string"),
        ({"kinds": ["test.single"]}, "kinds", "there is no such kind; there are test.double"),
        ({"kinds": []}, "kinds", "at least 1"),
        ({"states": ["running"]}, "states.0", "succeeded"),
        ({"states": []}, "states", "at least 1"),
        ({"description": 201 * "a"}, "description", "200"),
        ({"secret": "whsec_mine"}, "secret", "not permitted"),
    ],
)
@pytest.mark.parametrize("method", ["post", "patch"])
def test_bad_input_says_where_and_changes_nothing(client: FlaskClient, method, body, field, reason):
    made = registered(client)
    before = client.get(URL).json
    path, good = (URL, {"url": ADDRESS}) if method == "post" else (f"{URL}/{made['id']}", {"enabled": False})
    response = client.open(path, method=method.upper(), json=good | body)
    assert (response.status_code, response.content_type) == (422, "application/problem+json")
    (error,) = response.json["errors"]
    assert error["field"] == field
    assert reason in error["reason"]
    assert client.get(URL).json == before


def test_a_webhook_can_be_changed_disabled_and_enabled(client: FlaskClient):
    path = f"{URL}/{registered(client, kinds=['test.double'])['id']}"
    changed = client.patch(path, json={"url": "http://127.0.0.1:8080/", "kinds": None, "states": ["failed", "dead"]})
    assert changed.status_code == 200
    assert (changed.json["url"], changed.json["kinds"]) == ("http://127.0.0.1:8080/", None)
    assert "secret" not in changed.json
    assert client.patch(path, json={"enabled": False}).json["enabled"] is False
    assert client.patch(path, json={"enabled": True}).json == changed.json
    nothing = client.patch(path, json={})
    assert (nothing.status_code, nothing.json["errors"][0]["reason"][:17]) == (422, "name at least one")


def test_a_removed_webhook_is_gone(client: FlaskClient):
    path = f"{URL}/{registered(client)['id']}"
    removed = client.delete(path)
    assert (removed.status_code, removed.data) == (204, b"")
    assert client.get(path).status_code == 404
    assert client.get(URL).json == {"webhooks": []}


def test_a_rotation_shows_the_new_secret(client: FlaskClient):
    made = registered(client)
    path = f"{URL}/{made['id']}"
    rotated = client.post(f"{path}/rotate")
    assert rotated.status_code == 200
    assert rotated.json["secret"] not in (None, made["secret"])
    assert client.get(path).json["rotated_at"] is not None


def test_the_public_key_is_published(client: FlaskClient):
    key = client.get(f"{URL}/key")
    assert (key.status_code, key.json["public_key"][:5], len(key.json["public_key"])) == (200, "whpk_", 49)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/rotate"),
        ("POST", "/test"),
        ("GET", "/deliveries"),
        ("POST", "/deliveries/00000000-0000-4000-8000-000000000000/redeliver"),
    ],
)
def test_an_unknown_webhook_is_a_404(client: FlaskClient, method, path):
    json = {"enabled": True} if method == "PATCH" else None
    response = client.open(f"{URL}/{uuid4()}{path}", method=method, json=json)
    assert (response.status_code, response.json["code"]) == (404, "not_found")


def test_a_test_is_sent_unless_the_webhook_is_disabled(client: FlaskClient, worker: Worker):
    with receiving() as receiver:
        path = f"{URL}/{registered(client, url=receiver.url())['id']}"
        sent = client.post(f"{path}/test")
        assert (sent.status_code, sent.json["state"], sent.json["type"]) == (202, "pending", "webhook.test")
        execute(DELIVER_WEBHOOK, UUID(sent.json["delivery_job_id"]), worker)
    (delivered,) = client.get(f"{path}/deliveries").json["deliveries"]
    assert (delivered["id"], delivered["state"], delivered["next_try_at"]) == (sent.json["id"], "delivered", None)
    assert [(one["status"], one["error"]) for one in delivered["attempts"]] == [(200, None)]
    client.patch(path, json={"enabled": False})
    for refused in (client.post(f"{path}/test"), client.post(f"{path}/deliveries/{sent.json['id']}/redeliver")):
        assert (refused.status_code, refused.json["code"]) == (409, "conflict")


def test_a_message_is_sent_again_and_only_to_its_own_webhook(client: FlaskClient, kind: JobKind):
    own, other = (f"{URL}/{registered(client)['id']}" for _ in range(2))
    message = client.post(f"{own}/test").json
    again = client.post(f"{own}/deliveries/{message['id']}/redeliver")
    assert (again.status_code, again.json["id"]) == (202, message["id"])
    assert again.json["delivery_job_id"] != message["delivery_job_id"]
    assert client.post(f"{other}/deliveries/{message['id']}/redeliver").status_code == 404
    assert client.get(f"{other}/deliveries").json == {"deliveries": [], "next_before": None}


def test_the_log_is_read_in_pages(client: FlaskClient, kind: JobKind):
    path = f"{URL}/{registered(client)['id']}/deliveries"
    jobs = []
    for _ in range(5):
        jobs.append(submit(kind, Number()).id)
        client.post(f"/api/ml/jobs/{jobs[-1]}/cancel")
    dispatch()
    first = client.get(path, query_string={"limit": 3}).json
    second = client.get(path, query_string={"limit": 3, "before": first["next_before"]}).json
    assert second["next_before"] is None
    listed = first["deliveries"] + second["deliveries"]
    assert [one["job_id"] for one in listed] == [str(job) for job in reversed(jobs)]
    assert {(one["type"], one["state"]) for one in listed} == {("job.cancelled", "pending")}
    assert client.get(path, query_string={"limit": 0}).status_code == 422
