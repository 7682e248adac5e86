"""Many jobs in one call: all or none, in their order."""

from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from backend.clock import utc_now
from backend.errors import FieldError, KeyReused, NotFound, NotServed, ValidationFailed
from backend.extensions import transaction
from backend.jobs import bulk as module
from backend.jobs.bulk import cancel_bulk, get_bulk, list_bulk, submit_bulk
from backend.jobs.claim import claim
from backend.jobs.execute import execute
from backend.jobs.kinds import Unique
from backend.jobs.ring import Ring, coalesced
from backend.jobs.states import JobState, Priority
from backend.jobs.submit import submit
from backend.jobs.tables import JOB
from backend.jobs.terms import Terms
from backend.jobs.views import get_job
from tests.unit.conftest import LEASE, Doubled, Number

TERMS = Terms(client="10.0.0.1", key="k", priority=Priority.LOW)


def numbers(kind, *values):
    return [(kind, Number(value=value)) for value in values]


def stored():
    with transaction(read_only=True) as session:
        return session.scalar(select(func.count()).select_from(JOB))


def states(bulk_id):
    return [job.state for job in list_bulk(bulk_id, after=-1, limit=1_000).jobs]


def test_jobs_are_stored_in_their_order_with_their_terms_and_rung_for(kind, doorbell):
    other = replace(kind, name="test.other", queue="batch")
    bulk_id = submit_bulk([(kind, Number(value=1)), (other, Number(value=2)), (kind, Number(value=3))], terms=TERMS)
    page = list_bulk(bulk_id, after=-1, limit=10)
    assert [(job.place, job.kind) for job in page.jobs] == [(0, "test.double"), (1, "test.other"), (2, "test.double")]
    assert sorted(doorbell.rings) == sorted(
        (job.kind, "batch" if job.kind == "test.other" else "interactive", job.id) for job in page.jobs
    )
    one = get_job(page.jobs[0].id)
    assert (one.bulk_id, one.priority, one.state) == (bulk_id, "low", JobState.QUEUED)


def test_as_many_rings_are_sent_as_it_takes_to_claim_all(kind, doorbell):
    many = replace(kind, claims=4)
    submit_bulk(numbers(many, *range(10)), terms=TERMS)
    waiting = [Ring(name, queue, Priority.LOW, job_id) for name, queue, job_id in doorbell.rings]
    sent = coalesced(waiting, {many.name: many.claims})
    claimed = [len(claim(many, ring.job_id, worker="w", lease=LEASE)) for ring in sent]
    assert (len(sent), sum(claimed)) == (3, 10)


def test_how_far_a_bulk_is(kind, doorbell, worker):
    bulk_id = submit_bulk(numbers(kind, 1, 2, 3), terms=TERMS)
    before = get_bulk(bulk_id)
    assert (before.total, before.finished, before.finished_at) == (3, 0, None)
    assert before.states == {JobState.QUEUED: 3}
    jobs = [job.id for job in list_bulk(bulk_id, after=-1, limit=3).jobs]
    execute(kind, jobs[1], worker)
    between = get_bulk(bulk_id)
    assert (between.finished, between.finished_at) == (1, None)
    assert between.states == {JobState.QUEUED: 2, JobState.SUCCEEDED: 1}
    for job_id in jobs:
        execute(kind, job_id, worker)
    after = get_bulk(bulk_id)
    assert (after.finished, after.states) == (3, {JobState.SUCCEEDED: 3})
    assert after.finished_at == max(get_job(job_id).finished_at for job_id in jobs)


def test_results_are_paged_in_the_order_of_the_bulk(kind, doorbell, worker):
    bulk_id = submit_bulk(numbers(kind, *range(5)), terms=TERMS)
    for job in reversed(list_bulk(bulk_id, after=-1, limit=5).jobs):
        execute(kind, job.id, worker)
    seen, after = [], -1
    while after is not None:
        page = list_bulk(bulk_id, after=after, limit=2)
        assert len(page.jobs) <= 2
        seen += [job.result["value"] for job in page.jobs]
        after = page.next_after
    assert seen == [0, 2, 4, 6, 8]
    assert list_bulk(bulk_id, after=4, limit=2).jobs == []


