"""Rescoring every donor, on a real SQLite file with the committed model."""

from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import delete, select, update

from backend.clock import utc_now
from backend.domains.blood import reliability_jobs
from backend.domains.blood.domain import DOMAIN
from backend.domains.blood.reliability_jobs import check_rescore, rescore_reliability
from backend.domains.blood.schemas import RescoreRequest
from backend.domains.blood.tables import ContactOutcome, Donor, DonorReliability
from backend.errors import ArtifactError, ValidationFailed
from backend.extensions import transaction
from backend.jobs.claim import claim
from backend.jobs.context import JobContext, RecordingModels
from backend.jobs.execute import Worker, execute
from backend.jobs.leases import LeaseKeeper
from backend.jobs.states import JobState
from backend.jobs.submit import submit
from backend.jobs.tables import JOB
from backend.jobs.views import get_job
from backend.ml.calibration import LogisticCalibration
from tests.unit.conftest import SilentDoorbell
from tests.unit.domains.blood.conftest import SEEDED_DONORS

# Tests begin several at a time and end none of them.
KIND = next(replace(kind, unique=None) for kind in DOMAIN.job_kinds if kind.name == "blood.rescore_reliability")
COUNTED = ("donated", "no_show", "late_cancel")


class Killed(BaseException):
    """What SIGKILL is to a process, to a function."""


@pytest.fixture
def service(seeded_app: Flask, monkeypatch) -> Flask:
    monkeypatch.setattr(reliability_jobs, "CHUNK", 250)
    seeded_app.extensions["doorbell"] = SilentDoorbell()
    return seeded_app


def begin(app: Flask, **request) -> JobContext:
    job = submit(KIND, RescoreRequest(**request))
    (held,) = claim(KIND, job.id, worker="w", lease=timedelta(seconds=30))
    return context_of(app, held)


def context_of(app: Flask, held) -> JobContext:
    models = RecordingModels(app.extensions["models"])
    return JobContext(job_id=held.job_id, attempt=held.attempt, checkpoint=held.checkpoint, models=models)


def rescore(app: Flask, **request):
    return rescore_reliability(RescoreRequest(**request), begin(app, **request))


def scores() -> dict[int, DonorReliability]:
    with transaction(read_only=True) as session:
        return {row.donor_id: row for row in session.scalars(select(DonorReliability))}


def what_is_scored(rows: dict[int, DonorReliability]) -> dict[int, tuple]:
    return {i: (row.as_of, row.mean, row.lower_10, row.n, row.commitments) for i, row in rows.items()}


def test_every_donor_is_scored_as_matching_would_score_it(service: Flask):
    result = rescore(service)
    rows = scores()
    assert (result.donors, len(rows)) == (SEEDED_DONORS, SEEDED_DONORS)
    assert result.with_commitments == sum(row.commitments > 0 for row in rows.values()) > 50
    manifest = service.extensions["models"].manifest("donor_reliability")
    prior, fitted = manifest.parameters["prior"], manifest.calibration
    line = LogisticCalibration(slope=fitted.slope, intercept=fitted.intercept)
    for row in rows.values():
        assert row.lower_10 < row.mean
        assert row.as_of == result.as_of
    unknown = [row for row in rows.values() if row.commitments == 0]
    expected = line.apply(prior["kept"] / (prior["kept"] + prior["broken"]))
    assert [row.mean for row in unknown] == pytest.approx([float(expected)] * len(unknown))


def test_counts_are_those_of_accepted_commitments_that_ended(service: Flask):
    rescore(service)
    with transaction(read_only=True) as session:
        ended = session.execute(
            select(ContactOutcome.donor_id, ContactOutcome.outcome).where(ContactOutcome.ended_at < utc_now())
        ).all()
    counted = {row.donor_id: row.commitments for row in scores().values()}
    for donor, count in counted.items():
        assert count == sum(who == donor and outcome in COUNTED for who, outcome in ended)


def test_a_broken_commitment_lowers_a_score_and_a_medical_deferral_does_not(service: Flask):
    moment = utc_now()

    def scored_with(outcome: str) -> DonorReliability:
        with transaction() as session:
            session.execute(update(ContactOutcome).where(ContactOutcome.id == chosen.id).values(outcome=outcome))
        rescore(service, as_of=moment)
        return scores()[chosen.donor_id]

    with transaction(read_only=True) as session:
        chosen = session.scalars(select(ContactOutcome).where(ContactOutcome.outcome == "donated").limit(1)).one()
    kept, deferred, called_off, broken = map(scored_with, ("donated", "deferred", "request_cancelled", "no_show"))
    assert broken.mean < deferred.mean < kept.mean
    assert what_is_scored({0: deferred}) == what_is_scored({0: called_off})


