"""Many who submit at once, on real databases and a real broker: one job for a key, and nobody waits for nobody."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import select, update

from backend.clock import utc_now
from backend.errors import Conflict, Unavailable
from backend.extensions import transaction
from backend.inference.tables import ModelArtifact
from backend.jobs.broker import make_celery
from backend.jobs.bulk import cancel_bulk, get_bulk, list_bulk, submit_bulk
from backend.jobs.claim import claim
from backend.jobs.context import JobContext, RecordingModels
from backend.jobs.execute import Worker, execute
from backend.jobs.keys import KEPT_FOR, enter_key, forget_keys
from backend.jobs.kinds import JobKind, Unique
from backend.jobs.leases import LeaseKeeper
from backend.jobs.ring import Doorbell, Ring, publish
from backend.jobs.states import JobState, Priority
from backend.jobs.submit import submit
from backend.jobs.tables import JOB
from backend.jobs.terms import Terms
from backend.jobs.views import get_job, list_jobs
from backend.settings import Settings
from tests.integration.conftest import Valkey
from tests.integration.stack import Stack, wait_until
from tests.unit.conftest import Doubled, Number

TERMS = Terms(client="c", key="k")
LEASE = timedelta(seconds=30)
SEVERAL = 8


def double_many(requests, contexts):
    for request, context in zip(requests, contexts, strict=True):
        context.store(effect(request, context))
    return [Doubled(value=2 * request.value) for request in requests]


def effect(request: Number, _context: JobContext) -> ModelArtifact:
    name = f"m{request.value}"
    return ModelArtifact(name=name, version="1", runtime="r", sha256="0" * 64, metrics={}, first_loaded_at=utc_now())


KIND = JobKind(
    name="test.double",
    path="/double",
    summary="Double",
    request=Number,
    result=Doubled,
    run=lambda request, _context: Doubled(value=2 * request.value),
    run_many=double_many,
    claims=SEVERAL,
    timeout=30,
)


def at_once(app: Flask, count: int, act) -> list:
    """Return what `act(number)` returned or raised, in each of some threads that start together."""
    barrier = threading.Barrier(count)

    def run(number: int):
        with app.app_context():
            barrier.wait()
            try:
                return act(number)
            except (Conflict, Unavailable) as error:
                return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_fifty_who_submit_under_one_key_at_once_get_one_job(app: Flask):
    jobs = at_once(app, 50, lambda _: submit(KIND, Number(value=1), terms=TERMS))
    assert len({job.id for job in jobs}) == 1
    assert len(list_jobs(limit=100).jobs) == len(app.extensions["doorbell"].rings) == 1


def test_bulks_under_one_key_at_once_are_one_bulk(app: Flask):
    work = [(KIND, Number(value=value)) for value in range(200)]
    assert len(set(at_once(app, 6, lambda _: submit_bulk(work, terms=TERMS)))) == 1
    assert len(list_jobs(limit=500).jobs) == 200


@pytest.mark.parametrize("unique", list(Unique))
def test_of_a_unique_kind_twenty_who_submit_at_once_get_one_job(app: Flask, unique: Unique):
    one = replace(KIND, unique=unique)
    jobs = at_once(app, 20, lambda _: submit(one, Number(value=1)))
    assert len({job.id for job in jobs}) == 1
    assert len(list_jobs(limit=100).jobs) == 1


def test_of_twenty_who_ask_a_unique_kind_for_something_else_one_is_served(app: Flask):
    one = replace(KIND, unique=Unique.KIND)
    answers = at_once(app, 20, lambda number: submit(one, Number(value=number)))
    (served,) = [answer for answer in answers if not isinstance(answer, Exception)]
    refused = [answer for answer in answers if isinstance(answer, Exception)]
    assert all(isinstance(answer, Conflict) and str(served.id) in str(answer) for answer in refused)
    assert len(list_jobs(limit=100).jobs) == 1


def test_a_key_that_has_served_is_entered_anew_while_others_forget_it(app: Flask):
    now = utc_now()
    for turn in range(10):
        ids = [uuid4() for _ in range(8)]
        with transaction() as session:
            enter_key(session, "d", uuid4(), fingerprint="old", now=now - KEPT_FOR)

        def act(number: int, ids=ids):
            with transaction() as session:
                if number % 2:
                    forget_keys(session, now=now)
                    return None
                return enter_key(session, "d", ids[number], fingerprint="new", now=now)

        entered = [answer for answer in at_once(app, 8, act) if answer is not None]
        assert len(set(entered)) == 1, turn
        with transaction() as session:
            forget_keys(session, now=now + KEPT_FOR)


def test_a_rung_job_whose_row_is_being_written_is_claimed_all_the_same(app: Flask):
    job_id = submit(KIND, Number()).id

    def act(number: int):
        if number:
            time.sleep(0.1)
            return claim(KIND, job_id, worker="w", lease=LEASE)
        with transaction() as session:  # as the reconciler does when it has rung
            session.execute(update(JOB).where(JOB.c.id == job_id).values(rung_at=utc_now()))
            time.sleep(0.5)
        return None

    _, claimed = at_once(app, 2, act)
    assert [one.job_id for one in claimed] == [job_id]


def test_workers_that_claim_what_others_were_rung_for_never_block_each_other(app: Flask):
    many = replace(KIND, claims=32)
    bulk_id = submit_bulk([(many, Number(value=value)) for value in range(1_000)], terms=Terms(client="c"))
    ids = [job.id for job in list_bulk(bulk_id, after=-1, limit=1_000).jobs]

    def work(number: int):
        return [one.job_id for job_id in ids[number::8] for one in claim(many, job_id, worker="w", lease=LEASE)]

    claimed = at_once(app, 8, work)
    assert Counter(job_id for some in claimed for job_id in some) == Counter(ids)


def a_worker(app: Flask) -> Worker:
    leases = LeaseKeeper(app.app_context, lease=LEASE)
    return Worker(name="w", models=app.extensions["models"], leases=leases, lease=LEASE, news=app.extensions["news"])


def test_many_jobs_end_together_while_a_bulk_is_cancelled_and_leases_are_kept(app: Flask):
    bulk_id = submit_bulk([(KIND, Number(value=value)) for value in range(400)], terms=Terms(client="c"))
    ids = [job.id for job in list_bulk(bulk_id, after=-1, limit=400).jobs]
    worker = a_worker(app)

    def act(number: int):
        if number == 0:
            time.sleep(0.3)
            return cancel_bulk(bulk_id)
        if number == 1:
            for _ in range(100):
                worker.leases.beat()
            return None
        for job_id in ids[number::4]:
            execute(KIND, job_id, worker)
        return None

    answers = at_once(app, 4, act)
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    jobs = list_bulk(bulk_id, after=-1, limit=400).jobs
    assert {job.state for job in jobs} <= {JobState.SUCCEEDED, JobState.CANCELLED}
    assert all((job.result is not None) == (job.state == JobState.SUCCEEDED) for job in jobs)
    assert get_bulk(bulk_id).finished == 400


def test_a_bulk_is_cancelled_while_the_leases_of_its_jobs_are_extended(app: Flask, monkeypatch):
    bulk_id = submit_bulk([(KIND, Number(value=value)) for value in range(SEVERAL)], terms=Terms(client="c"))
    first = list_bulk(bulk_id, after=-1, limit=1).jobs[0].id
    claims = sorted(claim(KIND, first, worker="w", lease=LEASE), key=lambda one: one.job_id, reverse=True)
    worker, extend = a_worker(app), LeaseKeeper._extend

    def slowly(*arguments):
        extend(*arguments)
        time.sleep(0.1)

    monkeypatch.setattr(LeaseKeeper, "_extend", slowly)
    with ExitStack() as held:
        for one in claims:
            context = JobContext(job_id=one.job_id, models=RecordingModels(app.extensions["models"]))
            held.enter_context(worker.leases.holding(one, context))

        def act(number: int):
            time.sleep(0.2 * number)
            return cancel_bulk(bulk_id) if number else worker.leases.beat()

        answers = at_once(app, 2, act)
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    assert get_bulk(bulk_id).states == {JobState.RUNNING: SEVERAL}


def test_many_jobs_at_once_keep_their_results_and_one_that_lost_its_lease_keeps_nothing(app: Flask):
    ids = [submit(KIND, Number(value=value)).id for value in range(SEVERAL)]

    def act(requests, contexts):
        with transaction() as session:
            session.execute(update(JOB).where(JOB.c.id == ids[3]).values(attempt=2))
        return double_many(requests, contexts)

    assert execute(replace(KIND, run_many=act), ids[0], a_worker(app)) == SEVERAL
    jobs = [get_job(job_id) for job_id in ids]
    assert [job.state.value for job in jobs] == ["succeeded"] * 3 + ["running"] + ["succeeded"] * 4
    assert [job.result and job.result["value"] for job in jobs] == [0, 2, 4, None, 8, 10, 12, 14]
    with transaction(read_only=True) as session:
        names = set(session.scalars(select(ModelArtifact.name)))
    assert names == {f"m{value}" for value in range(SEVERAL) if value != 3}


def test_the_broker_hands_out_the_urgent_first(valkey: Valkey, tmp_path: Path):
    celery = make_celery(Settings(broker_url=valkey.url, data_dir=tmp_path, _env_file=None))
    order = (Priority.LOW, Priority.NORMAL, Priority.URGENT, Priority.LOW, Priority.URGENT, Priority.NORMAL)
    for priority in order:
        publish(celery, Ring("a.b", "interactive", priority, uuid4()))
    handed = []
    with celery.connection_for_read() as connection, connection.SimpleQueue("interactive") as queue:
        for _ in order:
            message = queue.get(timeout=5)
            handed.append(message.properties["priority"])
            message.ack()
    assert handed == sorted(order)


def test_a_bulk_is_sent_as_few_rings_that_claim_all_of_it(app: Flask, valkey: Valkey, tmp_path: Path):
    doorbell = Doorbell(
        Settings(broker_url=valkey.url, data_dir=tmp_path, _env_file=None), claims={KIND.name: KIND.claims}
    )
    app.extensions["doorbell"] = doorbell
    submit_bulk([(KIND, Number(value=value)) for value in range(800)], terms=Terms(client="c"))
    wait_until(lambda: doorbell.waiting(KIND.queue) >= 100, seconds=20)
    time.sleep(0.5)
    assert 100 <= doorbell.waiting(KIND.queue) <= 150, "800 jobs, 8 for each ring"


@pytest.fixture
def api(stack: Stack) -> Stack:
    """A real API, without workers, with a job kind that takes any number."""
    stack.migrate()
    stack.start_api("tests.integration.steady:create_api()", processes=2)
    return stack


def test_a_real_api_answers_fifty_posts_under_one_key_with_one_job(api: Stack):
    headers = {"Idempotency-Key": "3f1c7d9e-5a0b-4c55-8a53-0e6c3c9a7f10"}
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: api.call("POST", "/api/ml/steady", {"steps": 3}, headers), range(50)))
    assert Counter(answer.status for answer in answers) == {202: 50}
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert len(api.call("GET", "/api/ml/jobs").body["jobs"]) == 1
    assert api.call("POST", "/api/ml/steady", {"steps": 4}, headers).body["code"] == "idempotency_key_reused"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("length", [256, 10_000])
def test_a_real_api_answers_a_long_key_with_a_problem(api: Stack, length: int):
    refused = api.call("POST", "/api/ml/steady", {}, {"Idempotency-Key": "k" * length})
    assert (refused.status, refused.headers.get("Content-Type")) == (422, "application/problem+json"), refused
    assert "1 to 255 visible ASCII characters" in refused.body["errors"][0]["reason"]
