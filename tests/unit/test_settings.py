from ipaddress import IPv4Network, IPv6Network

import pytest
from pydantic import ValidationError

from backend.errors import SettingsError
from backend.settings import Environment, Settings, load_settings

PRODUCTION = {
    "environment": Environment.PRODUCTION,
    "secret_key": "k" * 40,
    "database_url": "postgresql://sanguine@db/sanguine",
    "broker_url": "redis://valkey:6379/0",
}


def settings(**values):
    return Settings(_env_file=None, **values)


def test_development_needs_no_settings(tmp_path):
    found = settings(data_dir=tmp_path)
    assert found.sqlalchemy_url == f"sqlite:///{tmp_path}/sanguine.sqlite"
    assert found.celery_broker_url == f"redis+socket://{tmp_path}/valkey.sock?virtual_host=0"


def test_production_starts_with_everything_set():
    assert settings(**PRODUCTION).sqlalchemy_url == PRODUCTION["database_url"]


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("secret_key", "", "SANGUINE_SECRET_KEY"),
        ("secret_key", "short", "SANGUINE_SECRET_KEY"),
        ("database_url", "", "SANGUINE_DATABASE_URL"),
        ("database_url", "sqlite:///x", "SANGUINE_DATABASE_URL"),
        ("broker_url", "", "SANGUINE_BROKER_URL"),
    ],
)
def test_production_refuses_defaults(name, value, named):
    with pytest.raises(ValidationError, match=named):
        settings(**(PRODUCTION | {name: value}))


@pytest.mark.parametrize("zone", ["Asia/Atlantis", "America", "", "../etc/passwd"])
def test_an_unknown_time_zone_is_refused(zone):
    with pytest.raises(ValidationError, match="time zone"):
        settings(timezone=zone)


def test_a_wrong_variable_is_named_without_its_value(monkeypatch):
    monkeypatch.setenv("SANGUINE_LEASE_SECONDS", "a-secret-pasted-here")
    load_settings.cache_clear()
    try:
        with pytest.raises(SettingsError, match="SANGUINE_LEASE_SECONDS") as refused:
            load_settings()
        assert "a-secret" not in str(refused.value)
    finally:
        load_settings.cache_clear()


@pytest.mark.parametrize("written", ["10.20.0.0/16,fd00:20::/64", " 10.20.0.0/16 , fd00:20::/64, "])
def test_networks_of_webhooks_are_written_with_commas(monkeypatch, written):
    monkeypatch.setenv("SANGUINE_WEBHOOK_NETWORKS", written)
    assert settings().webhook_networks == (IPv4Network("10.20.0.0/16"), IPv6Network("fd00:20::/64"))


@pytest.mark.parametrize("written", ["10.20.0.1/16", "hospital.internal", "10.20.0.0/33"])
def test_what_is_no_network_is_refused(written):
    with pytest.raises(ValidationError, match="networks such as"):
        settings(webhook_networks=written)
