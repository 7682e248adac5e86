"""What the database and the folder of files say after the run."""

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, Engine, select

from backend.files.tables import JobFile
from backend.jobs.schedules.tables import FiringOutcome, ScheduleFiring
from backend.jobs.states import FINAL, AttemptOutcome
from backend.jobs.tables import Job, JobAttempt, ModelPredictionLog
from tests.chaos.orders import FILE_ROWS
from tests.chaos.tables import Chunk, Effect

MATCH_MODEL = "donor_seeker_match"
SCHEDULED = "hourly_stock"


@dataclass(frozen=True, slots=True)
class JobRow:
    id: UUID
    kind: str
    state: str
    attempt: int
    max_attempts: int
    parent_id: UUID | None
    created_at: datetime
    finished_at: datetime | None
    chunks: int  # asked for, 0 of a kind without any


@dataclass(slots=True)
class Evidence:
    """Everything that was stored."""

    jobs: dict[UUID, JobRow] = field(default_factory=dict)
    attempts: dict[UUID, list[str]] = field(default_factory=lambda: defaultdict(list))  # outcomes, in order
    effects: dict[UUID, list[int]] = field(default_factory=lambda: defaultdict(list))  # by which attempts
    chunks: Counter[tuple[UUID, int]] = field(default_factory=Counter)
    whole_files: set[UUID] = field(default_factory=set)  # jobs whose result is there, with every row once
    firings: Counter[str] = field(default_factory=Counter)  # by outcome
    scheduled_jobs: int = 0

    def unfinished(self) -> set[UUID]:
        return {job.id for job in self.jobs.values() if job.state not in FINAL}


def gather(engine: Engine, files: Path) -> Evidence:
    """Read everything at once."""
    evidence = Evidence()
    with engine.connect() as connection:
        _read_jobs(connection, evidence)
        _read_effects(connection, evidence)
        _read_files(connection, evidence, files)
        _read_firings(connection, evidence)
    return evidence


def _read_jobs(connection: Connection, evidence: Evidence) -> None:
    columns = (Job.id, Job.kind, Job.state, Job.attempt, Job.max_attempts, Job.parent_id, Job.created_at)
    for *row, finished_at, request in connection.execute(select(*columns, Job.finished_at, Job.request)):
        chunks = request["chunks"] if row[1] == "chaos.chunks" else 0
        evidence.jobs[row[0]] = JobRow(*row, finished_at, chunks)
    attempts = select(JobAttempt.job_id, JobAttempt.outcome).order_by(JobAttempt.job_id, JobAttempt.number)
    for job_id, outcome in connection.execute(attempts):
        evidence.attempts[job_id].append(outcome or "unknown")


def _read_effects(connection: Connection, evidence: Evidence) -> None:
    for job_id, attempt in connection.execute(select(Effect.job_id, Effect.attempt)):
        evidence.effects[job_id].append(attempt)
    # The effect of a match is the row of its model's call; it does not say which attempt, so the one that succeeded.
    matches = select(ModelPredictionLog.job_id).where(ModelPredictionLog.model == MATCH_MODEL)
    for job_id in connection.scalars(matches):
        outcomes = evidence.attempts[job_id]
        succeeded = AttemptOutcome.SUCCEEDED in outcomes
        evidence.effects[job_id].append(outcomes.index(AttemptOutcome.SUCCEEDED) + 1 if succeeded else 0)
    evidence.chunks.update(
        (job_id, number) for job_id, number in connection.execute(select(Chunk.job_id, Chunk.number))
    )


def _read_files(connection: Connection, evidence: Evidence, files: Path) -> None:
    stored = select(JobFile.job_id, JobFile.role, JobFile.format, JobFile.sha256).where(JobFile.role == "result")
    for job_id, role, format_, sha256 in connection.execute(stored):
        path = files / str(job_id) / f"{role}.{format_}"
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content).hexdigest() == sha256 and len(content.splitlines()) == FILE_ROWS + 1:
            evidence.whole_files.add(job_id)


def _read_firings(connection: Connection, evidence: Evidence) -> None:
    fired = select(ScheduleFiring.outcome).where(ScheduleFiring.schedule == SCHEDULED)
    evidence.firings.update(connection.scalars(fired))
    evidence.scheduled_jobs = sum(job.kind == "blood.review_stock" for job in evidence.jobs.values())


def started(evidence: Evidence) -> int:
    """Return how many fire times started a job."""
    return evidence.firings[FiringOutcome.STARTED]
