"""Delivering a message: an engine's job against a real server."""

import json
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from flask import Flask, url_for
from sqlalchemy import delete, select, update
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from backend.clock import utc_now
from backend.extensions import transaction
from backend.jobs.execute import Worker, execute
from backend.jobs.kinds import JobKind
from backend.jobs.states import JobState
from backend.jobs.submit import submit
from backend.jobs.tables import Job
from backend.jobs.terms import Terms
from backend.jobs.views import get_job
from backend.webhooks.deliver import DELIVER_WEBHOOK, DeliveryRequest
from backend.webhooks.deliveries import list_deliveries, redeliver, send_test
from backend.webhooks.dispatch import dispatch
from backend.webhooks.endpoints import change, get_endpoint, register, remove, rotate
from backend.webhooks.schemas import DeliveryState, EndpointNew, EndpointPatch
from backend.webhooks.tables import WebhookDelivery, WebhookEndpoint
from tests.unit.conftest import Number
from tests.unit.webhooks.receiver import Names, Receiver, receiving
from tests.unit.webhooks.test_signing import verify_own

pytestmark = pytest.mark.usefixtures("app")


def an_end(kind: JobKind, worker: Worker, *, terms: Terms | None = None):
    """A job that ran, announced."""
    job = submit(kind, Number(value=1), terms=terms or Terms())
    execute(kind, job.id, worker)
    assert dispatch() == 1
    return get_job(job.id)


def the_delivery() -> WebhookDelivery:
    with transaction(read_only=True) as session:
        return session.scalars(select(WebhookDelivery)).one()


def attempt(worker: Worker):
    """Let the pause be over and the job that delivers run once."""
    job_id = the_delivery().delivery_job_id
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(available_at=utc_now()))
    assert execute(DELIVER_WEBHOOK, job_id, worker) == 1
    return get_job(job_id)


def logged(endpoint_id):
    (found,) = list_deliveries(endpoint_id, before=None, limit=10).deliveries
    return found


def test_a_receiver_learns_which_job_ended_and_how_and_nothing_else(
    kind: JobKind, worker: Worker, receiver: Receiver, app: Flask
):
    endpoint = register(EndpointNew(url=receiver.url()), account=None, now=utc_now())
    job = an_end(kind, worker)
    delivering = attempt(worker)
    (received,) = receiver.received
    body = Webhook(endpoint.secret).verify(received.body, received.headers)
    with app.test_request_context():
        path = url_for("api.jobs.get", job_id=job.id)
    assert body == {
        "type": "job.succeeded",
        "timestamp": job.finished_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "data": {"job_id": str(job.id), "kind": "test.double", "state": "succeeded", "url": path},
    }
    verify_own(app.test_client().get("/api/ml/webhooks/key").json["public_key"], received.headers, received.body)
    assert received.headers["webhook-id"] == str(the_delivery().id)
    assert (delivering.state, delivering.result) == ("succeeded", {"outcome": "delivered", "status": 200})
    found = logged(endpoint.id)
    assert (found.state, found.job_id, found.next_try_at) == (DeliveryState.DELIVERED, job.id, None)
    assert [(one.status, one.error) for one in found.attempts] == [(200, None)]


def test_a_failure_is_tried_again_under_the_same_id_after_the_pauses_of_the_standard(kind: JobKind, worker: Worker):
    with receiving(500, 302, 204) as receiver:
        endpoint = register(EndpointNew(url=receiver.url()), account=None, now=utc_now())
        an_end(kind, worker)
        first = attempt(worker)
        found = logged(endpoint.id)
        assert (first.state, first.error.message) == ("queued", "127.0.0.1 answered 500")
        assert found.state is DeliveryState.PENDING
        assert timedelta(seconds=2) < found.next_try_at - found.attempts[0].at < timedelta(seconds=6)
        second = attempt(worker)
        found = logged(endpoint.id)
        assert second.error.message == (
            "127.0.0.1 answered 302; redirects are not followed, so register the address it leads to"
        )
        assert timedelta(seconds=149) < found.next_try_at - found.attempts[1].at < timedelta(seconds=301)
        assert attempt(worker).state == "succeeded"
    assert [(one.status, one.error is None) for one in logged(endpoint.id).attempts] == [
        (500, False),
        (302, False),
        (204, True),
    ]
    assert len({one.headers["webhook-id"] for one in receiver.received}) == 1
    assert len({one.body for one in receiver.received}) == 1
    for one in receiver.received:
        Webhook(endpoint.secret).verify(one.body, one.headers)


