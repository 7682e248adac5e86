"""Firing: what is due becomes a job, once for each fire time however many beats run."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Exists, exists, select
from sqlalchemy.orm import Session

from backend.errors import Conflict, InputError, NotFound
from backend.extensions import transaction
from backend.jobs.schedules.book import Planned, ScheduleBook
from backend.jobs.schedules.cron import latest_fire, next_fire
from backend.jobs.schedules.tables import FiringOutcome, JobSchedule, ScheduleFiring
from backend.jobs.states import FINAL
from backend.jobs.submit import check_request, ring, store_job
from backend.jobs.tables import Job
from backend.jobs.views import JobView, view

log = structlog.get_logger()

ON_TIME = timedelta(minutes=1)  # a firing this late needs no catch-up window


@dataclass(frozen=True, slots=True)
class Fired:
    """What one fire time of one schedule came to."""

    schedule: str
    fire_at: datetime
    outcome: FiringOutcome


def fire_due(book: ScheduleBook, *, now: datetime) -> list[Fired]:
    """Start the job of every schedule that is due; one that cannot be fired now does not keep the others back.

    Of several fire times that passed, only the latest counts. Any number of these may run at once.

    Raises:
        Unavailable: the database does not answer.
    """
    book.enter(now)
    due = select(JobSchedule.name).where(
        JobSchedule.name.in_(book.planned), JobSchedule.paused.is_(False), JobSchedule.next_at <= now
    )
    with transaction(read_only=True) as session:
        names = list(session.scalars(due.order_by(JobSchedule.next_at)))
    fired = []
    for name in names:
        try:
            one = _fire(book.planned[name], now)
        except Exception as error:  # noqa: BLE001 - a boundary: a check that fails ends neither beat nor the others
            log.warning("schedule_not_fired", schedule=name, error=type(error).__name__)
            continue
        if one is not None:
            log.info("schedule_fired", schedule=name, fire_at=one.fire_at.isoformat(), outcome=one.outcome)
            fired.append(one)
    return fired


def run_now(book: ScheduleBook, name: str, *, now: datetime) -> JobView:
    """Start a schedule's job at once, also while it is paused; its next fire time stays.

    Raises:
        NotFound: there is no such schedule.
        Conflict: its last job is not finished, or the code does not declare it any more.
        InputError: a check of the job kind refused the request.
    """
    book.enter(now)
    planned = book.planned.get(name)
    if planned is not None:
        check_request(planned.kind, planned.request)
    with transaction() as session:
        row = session.get(JobSchedule, name, with_for_update=True)
        if row is None:
            raise NotFound("schedule", name)
        if planned is None:
            raise Conflict(f"schedule {name} is not declared by this version of the software")
        if unfinished := _unfinished(session, row):
            raise Conflict(f"job {unfinished} of schedule {name} is not finished")
        job = store_job(session, planned.kind, planned.request)
        _enter(session, row, now, now, FiringOutcome.MANUAL, job=job)
    ring(job)
    return view(job)


def _fire(planned: Planned, now: datetime) -> Fired | None:
    """Fire one schedule in one transaction; None when another beat was faster.

    A check that fails is raised again, and asked again at the next look, until the catch-up window is over.
    """
    refusal: str | Exception | None
    try:
        refusal = _refusal(planned)  # a check may read the database: not inside the transaction
    except Exception as error:  # noqa: BLE001 - whatever it is, `_decide` raises it or finds that it is too late
        refusal = error
    job = None
    with transaction() as session:
        locked = select(JobSchedule).where(JobSchedule.name == planned.schedule.name)
        row = session.scalar(locked.with_for_update(skip_locked=True))
        if row is None or row.paused or row.next_at is None or row.next_at > now:
            return None
        fire_at = latest_fire(row.cron, row.timezone, since=row.next_at, until=now)
        row.next_at = next_fire(row.cron, row.timezone, after=now)
        if session.scalar(select(_entered(row.name, fire_at))):  # a clock that was set back
            return None
        outcome, note = _decide(session, row, now - fire_at, refusal)
        if outcome is FiringOutcome.STARTED:
            try:
                job = store_job(session, planned.kind, planned.request)
            except Conflict as error:  # somebody else started one
                outcome, note = FiringOutcome.SKIPPED_OVERLAP, str(error)[:200]
        _enter(session, row, fire_at, now, outcome, job=job, note=note)
    if job is not None:
        ring(job)
    return Fired(planned.schedule.name, fire_at, outcome)


def _decide(
    session: Session, row: JobSchedule, late: timedelta, refusal: str | Exception | None
) -> tuple[FiringOutcome, str | None]:
    if late > max(timedelta(seconds=row.catch_up_seconds), ON_TIME):
        return FiringOutcome.MISSED, None
    if unfinished := _unfinished(session, row):
        return FiringOutcome.SKIPPED_OVERLAP, f"job {unfinished} is not finished"
    if isinstance(refusal, Exception):
        raise refusal
    if refusal is not None:
        return FiringOutcome.REFUSED, refusal
    return FiringOutcome.STARTED, None


def _refusal(planned: Planned) -> str | None:
    try:
        check_request(planned.kind, planned.request)
    except InputError as error:
        return str(error)[:200]
    return None


def _unfinished(session: Session, row: JobSchedule) -> object:
    """Return the id of the schedule's last job if it is not finished: no earlier one can be."""
    return session.scalar(select(Job.id).where(Job.id == row.last_job_id, Job.state.not_in(FINAL)))


def _entered(name: str, fire_at: datetime) -> Exists:
    return exists().where(ScheduleFiring.schedule == name, ScheduleFiring.fire_at == fire_at)


def _enter(
    session: Session,
    row: JobSchedule,
    fire_at: datetime,
    now: datetime,
    outcome: FiringOutcome,
    *,
    job: Job | None,
    note: str | None = None,
) -> None:
    job_id = None if job is None else job.id
    session.add(ScheduleFiring(schedule=row.name, fire_at=fire_at, at=now, outcome=outcome, job_id=job_id, note=note))
    row.last_at, row.last_outcome, row.updated_at = now, outcome, now
    if job_id is not None:
        row.last_job_id = job_id
