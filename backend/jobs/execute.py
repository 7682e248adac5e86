"""The one way a job runs: claim, work outside any transaction, finish. Celery calls it and so do the tests."""

import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog
from kombu.exceptions import OperationalError
from pydantic import ValidationError

from backend.errors import Cancelled, Expired, HandedBack, LeaseLost, SanguineError, TimedOut, Unavailable
from backend.inference.client import ModelClient
from backend.jobs import finish
from backend.jobs.claim import Claim, claim, urgent_waits
from backend.jobs.context import JobContext, RecordingModels
from backend.jobs.kinds import JobKind
from backend.jobs.leases import LeaseKeeper
from backend.jobs.news import News
from backend.jobs.parts import Parts, advance
from backend.jobs.ring import current_doorbell
from backend.jobs.states import Priority
from backend.jobs.together import run_together

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Worker:
    """What a worker process brings to every job."""

    name: str
    models: ModelClient
    leases: LeaseKeeper
    lease: timedelta
    news: News
    announce: Callable[[], object] = lambda: None  # the ends of jobs that somebody awaits


def execute(kind: JobKind, job_id: UUID, worker: Worker) -> int:
    """Claim what the ring stands for and run it; returns how many jobs were claimed.

    Raises:
        Unavailable: the database does not answer; whatever was claimed comes back when its lease runs out.
    """
    claims = claim(kind, job_id, worker=worker.name, lease=worker.lease)
    attempts = [(claimed, _context(claimed, worker)) for claimed in claims]
    with ExitStack() as held:
        for claimed, context in attempts:
            held.enter_context(worker.leases.holding(claimed, context))
        left = attempts
        if kind.run_many is not None and len(attempts) > 1:
            left = run_together(kind, attempts)
            alone = {claimed.job_id for claimed, _ in left}
            _tell(worker, [claimed for claimed in claims if claimed.job_id not in alone])
        for claimed, context in left:
            with structlog.contextvars.bound_contextvars(
                job_id=str(claimed.job_id), kind=kind.name, attempt=claimed.attempt
            ):
                try:
                    _attempt(kind, claimed, context)
                except LeaseLost:
                    log.warning("lease_lost")
                    continue
                _tell(worker, [claimed])
    return len(claims)


def _tell(worker: Worker, ended: Sequence[Claim]) -> None:
    """Say that attempts have ended, and move on the jobs that they were parts of."""
    parents = {claimed.parent_id for claimed in ended if claimed.parent_id is not None}
    for parent_id in parents:
        advance(parent_id)
    worker.news.tell(*(claimed.job_id for claimed in ended), *parents)
    if parents or any(claimed.notify for claimed in ended):
        try:
            worker.announce()
        except Unavailable as error:  # the reconciler's task does it again
            log.warning("announcement_delayed", reason=error)


def _context(claimed: Claim, worker: Worker) -> JobContext:
    return JobContext(
        job_id=claimed.job_id,
        attempt=claimed.attempt,
        checkpoint=claimed.checkpoint,
        finish_by=claimed.finish_by,
        gives_way=partial(urgent_waits, claimed.queue) if claimed.priority > Priority.URGENT else lambda: False,
        models=RecordingModels(worker.models),
    )


def _attempt(kind: JobKind, claimed: Claim, context: JobContext) -> None:
    transient: tuple[type[Exception], ...] = (TimedOut, *kind.retry_on)
    context.begin(timeout=kind.timeout)
    try:
        context.check()  # it may have been asked to end while it waited for its turn
        request = kind.request.model_validate(claimed.request)
        result = kind.run(request, context)
        context.check()
        if isinstance(result, Parts):
            finish.split(claimed, result)
            advance(claimed.job_id)
        else:
            finish.succeed(claimed, result, context)
    except LeaseLost:
        raise
    except Expired as error:
        finish.expire(claimed, message=str(error))
        log.info("job_expired")
    except Cancelled:
        finish.cancel_running(claimed)
        log.info("job_cancelled")
    except HandedBack as error:
        finish.hand_back(claimed)
        log.info("job_handed_back", reason=error)
        _ring_again(kind, claimed)
    except transient as error:
        code = error.code if isinstance(error, SanguineError) else type(error).__name__
        state = finish.retry(claimed, code=code, message=_safe_message(error), backoff=kind.backoff)
        log.warning("attempt_failed", code=code, state=state)
    except SanguineError as error:
        finish.fail(claimed, code=error.code, message=str(error))
        log.warning("job_failed", code=error.code)
    except Exception as error:  # noqa: BLE001 - see below
        # A boundary: whatever a job raises ends that job and never the worker. The text of a foreign exception may
        # quote data, so only its type and the places it passed are kept.
        finish.fail(claimed, code="internal_error", message=_safe_message(error))
        log.error("job_failed", code="internal_error", error=type(error).__name__, at=_places(error))  # noqa: TRY400 - the traceback's text may quote data
    else:
        log.info("job_split" if isinstance(result, Parts) else "job_succeeded")


def _ring_again(kind: JobKind, claimed: Claim) -> None:
    """Ring in this thread: the process may end before another one did."""
    try:
        current_doorbell().publish(kind.name, claimed.queue, claimed.job_id, priority=claimed.priority)
    except OperationalError as error:
        log.warning("ring_lost", error=type(error).__name__)


def _safe_message(error: Exception) -> str:
    if isinstance(error, SanguineError):
        return str(error)
    if isinstance(error, ValidationError):
        return "the stored request does not fit the schema of its kind"
    return f"{type(error).__name__} (details are in the worker's log)"


def _places(error: Exception) -> list[str]:
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