def test_after_the_last_attempt_it_is_a_dead_letter(kind: JobKind, worker: Worker):
    with receiving(503) as receiver:
        endpoint = register(EndpointNew(url=receiver.url()), account=None, now=utc_now())
        an_end(kind, worker)
        states = [attempt(worker).state for _ in range(DELIVER_WEBHOOK.max_attempts)]
    assert states == 9 * ["queued"] + ["dead"]
    found = logged(endpoint.id)
    assert (found.state, found.next_try_at, len(found.attempts)) == (DeliveryState.FAILED, None, 10)


def test_messages_of_errors_and_the_log_never_hold_the_path(kind: JobKind, worker: Worker):
    with receiving(500) as receiver:
        endpoint = register(EndpointNew(url=receiver.url("/hook/c2VjcmV0?token=secret")), account=None, now=utc_now())
        an_end(kind, worker)
        said = [attempt(worker).error.message]
    said.append(attempt(worker).error.message)  # nobody listens any more
    said.append(logged(endpoint.id).model_dump_json())
    for text in said:
        assert "secret" not in text
        assert "c2VjcmV0" not in text


def test_410_gone_disables_the_endpoint_and_is_not_tried_again(kind: JobKind, worker: Worker):
    with receiving(410) as receiver:
        endpoint = register(EndpointNew(url=receiver.url()), account=None, now=utc_now())
        an_end(kind, worker)
        job = attempt(worker)
    assert (job.state, job.result["outcome"]) == ("succeeded", "gone")
    assert logged(endpoint.id).state is DeliveryState.FAILED
    found = get_endpoint(endpoint.id)
    assert not found.enabled
    assert "410 Gone" in found.disabled_reason
    execute(kind, submit(kind, Number()).id, worker)
    assert dispatch() == 0
    again = change(endpoint.id, EndpointPatch(enabled=True))
    assert (again.enabled, again.disabled_reason) == (True, None)


def test_what_is_on_its_way_to_a_disabled_or_removed_endpoint_is_not_sent(
    kind: JobKind, worker: Worker, receiver: Receiver
):
    endpoint = register(EndpointNew(url=receiver.url()), account=None, now=utc_now()).id
    an_end(kind, worker)
    change(endpoint, EndpointPatch(enabled=False))
    assert attempt(worker).result["outcome"] == "dropped"
    assert "disabled" in logged(endpoint).attempts[0].error
    change(endpoint, EndpointPatch(enabled=True))
    again = redeliver(endpoint, the_delivery().id)
    remove(endpoint)
    execute(DELIVER_WEBHOOK, again.delivery_job_id, worker)
    assert get_job(again.delivery_job_id).result["outcome"] == "dropped"
    assert receiver.received == []


def test_a_name_that_leads_elsewhere_since_it_was_registered_is_not_called(
    kind: JobKind, worker: Worker, names: Names, receiver: Receiver
):
    names.known["hooks.example.org"] = ["93.184.216.34"]
    endpoint = register(EndpointNew(url="https://hooks.example.org/"), account=None, now=utc_now()).id
    an_end(kind, worker)
    names.known["hooks.example.org"] = ["10.0.0.5"]
    job = attempt(worker)
    assert job.state == "queued"
    assert "private or reserved" in job.error.message
    names.known["hooks.example.org"] = ["93.184.216.34", "169.254.169.254"]
    assert "private or reserved" in attempt(worker).error.message
    del names.known["hooks.example.org"]
    assert "does not resolve" in attempt(worker).error.message
    change(endpoint, EndpointPatch(url=receiver.url()))
    assert attempt(worker).state == "succeeded"


def test_the_old_secret_verifies_for_a_day(kind: JobKind, worker: Worker, receiver: Receiver):
    old = register(EndpointNew(url=receiver.url()), account=None, now=utc_now())
    new = rotate(old.id, now=utc_now())
    an_end(kind, worker)
    attempt(worker)
    redeliver(old.id, the_delivery().id)
    with transaction() as session:
        session.execute(update(WebhookEndpoint).values(rotated_at=utc_now() - timedelta(hours=24)))
    attempt(worker)
    first, second = receiver.received
    for secret in (old.secret, new.secret):
        Webhook(secret).verify(first.body, first.headers)
    Webhook(new.secret).verify(second.body, second.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old.secret).verify(second.body, second.headers)


