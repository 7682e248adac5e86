"""Submitting under terms: keys, unique kinds, and what a job inherits from its submission."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select

from backend.clock import utc_now
from backend.errors import Conflict, KeyReused, ValidationFailed
from backend.extensions import transaction
from backend.jobs import submit as submitting
from backend.jobs.execute import Worker, execute
from backend.jobs.keys import KEPT_FOR
from backend.jobs.kinds import JobKind, Unique
from backend.jobs.reconcile import reconcile
from backend.jobs.schedules.book import ScheduleBook
from backend.jobs.schedules.declaration import Schedule
from backend.jobs.schedules.fire import fire_due
from backend.jobs.schedules.tables import FiringOutcome
from backend.jobs.states import JobState, Priority, Urgency
from backend.jobs.submit import cancel, submit, was_submitted
from backend.jobs.tables import Job
from backend.jobs.terms import Terms
from backend.jobs.views import get_job
from tests.unit.conftest import Number, SilentDoorbell

TERMS = Terms(client="10.0.0.1", key="k-1")
HOUR = timedelta(hours=1)


@pytest.fixture
def one_at_a_time(kind: JobKind) -> JobKind:
    return replace(kind, unique=Unique.KIND)


@pytest.fixture
def one_for_each(kind: JobKind) -> JobKind:
    return replace(kind, unique=Unique.REQUEST)


def stored() -> list[Job]:
    with transaction(read_only=True) as session:
        return list(session.scalars(select(Job).order_by(Job.created_at)))


def refuse(_request: Number) -> None:
    raise ValidationFailed(())


@pytest.mark.usefixtures("doorbell")
class TestKeys:
    def test_the_same_key_and_request_are_the_same_job_rung_for_once(self, kind, doorbell: SilentDoorbell):
        first = submit(kind, Number(value=1), terms=TERMS)
        again = submit(kind, Number(value=1), terms=TERMS)
        assert again == first
        assert len(stored()) == len(doorbell.rings) == 1

    def test_the_job_is_the_same_also_when_it_has_finished(self, kind, worker: Worker):
        first = submit(kind, Number(value=4), terms=TERMS)
        execute(kind, first.id, worker)
        again = submit(kind, Number(value=4), terms=TERMS)
        assert (again.id, again.state, again.result) == (first.id, JobState.SUCCEEDED, {"value": 8})

    def test_another_request_under_the_same_key_is_refused(self, kind):
        submit(kind, Number(value=1), terms=TERMS)
        for other in (Number(value=2), Number()):
            with pytest.raises(KeyReused):
                submit(kind, other, terms=TERMS)
        with pytest.raises(KeyReused):
            submit(replace(kind, name="test.other"), Number(value=1), terms=TERMS)
        assert len(stored()) == 1

    def test_a_key_belongs_to_its_client(self, kind):
        mine = submit(kind, Number(), terms=TERMS)
        theirs = submit(kind, Number(), terms=replace(TERMS, client="10.0.0.2"))
        assert mine.id != theirs.id

    def test_without_a_key_every_submission_is_a_job(self, kind):
        assert submit(kind, Number()).id != submit(kind, Number()).id

    def test_a_check_that_would_refuse_by_now_does_not_hide_the_first_job(self, kind):
        first = submit(kind, Number(), terms=TERMS)
        strict = replace(kind, checks=(refuse,))
        assert submit(strict, Number(), terms=TERMS).id == first.id
        with pytest.raises(ValidationFailed):
            submit(strict, Number(), terms=replace(TERMS, key="k-2"))

    def test_neither_does_a_deadline_that_has_passed_meanwhile(self, kind):
        soon = replace(TERMS, finish_by=utc_now() + HOUR)
        first = submit(kind, Number(), terms=soon)
        late = replace(soon, finish_by=utc_now() - HOUR)
        assert submit(kind, Number(), terms=late).id == first.id

    def test_a_key_serves_for_a_day_and_is_then_forgotten(self, kind, monkeypatch):
        first = submit(kind, Number(), terms=TERMS)
        tomorrow = utc_now() + KEPT_FOR
        monkeypatch.setattr(submitting, "utc_now", lambda: tomorrow)
        assert submit(kind, Number(value=2), terms=TERMS).id != first.id

    def test_a_refused_submission_leaves_no_key(self, kind):
        with pytest.raises(ValidationFailed):
            submit(replace(kind, checks=(refuse,)), Number(), terms=TERMS)
        assert not was_submitted(TERMS)
        assert submit(kind, Number(value=9), terms=TERMS).state is JobState.QUEUED
        assert was_submitted(TERMS)
        assert not was_submitted(Terms(client="10.0.0.1"))

    def test_a_key_that_was_entered_since_it_was_looked_up_still_stands_for_the_first_job(
        self, kind, doorbell, monkeypatch
    ):
        first = submit(kind, Number(), terms=TERMS)
        monkeypatch.setattr(submitting, "find_earlier", lambda *_: None)
        assert submit(kind, Number(), terms=TERMS).id == first.id
        with pytest.raises(KeyReused):
            submit(kind, Number(value=5), terms=TERMS)
        assert len(stored()) == len(doorbell.rings) == 1

    def test_a_key_that_is_none_is_refused(self, kind):
        with pytest.raises(ValidationFailed, match="Idempotency-Key"):
            submit(kind, Number(), terms=replace(TERMS, key=""))


@pytest.mark.usefixtures("doorbell")
class TestUniqueKinds:
    def test_the_same_request_is_the_same_job_while_it_is_not_finished(self, one_at_a_time, doorbell, worker):
        first = submit(one_at_a_time, Number(value=1))
        assert submit(one_at_a_time, Number(value=1)).id == first.id
        assert len(doorbell.rings) == 1
        execute(one_at_a_time, first.id, worker)
        assert submit(one_at_a_time, Number(value=1)).id != first.id

    def test_another_request_is_refused_with_the_job_that_is_in_the_way(self, one_at_a_time):
        first = submit(one_at_a_time, Number(value=1))
        with pytest.raises(Conflict, match=f"job {first.id} .* wait for it or cancel it"):
            submit(one_at_a_time, Number(value=2))
        cancel(first.id)
        assert submit(one_at_a_time, Number(value=2)).state is JobState.QUEUED

    def test_a_kind_that_is_unique_by_request_takes_other_requests(self, one_for_each):
        first = submit(one_for_each, Number(value=1))
        assert submit(one_for_each, Number(value=2)).id != first.id
        assert submit(one_for_each, Number(value=1)).id == first.id

    def test_a_key_stands_for_the_job_that_was_found(self, one_at_a_time, worker):
        first = submit(one_at_a_time, Number(value=1))
        assert submit(one_at_a_time, Number(value=1), terms=TERMS).id == first.id
        execute(one_at_a_time, first.id, worker)
        assert submit(one_at_a_time, Number(value=1), terms=TERMS).id == first.id, "also when it has finished"

    def test_a_refusal_leaves_no_key(self, one_at_a_time):
        submit(one_at_a_time, Number(value=1))
        with pytest.raises(Conflict):
            submit(one_at_a_time, Number(value=2), terms=TERMS)
        assert not was_submitted(TERMS)

    def test_a_schedule_that_fires_meanwhile_is_skipped(self, one_at_a_time):
        first = submit(one_at_a_time, Number(value=1))
        hourly = Schedule(name="hourly", kind=one_at_a_time.name, cron="0 * * * *")
        book = ScheduleBook([hourly], [one_at_a_time], timezone="UTC")
        fire_due(book, now=utc_now())
        (fired,) = fire_due(book, now=utc_now() + HOUR)
        assert fired.outcome is FiringOutcome.SKIPPED_OVERLAP
        assert [job.id for job in stored()] == [first.id]


def test_a_job_keeps_the_terms_of_its_submission(kind, doorbell):
    now = utc_now()
    terms = Terms(client="c", priority=Priority.URGENT, start_by=now + HOUR, finish_by=now + 2 * HOUR)
    job = submit(kind, Number(), terms=terms)
    assert (job.priority, job.start_by, job.finish_by) == (Urgency.URGENT, terms.start_by, terms.finish_by)
    assert get_job(job.id) == job
    (row,) = stored()
    assert (row.client, row.notify) == ("c", False)


def test_a_callback_is_somebody_who_awaits_the_end(kind, doorbell):
    submit(kind, Number(), terms=Terms(callback="https://example.org/hook"))
    (row,) = stored()
    assert (row.callback, row.notify) == ("https://example.org/hook", True)


def test_a_job_may_have_an_id_that_was_chosen(kind, doorbell):
    chosen = uuid4()
    assert submit(kind, Number(), job_id=chosen).id == chosen


def test_the_reconciler_forgets_keys_that_have_served(kind, doorbell, monkeypatch):
    submit(kind, Number(), terms=TERMS)
    long_ago = utc_now() - KEPT_FOR
    monkeypatch.setattr(submitting, "utc_now", lambda: long_ago)
    submit(kind, Number(), terms=replace(TERMS, key="old"))
    assert was_submitted(replace(TERMS, key="old"))
    reconcile(doorbell, patience=HOUR)
    assert not was_submitted(replace(TERMS, key="old"))
    assert was_submitted(TERMS)
