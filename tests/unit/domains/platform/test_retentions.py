"""What leaves the platform's own tables, and what must stay."""

from datetime import timedelta
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import update

from backend.clock import utc_now
from backend.domains.platform.domain import DOMAIN
from backend.extensions import transaction
from backend.jobs.kinds import JobKind
from backend.jobs.states import JobState
from backend.jobs.submit import submit
from backend.jobs.tables import Job
from backend.webhooks.tables import WebhookDelivery
from tests.unit.conftest import Number

RETENTIONS = {retention.table: retention for retention in DOMAIN.retentions}
DAY = timedelta(days=1)


def old_job(kind: JobKind, *, state: JobState):
    job = submit(kind, Number())
    with transaction() as session:
        values = {"created_at": utc_now() - 9 * DAY, "finished_at": utc_now() - 8 * DAY, "state": state}
        session.execute(update(Job).where(Job.id == job.id).values(values))
    return job.id


def leaving(table):
    with transaction(read_only=True) as session:
        return {row.id for row in session.execute(RETENTIONS[table].oldest(utc_now() - 7 * DAY, limit=100))}


@pytest.mark.parametrize(
    ("state", "leaves"), [(JobState.SUCCEEDED, True), (JobState.DEAD, True), (JobState.QUEUED, False)]
)
def test_a_delivery_leaves_when_it_is_old_unless_it_is_on_its_way_and_its_jobs_stay_as_long(
    app: Flask, kind: JobKind, state, leaves
):
    about, carries, other = (
        old_job(kind, state=JobState.SUCCEEDED),
        old_job(kind, state=state),
        old_job(kind, state=JobState.SUCCEEDED),
    )
    delivery = WebhookDelivery(id=uuid4(), type="job.succeeded", job_id=about, delivery_job_id=carries, attempts=[])
    delivery.created_at = utc_now() - 8 * DAY
    with transaction() as session:
        session.add(delivery)
    assert leaving(WebhookDelivery) == ({delivery.id} if leaves else set())
    assert leaving(Job) == {other}