def test_a_callback_is_told_with_the_installations_signature(
    kind: JobKind, worker: Worker, receiver: Receiver, app: Flask
):
    job = an_end(kind, worker, terms=Terms(callback=receiver.url("/callback?ticket=7")))
    attempt(worker)
    (received,) = receiver.received
    assert received.path == "/callback?ticket=7"
    assert json.loads(received.body)["data"]["job_id"] == str(job.id)
    verify_own(app.test_client().get("/api/ml/webhooks/key").json["public_key"], received.headers, received.body)
    assert "v1," not in received.headers["webhook-signature"]


def test_a_redelivery_has_the_same_id_and_takes_the_place_of_what_waits(kind: JobKind, worker: Worker):
    with receiving(500, 200) as receiver:
        endpoint = register(EndpointNew(url=receiver.url()), account=None, now=utc_now()).id
        an_end(kind, worker)
        waiting = attempt(worker)
        again = redeliver(endpoint, the_delivery().id)
        assert again.state is DeliveryState.PENDING
        assert get_job(waiting.id).state == "cancelled"
        attempt(worker)
        assert logged(endpoint).state is DeliveryState.DELIVERED
        redeliver(endpoint, the_delivery().id)  # also what was delivered
        attempt(worker)
    assert len({one.headers["webhook-id"] for one in receiver.received}) == 1
    assert [one.status for one in logged(endpoint).attempts] == [500, 200, 200]


def test_a_replay_of_the_dead_letter_delivers_the_same_message(kind: JobKind, worker: Worker):
    with receiving(500, 200) as receiver:
        endpoint = register(EndpointNew(url=receiver.url()), account=None, now=utc_now()).id
        an_end(kind, worker)
        attempt(worker)
        replay = submit(DELIVER_WEBHOOK, DeliveryRequest(delivery_id=the_delivery().id))
        execute(DELIVER_WEBHOOK, replay.id, worker)
        late = the_delivery()
        assert late.delivery_job_id == replay.id
        assert logged(endpoint).state is DeliveryState.DELIVERED
    assert len(receiver.received) == 2


def test_a_worker_that_died_after_noting_the_receipt_does_not_send_again(
    kind: JobKind, worker: Worker, receiver: Receiver
):
    register(EndpointNew(url=receiver.url()), account=None, now=utc_now())
    an_end(kind, worker)
    job_id = attempt(worker).id
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(state=JobState.QUEUED, finished_at=None))
    assert attempt(worker).result == {"outcome": "delivered", "status": None}
    assert len(receiver.received) == 1


def test_a_delivery_of_nothing_is_dropped(worker: Worker):
    job = submit(DELIVER_WEBHOOK, DeliveryRequest(delivery_id=uuid4()))
    execute(DELIVER_WEBHOOK, job.id, worker)
    assert get_job(job.id).result["outcome"] == "dropped"


def test_a_test_says_so_and_is_about_no_job(worker: Worker, receiver: Receiver):
    endpoint = register(EndpointNew(url=receiver.url()), account=None, now=utc_now())
    sent = send_test(endpoint.id)
    assert (sent.type, sent.job_id, sent.state) == ("webhook.test", None, DeliveryState.PENDING)
    attempt(worker)
    (received,) = receiver.received
    body = Webhook(endpoint.secret).verify(received.body, received.headers)
    assert (body["type"], body["data"]) == ("webhook.test", {"endpoint_id": str(endpoint.id)})
    assert datetime.fromisoformat(body["timestamp"]) == sent.created_at


def test_the_log_goes_with_its_endpoint_and_leaves_the_jobs(kind: JobKind, worker: Worker, receiver: Receiver):
    register(EndpointNew(url=receiver.url()), account=None, now=utc_now())
    job = an_end(kind, worker)
    with transaction() as session:
        session.execute(delete(WebhookEndpoint))
    with transaction(read_only=True) as session:
        assert session.scalars(select(WebhookDelivery)).all() == []
    assert get_job(job.id).state == "succeeded"