def test_an_earlier_moment_sees_nothing_later(service: Flask):
    long_ago = utc_now() - timedelta(days=100 * 365)
    result = rescore(service, as_of=long_ago)
    assert result.with_commitments == 0
    assert {row.commitments for row in scores().values()} == {0}


def test_a_score_of_an_earlier_moment_does_not_replace_a_later_one(service: Flask):
    rescore(service)
    now = what_is_scored(scores())
    rescore(service, as_of=utc_now() - timedelta(days=400))
    assert what_is_scored(scores()) == now


def test_rescoring_the_same_moment_twice_changes_nothing(service: Flask):
    moment = utc_now()
    rescore(service, as_of=moment)
    first = what_is_scored(scores())
    rescore(service, as_of=moment)
    assert what_is_scored(scores()) == first


def test_a_killed_job_goes_on_where_it_was_with_the_moment_it_began_with(service: Flask, monkeypatch):
    job = submit(KIND, RescoreRequest())
    written = []
    write = reliability_jobs.write_scores

    def write_and_die(session, rows):
        write(session, rows)
        written.append([row["donor_id"] for row in rows])
        if len(written) == 2:
            raise Killed

    monkeypatch.setattr(reliability_jobs, "write_scores", write_and_die)
    (first,) = claim(KIND, job.id, worker="w", lease=timedelta(seconds=-1))
    with pytest.raises(Killed):
        rescore_reliability(RescoreRequest(), context_of(service, first))
    assert len(scores()) == 250, "the second chunk was not committed"
    began = next(iter(scores().values())).as_of

    with transaction() as session:
        session.execute(update(JOB).where(JOB.c.id == job.id).values(state="queued"))
    (second,) = claim(KIND, job.id, worker="w", lease=timedelta(seconds=30))
    context = context_of(service, second)
    result = rescore_reliability(RescoreRequest(), context)
    assert result.donors == SEEDED_DONORS
    assert result.as_of == began
    assert {row.as_of for row in scores().values()} == {began}
    again = [donor for chunk in written[2:] for donor in chunk]
    assert sorted(written[0] + again) == sorted(scores()), "each donor was committed once"
    assert context.fraction == 1.0


def test_a_donor_deleted_meanwhile_is_left_out(service: Flask):
    rescore(service)
    gone = max(scores())
    with transaction() as session:
        session.execute(delete(Donor).where(Donor.id == gone))
    assert gone not in scores()
    assert rescore(service).donors == SEEDED_DONORS - 1


def test_a_donor_deleted_between_read_and_write_costs_an_attempt_and_nothing_else(service: Flask, monkeypatch):
    read = reliability_jobs.ended_commitments

    def read_and_delete(session, *, first, last, before):
        ended = read(session, first=first, last=last, before=before)
        if first <= 300 <= last:
            with transaction() as other:
                other.execute(delete(Donor).where(Donor.id == 300))
        return ended

    monkeypatch.setattr(reliability_jobs, "ended_commitments", read_and_delete)
    models = service.extensions["models"]
    lease = timedelta(seconds=30)
    leases = LeaseKeeper(service.app_context, lease=lease)
    worker = Worker(name="w", models=models, leases=leases, lease=lease, news=service.extensions["news"])
    job = submit(KIND, RescoreRequest())
    execute(KIND, job.id, worker)
    assert get_job(job.id).state is JobState.QUEUED
    assert len(scores()) == 250, "the chunk before is kept"
    with transaction() as session:
        session.execute(update(JOB).where(JOB.c.id == job.id).values(available_at=utc_now()))
    execute(KIND, job.id, worker)
    done = get_job(job.id)
    assert (done.state, done.attempt) == (JobState.SUCCEEDED, 2)
    assert done.result["donors"] == len(scores()) == SEEDED_DONORS - 1


def test_a_moment_to_come_is_refused(service: Flask):
    with pytest.raises(ValidationFailed, match="not come yet"):
        check_rescore(RescoreRequest(as_of=utc_now() + timedelta(hours=1)))


def test_a_model_without_a_prior_is_said_to_be_wrong(service: Flask, monkeypatch):
    context = begin(service)
    manifest = context.models.manifest("donor_reliability").model_copy(update={"parameters": {}})
    monkeypatch.setattr(context.models, "manifest", lambda _name: manifest)
    with pytest.raises(ArtifactError, match="ReliabilityParameters"):
        rescore_reliability(RescoreRequest(), context)
