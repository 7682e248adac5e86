"""Each end of a job becomes its deliveries once."""

import threading

import pytest
from flask import Flask
from sqlalchemy import select, update

from backend.clock import utc_now
from backend.errors import Unavailable
from backend.extensions import transaction
from backend.jobs.execute import Worker, execute
from backend.jobs.kinds import JobKind
from backend.jobs.states import FINAL, JobState
from backend.jobs.submit import cancel, submit
from backend.jobs.tables import Job
from backend.jobs.terms import Terms
from backend.webhooks import dispatch as module
from backend.webhooks.dispatch import dispatch
from backend.webhooks.endpoints import change, register
from backend.webhooks.schemas import EndpointNew, EndpointPatch
from backend.webhooks.subscriptions import DELIVERY_KIND
from backend.webhooks.tables import WebhookDelivery
from tests.unit.conftest import Number, SilentDoorbell

pytestmark = pytest.mark.usefixtures("app")

URL = "http://127.0.0.1:9000/hook"


def a_webhook(*, account: str | None = None, **options):
    return register(EndpointNew(url=URL, **options), account=account, now=utc_now()).id


def ended(kind: JobKind, *, state: JobState = JobState.SUCCEEDED, terms: Terms | None = None):
    job = submit(kind, Number(), terms=terms or Terms())
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job.id).values(state=state, finished_at=utc_now()))
    return job.id


def deliveries():
    with transaction(read_only=True) as session:
        return session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.created_at)).all()


def delivery_jobs():
    with transaction(read_only=True) as session:
        return session.scalars(select(Job).where(Job.kind == DELIVERY_KIND).order_by(Job.created_at)).all()


@pytest.mark.parametrize("state", sorted(FINAL))
def test_every_end_is_announced_once(kind: JobKind, doorbell: SilentDoorbell, state):
    endpoint = a_webhook()
    job = ended(kind, state=state)
    doorbell.rings.clear()
    assert [dispatch(), dispatch()] == [1, 0]
    (delivery,), (delivery_job,) = deliveries(), delivery_jobs()
    assert (delivery.endpoint_id, delivery.job_id, delivery.type) == (endpoint, job, f"job.{state}")
    assert delivery.delivery_job_id == delivery_job.id
    assert delivery_job.request == {"delivery_id": str(delivery.id)}  # and nothing of anybody
    assert not delivery_job.notify
    assert doorbell.rings == [(DELIVERY_KIND, "outbound", delivery_job.id)]


def test_an_account_hears_of_its_own_jobs_only(kind: JobKind):
    own, all_ = a_webhook(account="lims"), a_webhook()
    a_webhook(account="another")
    ended(kind, terms=Terms(client="lims"))
    assert dispatch() == 1
    assert {one.endpoint_id for one in deliveries()} == {own, all_}
    ended(kind, terms=Terms(client=None))
    assert dispatch() == 1
    assert {one.endpoint_id for one in deliveries()[2:]} == {all_}


def test_a_job_that_is_not_finished_is_not_announced(kind: JobKind):
    a_webhook()
    submit(kind, Number())
    assert dispatch() == 0


def test_a_job_that_was_cancelled_before_it_ran_is_announced(kind: JobKind):
    a_webhook()
    cancel(submit(kind, Number()).id)
    assert dispatch() == 1
    assert [one.type for one in deliveries()] == ["job.cancelled"]


def test_the_end_of_a_delivery_is_announced_to_nobody(kind: JobKind, worker: Worker):
    a_webhook()
    ended(kind)
    dispatch()
    cancel(delivery_jobs()[0].id)
    assert dispatch() == 0


def test_each_endpoint_hears_what_it_asked_for(kind: JobKind):
    everything, failures = a_webhook(), a_webhook(states=["failed", "dead"])
    disabled = a_webhook()
    change(disabled, EndpointPatch(enabled=False))
    good, bad = ended(kind), ended(kind, state=JobState.DEAD)
    assert dispatch() == 2
    assert {(one.endpoint_id, one.job_id) for one in deliveries()} == {
        (everything, good),
        (everything, bad),
        (failures, bad),
    }


def test_a_callback_hears_of_its_job_beside_the_endpoints(kind: JobKind):
    endpoint = a_webhook()
    job = ended(kind, terms=Terms(callback="https://hooks.example.org/"))
    assert dispatch() == 1
    assert {(one.endpoint_id, one.job_id) for one in deliveries()} == {(endpoint, job), (None, job)}


def test_a_callback_needs_no_endpoint(kind: JobKind):
    job = ended(kind, terms=Terms(callback="https://hooks.example.org/"))
    ended(kind)
    assert dispatch() == 1
    assert [(one.endpoint_id, one.job_id) for one in deliveries()] == [(None, job)]


def test_an_end_that_nobody_awaits_any_more_is_put_aside(kind: JobKind):
    endpoint = a_webhook()
    ended(kind)
    change(endpoint, EndpointPatch(enabled=False))
    assert [dispatch(), dispatch()] == [1, 0]
    assert deliveries() == []


def test_a_limit_leaves_the_rest_to_the_next_call(kind: JobKind):
    a_webhook()
    jobs = [ended(kind) for _ in range(5)]
    assert [dispatch(limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert [one.job_id for one in deliveries()] == jobs


def test_a_dispatch_that_dies_announces_nothing_and_the_next_one_everything(
    kind: JobKind, doorbell: SilentDoorbell, monkeypatch: pytest.MonkeyPatch
):
    a_webhook()
    jobs = [ended(kind) for _ in range(3)]
    doorbell.rings.clear()
    store, calls = module.store_delivery, []

    def die(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise Unavailable("the database does not answer")
        return store(*args, **options)

    monkeypatch.setattr(module, "store_delivery", die)
    with pytest.raises(Unavailable):
        dispatch()
    assert (deliveries(), delivery_jobs(), doorbell.rings) == ([], [], [])
    assert dispatch() == 3
    assert [one.job_id for one in deliveries()] == jobs


def test_many_at_once_announce_each_end_once(app: Flask, kind: JobKind):
    a_webhook()
    jobs = [ended(kind) for _ in range(20)]
    done, barrier = [], threading.Barrier(4)

    def run() -> None:
        with app.app_context():
            barrier.wait()
            while count := dispatch(limit=3):
                done.append(count)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == len(jobs)
    assert sorted(str(one.job_id) for one in deliveries()) == sorted(map(str, jobs))


def test_a_job_that_runs_is_announced(kind: JobKind, worker: Worker):
    a_webhook()
    job = submit(kind, Number(value=1))
    execute(kind, job.id, worker)
    dispatch()
    assert [(one.job_id, one.type) for one in deliveries()] == [(job.id, "job.succeeded")]
