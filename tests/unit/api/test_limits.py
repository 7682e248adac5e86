"""How many requests are let in from whom."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.api import limits
from backend.app import create_app
from backend.domains.domain import Domain
from backend.errors import SettingsError, Unavailable
from backend.extensions import db
from backend.jobs import counts
from backend.jobs.kinds import JobKind
from backend.security.directory import Directory
from backend.security.permissions import Role
from backend.security.refresh_tokens import RefreshTokens
from backend.settings import Settings
from tests.accounts import headers_of
from tests.unit.conftest import SilentDoorbell, create_tables

FOREIGN = {"Host": "sanguine.example"}  # nobody at this machine: it has to say who it is


@pytest.fixture
def limited(tmp_path: Path, kind: JobKind) -> Iterator[Callable[..., FlaskClient]]:
    """Clients of an application that lets in three requests a minute, or as many as a test says."""
    with ExitStack() as contexts:

        def make(rate: str | None = "3/minute") -> FlaskClient:
            settings = Settings(data_dir=tmp_path, request_rate=rate, log_level="ERROR", _env_file=None)
            app = create_app(settings, (Domain(name="test", tables="backend.jobs.tables", job_kinds=(kind,)),))
            app.extensions["doorbell"] = SilentDoorbell()
            contexts.enter_context(app.app_context())
            create_tables()
            contexts.callback(db.engine.dispose)
            return app.test_client()

        yield make


def statuses(ask: Callable[[], object], times: int) -> list[int]:
    return [ask().status_code for _ in range(times)]


def test_too_many_requests_are_a_429_that_says_when_to_come_back(limited):
    client = limited()
    who = headers_of("a") | FOREIGN
    assert statuses(lambda: client.get("/api/ml/jobs", headers=who), 3) == [200] * 3
    refused = client.get("/api/ml/jobs", headers=who)
    assert refused.status_code == 429
    assert refused.content_type == "application/problem+json"
    assert refused.json["code"] == "too_many"
    assert "3 per 1 minute requests are let in here" in refused.json["detail"]
    assert 1 <= int(refused.headers["Retry-After"]) <= 61


def test_each_account_and_each_route_is_counted_by_itself(limited):
    client = limited()
    one, other = headers_of("a") | FOREIGN, headers_of("b") | FOREIGN
    assert statuses(lambda: client.get("/api/ml/jobs", headers=one), 4)[-1] == 429
    assert client.get("/api/ml/jobs", headers=other).status_code == 200
    assert client.post("/api/ml/double", json={}, headers=one).status_code == 202


def test_two_keys_of_one_account_are_counted_together(limited):
    client = limited()
    one, other = headers_of("a") | FOREIGN, headers_of("a") | FOREIGN
    assert statuses(lambda: client.get("/api/ml/jobs", headers=one), 2) == [200] * 2
    assert statuses(lambda: client.get("/api/ml/jobs", headers=other), 2) == [200, 429]


def test_what_is_refused_stores_nothing(limited):
    client = limited("1/minute")
    who = headers_of("a") | FOREIGN
    assert statuses(lambda: client.post("/api/ml/double", json={}, headers=who), 3) == [202, 429, 429]
    assert len(client.get("/api/ml/jobs", headers=who).json["jobs"]) == 1


def test_whoever_shows_no_valid_key_is_counted_by_address(limited):
    client = limited()
    guesses = iter(range(10))

    def guess(address):
        key = {"Authorization": f"Bearer sgk_{next(guesses):08x}_{'x' * 43}"}
        return client.get("/api/ml/jobs", headers=key, environ_base={"REMOTE_ADDR": address})

    assert statuses(lambda: guess("192.0.2.1"), 4) == [401, 401, 401, 429]
    assert guess("192.0.2.2").status_code == 401


def test_health_is_asked_as_often_as_one_likes(limited):
    client = limited("1/minute")
    for path in (
        "/api/ml/health/live",
        "/api/ml/health",
        "/api/ml/health/ready",
        "/v2/health/live",
        "/v2/health/ready",
    ):
        assert statuses(lambda path=path: client.get(path), 3) == [200] * 3


def test_no_rate_is_the_default_of_development_and_not_of_production(tmp_path: Path):
    assert Settings(_env_file=None).most_requests == ""
    production = {
        "environment": "production",
        "secret_key": "s" * 32,
        "database_url": "postgresql://h/d",
        "broker_url": "redis://h",
    }
    assert Settings(**production, _env_file=None).most_requests == "6000/minute"
    assert Settings(**production, request_rate="", _env_file=None).most_requests == ""


@pytest.mark.parametrize("rate", ["many", "0/minute", "6/year", "6", "6/minute;1/second"])
def test_a_rate_that_is_none_is_refused_at_the_start(rate):
    with pytest.raises(ValueError, match="such as 600/minute"):
        Settings(request_rate=rate, _env_file=None)


def log_in(client: FlaskClient, name: str, address: str = "192.0.2.1"):
    credentials = {"name": name, "password": "wrong"}
    return client.post("/api/ml/auth/login", json=credentials, environ_base={"REMOTE_ADDR": address})


@pytest.fixture
def quick_logins(monkeypatch):
    """No password is computed: what is counted comes before that."""

    def refuse(*_args):
        raise Unavailable("not now")

    monkeypatch.setattr("backend.security.logins.log_in", refuse)


def test_ten_logins_a_minute_are_let_in_for_a_name_from_an_address(limited, quick_logins):
    client = limited(None)
    assert statuses(lambda: log_in(client, "asha"), 11) == [503] * 10 + [429]
    assert log_in(client, "ravi").status_code == 503
    assert log_in(client, "asha", "192.0.2.2").status_code == 503


def test_one_address_may_not_try_one_name_after_the_other(limited, quick_logins):
    client = limited(None)
    names = iter(range(200))
    found = statuses(lambda: log_in(client, f"name {next(names)}"), 101)
    assert found == [503] * 100 + [429]
    assert log_in(client, "asha", "192.0.2.2").status_code == 503


@pytest.mark.parametrize("body", [b"", b"[", b"[" * 100_000, b'{"name": 1}', b'{"name": "\\ud800"}', b"\xff", b"[1]"])
def test_logins_that_name_nobody_are_counted_together(limited, body):
    client = limited(None)

    def send():
        return client.post("/api/ml/auth/login", data=body, content_type="application/json")

    found = statuses(send, 11)
    assert set(found[:10]) <= {400, 422}
    assert found[10] == 429


def test_a_refresh_is_counted_by_its_login(limited):
    client = limited(None)
    refresh_tokens = RefreshTokens(client.application.extensions["settings"])
    shown = []

    def refresh(login):
        shown.append(refresh_tokens.following(shown[-1], login) if shown else refresh_tokens.first(login))
        return client.post("/api/ml/auth/refresh", json={"refresh_token": shown[-1]})

    one = uuid4()
    assert statuses(lambda: refresh(one), 11) == [401] * 10 + [429]
    assert refresh(uuid4()).status_code == 401


def test_what_is_counted_holds_no_name_that_was_typed(limited, quick_logins, monkeypatch):
    client = limited(None)
    keys = []
    incr = counts.SharedCounts.incr
    monkeypatch.setattr(
        counts.SharedCounts, "incr", lambda self, key, *args, **more: keys.append(key) or incr(self, key, *args, **more)
    )
    log_in(client, "my-password-by-mistake")
    assert len(keys) == 2
    assert "mistake" not in "".join(keys)


def test_decisions_on_models_are_thirty_a_minute(limited):
    client = limited(None)
    who = headers_of("a", Role.ADMIN) | FOREIGN

    def reload():
        return client.post("/api/ml/models/none/reload", json={"reason": "again"}, headers=who)

    assert statuses(reload, 31) == [404] * 30 + [429]


def test_every_endpoint_that_has_a_limit_of_its_own_is_there(app: Flask):
    assert set(app.view_functions) >= limits.LOGINS | limits.DECISIONS | limits.HEALTH | {limits.INFER}


def test_every_decision_on_models_is_among_those_that_are_few(app: Flask):
    deciding = {
        name
        for name, view in app.view_functions.items()
        if getattr(view, "permission", None) == "manage_models" and "tag" not in name
    }
    assert deciding - limits.DECISIONS <= {"api.registry.archive_", "api.registry.restore_"}


def test_a_database_that_does_not_answer_is_said_by_the_guard(limited, monkeypatch):
    client = limited()
    who = headers_of("a") | FOREIGN

    def away(*_args):
        raise Unavailable("the database does not answer")

    monkeypatch.setattr(Directory, "key", away)
    assert client.get("/api/ml/jobs", headers=who).status_code == 503


def test_an_installation_without_its_secret_fails_loudly(limited, monkeypatch):
    client = limited()

    def broken(*_args):
        raise SettingsError("the secret cannot be used")

    monkeypatch.setattr("backend.security.authentication.derive", broken)
    who = {"Authorization": f"Bearer sgk_00000000_{'x' * 43}"}
    assert client.get("/api/ml/jobs", headers=who).status_code == 500
