"""The promises of the job engine, on a real SQLite file."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from backend.clock import utc_now
from backend.errors import ArtifactError, Conflict, LeaseLost, NotFound, Unavailable, ValidationFailed
from backend.extensions import transaction
from backend.inference.tables import ModelArtifact
from backend.jobs import finish
from backend.jobs.claim import claim
from backend.jobs.context import JobContext, RecordingModels
from backend.jobs.execute import Worker, execute
from backend.jobs.kinds import JobKind
from backend.jobs.reconcile import reconcile
from backend.jobs.states import JobState
from backend.jobs.submit import cancel, submit
from backend.jobs.tables import Job, JobAttempt
from backend.jobs.views import get_job, list_jobs
from backend.jobs.waiting import wait_for_job
from tests.unit.conftest import LEASE, Behaviour, Doubled, Number, SilentDoorbell

PATIENCE = timedelta(seconds=10)


def attempts(job_id):
    with transaction(read_only=True) as session:
        return list(session.scalars(select(JobAttempt).where(JobAttempt.job_id == job_id).order_by(JobAttempt.number)))


def set_columns(job_id, **values):
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def let_lease_run_out(job_id):
    set_columns(job_id, lease_until=utc_now() - timedelta(seconds=1))


def an_artifact():
    return ModelArtifact(name="m", version="1", runtime="r", sha256="0" * 64, metrics={}, first_loaded_at=utc_now())


def stored_artifacts():
    with transaction(read_only=True) as session:
        return len(session.scalars(select(ModelArtifact)).all())


def test_submitting_stores_the_job_and_rings_with_its_id_only(kind: JobKind, doorbell: SilentDoorbell):
    job = submit(kind, Number(value=21))
    assert job.state is JobState.QUEUED
    assert doorbell.rings == [("test.double", "interactive", job.id)]


def test_a_job_runs_once_and_keeps_its_result(kind: JobKind, worker: Worker, doorbell, behaviour: Behaviour):
    job = submit(kind, Number(value=21))
    assert execute(kind, job.id, worker) == 1
    done = get_job(job.id)
    assert (done.state, done.result, done.attempt, done.progress) == (JobState.SUCCEEDED, {"value": 42}, 1, 1.0)
    assert execute(kind, job.id, worker) == 0, "a second ring finds nothing to claim"
    assert behaviour.calls == 1


def test_a_check_refuses_before_anything_is_stored(kind: JobKind, doorbell: SilentDoorbell):
    def refuse(_request: Number) -> None:
        raise ValidationFailed(())

    strict = JobKind(**{name: getattr(kind, name) for name in kind.__dataclass_fields__} | {"checks": (refuse,)})
    with pytest.raises(ValidationFailed):
        submit(strict, Number())
    assert list_jobs(state=None, kind=None, before=None, limit=10).jobs == []
    assert doorbell.rings == []


def test_an_unknown_job_is_not_found_and_never_pending(app):
    with pytest.raises(NotFound):
        get_job(uuid4())


def test_the_attempt_is_counted_before_the_work(kind: JobKind, doorbell):
    job = submit(kind, Number())
    claim(kind, job.id, worker="w1", lease=LEASE)
    assert get_job(job.id).attempt == 1
    assert [a.outcome for a in attempts(job.id)] == [None]


def test_one_ring_claims_up_to_n_jobs_of_its_kind_and_no_job_twice(kind: JobKind, doorbell):
    several = JobKind(**{name: getattr(kind, name) for name in kind.__dataclass_fields__} | {"claims": 3})
    jobs = [submit(several, Number(value=i)).id for i in range(5)]
    first = [c.job_id for c in claim(several, jobs[3], worker="w1", lease=LEASE)]
    second = [c.job_id for c in claim(several, jobs[3], worker="w2", lease=LEASE)]
    assert jobs[3] in first
    assert len(first) == 3
    assert sorted(first + second) == sorted(jobs)


def test_a_transient_error_is_retried_after_a_pause_until_the_job_is_dead(
    kind, worker, doorbell, behaviour, monkeypatch
):
    def act(_request, _context):
        raise Unavailable("the archive does not answer")

    monkeypatch.setattr(behaviour, "act", act)
    job = submit(kind, Number())
    for attempt in (1, 2, 3):
        assert execute(kind, job.id, worker) == 1
        now = get_job(job.id)
        assert now.attempt == attempt
        assert now.error is not None
        assert now.error.message == "the archive does not answer"
        assert execute(kind, job.id, worker) == 0, "not before the pause is over"
        set_columns(job.id, available_at=utc_now())
    assert get_job(job.id).state is JobState.DEAD
    assert [a.outcome for a in attempts(job.id)] == ["retried", "retried", "failed"]


def test_a_foreign_error_that_is_retried_is_known_by_its_type_and_not_by_a_code_of_its_library(
    kind, worker, doorbell, behaviour
):
    class Foreign(Exception):
        code = "gkpj"

    def fail(_request: Number, _context: JobContext) -> Doubled:
        raise Foreign

    behaviour.act = fail
    fields = {name: getattr(kind, name) for name in kind.__dataclass_fields__}
    job = submit(JobKind(**fields | {"retry_on": (Foreign,)}), Number())
    execute(JobKind(**fields | {"retry_on": (Foreign,)}), job.id, worker)
    assert get_job(job.id).error.code == "Foreign"


def test_a_retry_that_succeeds_leaves_no_error_on_the_job(kind, worker, doorbell, behaviour, monkeypatch):
    def act(request, _context):
        if behaviour.calls == 1:
            raise Unavailable("not yet")
        return Doubled(value=request.value)

    monkeypatch.setattr(behaviour, "act", act)
    job = submit(kind, Number(value=7))
    execute(kind, job.id, worker)
    set_columns(job.id, available_at=utc_now())
    execute(kind, job.id, worker)
    done = get_job(job.id)
    assert (done.state, done.error, done.attempt) == (JobState.SUCCEEDED, None, 2)


def test_an_error_of_ours_fails_the_job_at_once_with_its_message(kind, worker, doorbell, behaviour, monkeypatch):
    def act(_request, _context):
        raise ArtifactError("model m: model.txt is truncated")

    monkeypatch.setattr(behaviour, "act", act)
    job = submit(kind, Number())
    execute(kind, job.id, worker)
    failed = get_job(job.id)
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert (failed.error.code, failed.error.message) == ("bad_artifact", "model m: model.txt is truncated")


def test_a_foreign_exception_fails_the_job_without_its_text(kind, worker, doorbell, behaviour, monkeypatch):
    def act(_request, _context):
        raise KeyError("Asha Menon, +91 98470 00000")

    monkeypatch.setattr(behaviour, "act", act)
    job = submit(kind, Number())
    execute(kind, job.id, worker)
    failed = get_job(job.id)
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert "Asha" not in failed.error.message
    assert "KeyError" in failed.error.message


def test_what_a_job_stores_commits_with_its_result(kind, worker, doorbell, behaviour, monkeypatch):
    def act(_request, context: JobContext):
        context.store(an_artifact())
        return Doubled(value=1)

    monkeypatch.setattr(behaviour, "act", act)
    job = submit(kind, Number())
    execute(kind, job.id, worker)
    assert get_job(job.id).state is JobState.SUCCEEDED
    assert stored_artifacts() == 1


def test_a_worker_that_lost_its_lease_stores_nothing(kind, worker, doorbell):
    job = submit(kind, Number())
    (late,) = claim(kind, job.id, worker="w1", lease=LEASE)
    let_lease_run_out(job.id)
    reconcile(doorbell, patience=PATIENCE)
    (fresh,) = claim(kind, job.id, worker="w2", lease=LEASE)
    context = JobContext(job_id=job.id, models=RecordingModels(worker.models))
    context.store(an_artifact())
    with pytest.raises(LeaseLost):
        finish.succeed(late, Doubled(value=1), context)
    assert stored_artifacts() == 0
    finish.succeed(fresh, Doubled(value=2), JobContext(job_id=job.id, models=RecordingModels(worker.models)))
    assert get_job(job.id).result == {"value": 2}


def test_a_job_that_kills_its_worker_each_time_ends_dead(kind, doorbell):
    job = submit(kind, Number())
    for _ in range(kind.max_attempts):
        assert claim(kind, job.id, worker="doomed", lease=LEASE)
        let_lease_run_out(job.id)
        reconcile(doorbell, patience=PATIENCE)
    dead = get_job(job.id)
    assert dead.state is JobState.DEAD
    assert dead.error is not None
    assert dead.error.code == "worker_lost"
    assert {a.outcome for a in attempts(job.id)} == {"lost"}
    assert claim(kind, job.id, worker="w", lease=LEASE) == []


def test_the_heartbeat_extends_the_lease_and_shows_progress(kind, worker, doorbell):
    job = submit(kind, Number())
    (held,) = claim(kind, job.id, worker="w1", lease=LEASE)
    let_lease_run_out(job.id)
    context = JobContext(job_id=job.id, models=RecordingModels(worker.models))
    with worker.leases.holding(held, context):
        context.progress(0.5, "half")
        worker.leases.beat()
    reconcile(doorbell, patience=PATIENCE)
    running = get_job(job.id)
    assert (running.state, running.progress, running.progress_note) == (JobState.RUNNING, 0.5, "half")


def test_an_attempt_that_used_up_its_time_is_not_kept_alive_and_delivers_nothing(
    kind, worker, doorbell, behaviour, monkeypatch
):
    def act(_request, context: JobContext):
        context.begin(timeout=-1)
        return Doubled(value=1)

    monkeypatch.setattr(behaviour, "act", act)
    job = submit(kind, Number())
    execute(kind, job.id, worker)
    again = get_job(job.id)
    assert again.state is JobState.QUEUED
    assert again.error is not None
    assert again.error.code == "timed_out"


def test_cancelling_a_queued_job_is_immediate(kind, doorbell):
    job = submit(kind, Number())
    assert cancel(job.id).state is JobState.CANCELLED
    assert claim(kind, job.id, worker="w1", lease=LEASE) == []


def test_cancelling_a_running_job_is_a_request_until_the_worker_agrees(kind, worker, doorbell, behaviour, monkeypatch):
    def act(_request, context: JobContext):
        asked = cancel(context.job_id)
        assert (asked.state, asked.cancelling) == (JobState.RUNNING, True)
        worker.leases.beat()
        context.check()
        raise AssertionError("a cancelled attempt leaves at its next check")

    monkeypatch.setattr(behaviour, "act", act)
    job = submit(kind, Number())
    execute(kind, job.id, worker)
    done = get_job(job.id)
    assert (done.state, done.cancelling, done.result) == (JobState.CANCELLED, False, None)


def test_a_finished_job_cannot_be_cancelled(kind, worker, doorbell):
    job = submit(kind, Number())
    execute(kind, job.id, worker)
    with pytest.raises(Conflict, match="already succeeded"):
        cancel(job.id)


def test_a_lost_ring_is_rung_again_and_a_waiting_message_is_not_doubled(kind, doorbell):
    job = submit(kind, Number())
    doorbell.rings.clear()
    assert reconcile(doorbell, patience=PATIENCE).rung == 0, "rung a moment ago"
    set_columns(job.id, rung_at=utc_now() - timedelta(minutes=1))
    doorbell.held = 1
    assert reconcile(doorbell, patience=PATIENCE).rung == 0, "its message still waits in the broker"
    doorbell.held = 0
    assert reconcile(doorbell, patience=PATIENCE).rung == 1
    assert doorbell.rings == [("test.double", "interactive", job.id)]
    assert reconcile(doorbell, patience=PATIENCE).rung == 0


@pytest.mark.parametrize("held", [0, 1, 2, 3])
def test_a_backlog_is_rung_by_as_many_messages_as_serve_it(app, kind, doorbell, monkeypatch, held: int):
    several = JobKind(**{name: getattr(kind, name) for name in kind.__dataclass_fields__} | {"claims": 3})
    monkeypatch.setitem(app.extensions, "kinds", {several.name: several})
    for _ in range(7):
        set_columns(submit(several, Number()).id, rung_at=None)
    doorbell.rings.clear()
    doorbell.held = held
    assert reconcile(doorbell, patience=PATIENCE).rung == min(7, 3 * (3 - held)), "of 7 jobs, one message serves 3"
    assert len(doorbell.rings) == 3 - held
    doorbell.held = 3
    assert reconcile(doorbell, patience=PATIENCE).rung == 0


def test_a_retry_is_rung_when_its_pause_is_over(kind, worker, doorbell):
    job = submit(kind, Number())
    (held,) = claim(kind, job.id, worker="w1", lease=LEASE)
    finish.retry(held, code="unavailable", message="later")
    doorbell.rings.clear()
    assert reconcile(doorbell, patience=PATIENCE).rung == 0
    set_columns(job.id, available_at=utc_now())
    assert reconcile(doorbell, patience=PATIENCE).rung == 1


def test_waiting_returns_the_finished_job_or_the_unfinished_one_when_time_is_up(kind, worker, doorbell):
    job = submit(kind, Number(value=1))
    assert wait_for_job(job, seconds=0.05).state is JobState.QUEUED
    execute(kind, job.id, worker)
    assert wait_for_job(job, seconds=5).result == {"value": 2}


def test_jobs_are_listed_newest_first_by_pages(kind, doorbell):
    ids = [submit(kind, Number(value=i)).id for i in range(3)]
    page = list_jobs(state=JobState.QUEUED, kind="test.double", before=None, limit=2)
    assert [job.id for job in page.jobs] == [ids[2], ids[1]]
    rest = list_jobs(state=None, kind=None, before=page.next_before, limit=2)
    assert [job.id for job in rest.jobs] == [ids[0]]
    assert rest.next_before is None


def test_the_pause_between_attempts_doubles_and_stays_bounded():
    for attempt in range(1, 12):
        longest = min(2.0**attempt, 300.0)
        assert longest / 2 <= finish.pause_after(attempt).total_seconds() <= longest