def test_an_unknown_bulk_is_not_found(app):
    for ask in (get_bulk, cancel_bulk, lambda bulk_id: list_bulk(bulk_id, after=-1, limit=1)):
        with pytest.raises(NotFound, match="no bulk"):
            ask(uuid4())


def test_the_same_key_and_jobs_are_the_same_bulk(kind, doorbell, worker):
    work = numbers(kind, 1, 2)
    bulk_id = submit_bulk(work, terms=TERMS)
    for _name, _queue, job_id in list(doorbell.rings):
        execute(kind, job_id, worker)
    assert submit_bulk(work, terms=TERMS) == bulk_id
    assert stored() == len(doorbell.rings) == 2
    for other in (work[:1], work[::-1], [*work, *work]):
        with pytest.raises(KeyReused):
            submit_bulk(other, terms=TERMS)
    with pytest.raises(KeyReused):
        submit(kind, Number(value=1), terms=TERMS)


def test_a_key_that_was_entered_since_it_was_looked_up_still_stands_for_the_first_bulk(kind, doorbell, monkeypatch):
    bulk_id = submit_bulk(numbers(kind, 1), terms=TERMS)
    monkeypatch.setattr(module, "find_earlier", lambda *_: None)
    assert submit_bulk(numbers(kind, 1), terms=TERMS) == bulk_id
    assert stored() == 1


def test_checks_are_asked_for_every_job_and_what_is_wrong_is_named_by_place(kind, doorbell):
    def check(request: Number) -> None:
        if request.value == 13:
            raise ValidationFailed((FieldError("value", "is unlucky"),))
        if request.value == 14:
            raise ValidationFailed((FieldError("", "is too much"),))
        if request.value == 15:
            raise NotServed("there are no donors")

    checked = replace(kind, checks=(check,))
    with pytest.raises(ValidationFailed) as refused:
        submit_bulk(numbers(checked, 1, 13, 14, 15), terms=TERMS)
    assert refused.value.fields == (
        FieldError("jobs.1.request.value", "is unlucky"),
        FieldError("jobs.2.request", "is too much"),
        FieldError("jobs.3.request", "there are no donors"),
    )
    assert stored() == 0
    assert doorbell.rings == []


def test_of_very_many_wrong_jobs_the_first_are_named(kind, doorbell):
    def check(_request: Number) -> None:
        raise ValidationFailed((FieldError("value", "no"),))

    with pytest.raises(ValidationFailed) as refused:
        submit_bulk(numbers(replace(kind, checks=(check,)), *range(1_000)), terms=TERMS)
    assert len(refused.value.fields) == module.MOST_SHOWN


@pytest.mark.parametrize("unique", list(Unique))
def test_a_kind_of_one_job_at_a_time_is_submitted_alone(kind, doorbell, unique):
    with pytest.raises(ValidationFailed, match=r"jobs\.0\.kind: .* submit it alone"):
        submit_bulk(numbers(replace(kind, unique=unique), 1), terms=TERMS)
    assert stored() == 0


def test_a_deadline_that_has_passed_is_refused(kind, doorbell):
    with pytest.raises(ValidationFailed, match="finish_by"):
        submit_bulk(numbers(kind, 1), terms=replace(TERMS, finish_by=utc_now()))
    assert stored() == 0


def test_cancelling_ends_what_is_queued_asks_what_runs_and_leaves_what_has_ended(kind, doorbell, worker, behaviour):
    bulk_id = submit_bulk(numbers(kind, 1, 2, 3), terms=TERMS)
    done, running, queued = (job.id for job in list_bulk(bulk_id, after=-1, limit=3).jobs)
    execute(kind, done, worker)

    def act(request, context):
        bulk = cancel_bulk(bulk_id)
        assert (bulk.finished, bulk.finished_at) == (2, None)
        assert get_job(running).cancelling
        worker.leases.beat()
        context.check()
        return Doubled(value=0)

    behaviour.act = act
    execute(kind, running, worker)
    assert states(bulk_id) == ["succeeded", "cancelled", "cancelled"]
    assert get_job(queued).finished_at is not None
    ended = get_bulk(bulk_id)
    assert (ended.finished, ended.finished_at is None) == (3, False)
    assert cancel_bulk(bulk_id) == ended
