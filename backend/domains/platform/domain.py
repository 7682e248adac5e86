"""What every installation does for itself, declared as a domain declares it."""

from datetime import datetime

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import aliased

from backend.audit.retention import Retention
from backend.batches.imports import IMPORT_FILE, IMPORT_PART
from backend.batches.predict import PREDICT_FILE, PREDICT_PART
from backend.domains.domain import Domain
from backend.domains.platform.cleanup_jobs import clean_up
from backend.domains.platform.schemas import CleanupRequest, CleanupResult
from backend.errors import ArchiveError, Unavailable
from backend.files.tables import JobFile
from backend.jobs.kinds import JobKind, Unique
from backend.jobs.schedules.declaration import Schedule
from backend.jobs.schedules.tables import ScheduleFiring
from backend.jobs.states import FINAL
from backend.jobs.tables import Job, JobAttempt, ModelPredictionLog
from backend.registry.compile_job import COMPILE_MODEL
from backend.security.permissions import Permission
from backend.webhooks.deliver import DELIVER_WEBHOOK
from backend.webhooks.tables import WebhookDelivery


def _unfinished_or_recent(cutoff: datetime) -> ColumnElement[bool]:
    part = aliased(Job)
    has_parts = select(part.id).where(part.parent_id == Job.id).exists()
    return or_(Job.state.not_in(FINAL), Job.finished_at.is_(None), Job.finished_at >= cutoff, has_parts)


def _on_its_way(_cutoff: datetime) -> ColumnElement[bool]:
    return select(Job.id).where(Job.id == WebhookDelivery.delivery_job_id, Job.state.not_in(FINAL)).exists()


DOMAIN = Domain(
    name="platform",
    tables="backend.jobs.schedules.tables",
    job_kinds=(
        JobKind(
            name="platform.cleanup",
            path="/cleanup",
            summary="Archive and delete what is older than its retention",
            permission=Permission.OPERATE,
            request=CleanupRequest,
            result=CleanupResult,
            run=clean_up,
            queue="batch",
            unique=Unique.KIND,
            timeout=1800,  # a next attempt goes on
            retries=3,
            retry_on=(Unavailable, ArchiveError),
        ),
        PREDICT_FILE,
        PREDICT_PART,
        IMPORT_FILE,
        IMPORT_PART,
        DELIVER_WEBHOOK,
        COMPILE_MODEL,
    ),
    schedules=(Schedule(name="nightly_cleanup", kind="platform.cleanup", cron="30 3 * * *"),),
    retentions=(
        Retention(table=ModelPredictionLog, time="at"),
        Retention(table=ScheduleFiring, time="at"),
        Retention(table=WebhookDelivery, time="created_at", protected=_on_its_way),
        # By `created_at`, which has an index; it leaves a year after its end all the same.
        Retention(table=Job, time="created_at", parts=(JobAttempt, JobFile), protected=_unfinished_or_recent),
    ),
)
