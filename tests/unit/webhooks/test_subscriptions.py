"""Which kinds of jobs somebody awaits the end of."""

import pytest
from flask import Flask
from sqlalchemy import delete

from backend.clock import utc_now
from backend.extensions import transaction
from backend.webhooks import subscriptions
from backend.webhooks.endpoints import change, register, remove
from backend.webhooks.schemas import EndpointNew, EndpointPatch
from backend.webhooks.subscriptions import DELIVERY_KIND, announced_kinds, current_subscriptions
from backend.webhooks.tables import WebhookEndpoint

URL = "http://127.0.0.1:9000/"


def a_webhook(**options):
    return register(EndpointNew(url=URL, **options), account=None, now=utc_now()).id


def test_without_endpoints_nothing_is_wanted(app: Flask):
    assert not current_subscriptions().wants("test.double")


def test_an_endpoint_for_all_kinds_wants_all_but_deliveries(app: Flask):
    a_webhook()
    assert current_subscriptions().wants("test.double")
    assert not current_subscriptions().wants(DELIVERY_KIND)
    assert announced_kinds() == {"test.double"}


def test_only_the_kinds_of_enabled_endpoints_are_wanted(app: Flask):
    endpoint = a_webhook(kinds=["test.double"])
    assert current_subscriptions().wants("test.double")
    assert not current_subscriptions().wants("test.other")
    change(endpoint, EndpointPatch(enabled=False))
    assert not current_subscriptions().wants("test.double")
    change(endpoint, EndpointPatch(enabled=True))
    assert current_subscriptions().wants("test.double")
    remove(endpoint)
    assert not current_subscriptions().wants("test.double")


def test_what_another_process_changed_is_noticed_after_a_while(app: Flask, monkeypatch: pytest.MonkeyPatch):
    a_webhook()
    assert current_subscriptions().wants("test.double")
    with transaction() as session:
        session.execute(delete(WebhookEndpoint))
    assert current_subscriptions().wants("test.double")  # from memory
    later = subscriptions.time.monotonic() + subscriptions.FRESH_SECONDS
    monkeypatch.setattr(subscriptions.time, "monotonic", lambda: later)
    assert not current_subscriptions().wants("test.double")
