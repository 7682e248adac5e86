"""The match job on a small simulated service, with the committed models."""

import itertools
from collections.abc import Iterator
from datetime import UTC, timedelta
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import func, select, update

from backend.app import create_app
from backend.clock import utc_now
from backend.domains.blood import match_jobs
from backend.domains.blood.domain import DOMAIN
from backend.domains.blood.donor_pool import DonorPool
from backend.domains.blood.history_lookup import match_history
from backend.domains.blood.match_jobs import check_match, match_donors
from backend.domains.blood.schemas import HistoryQuery, InlineRequest, MatchRequest
from backend.domains.blood.seed import OPEN_REQUEST, seed
from backend.domains.blood.tables import BloodRequest, Donor, MatchPrediction
from backend.errors import NotFound, ValidationFailed
from backend.extensions import db, transaction
from backend.inference.client import ModelClient
from backend.jobs.context import JobContext, RecordingModels
from backend.settings import Settings
from tests.unit.conftest import create_tables

KOCHI = {"latitude": 9.97, "longitude": 76.28}


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Iterator[ModelClient]:
    folder = tmp_path_factory.mktemp("service")
    app = create_app(Settings(data_dir=folder, log_level="ERROR", _env_file=None))
    with app.app_context():
        create_tables()
        seed(donors=900, seed=3, progress=lambda _fraction, _note: None)
        yield app.extensions["models"]
        db.engine.dispose()


@pytest.fixture(autouse=True)
def fresh_pool(monkeypatch):
    monkeypatch.setattr(match_jobs, "POOL", DonorPool())


def a_request(**changes) -> InlineRequest:
    return InlineRequest(**({"blood_group": "B+", "urgency": 3, "units_required": 2, **KOCHI} | changes))


def a_context(models: ModelClient) -> JobContext:
    return JobContext(job_id=uuid4(), models=RecordingModels(models))


def matched(models: ModelClient, *, top_k=None, radius_km=60.0, context=None, save=False, **request):
    asked = MatchRequest(request=a_request(**request), top_k=top_k, radius_km=radius_km, save_predictions=save)
    return match_donors(asked, context or a_context(models))


def test_the_best_donors_come_first_with_everything_about_them(service):
    result = matched(service, top_k=10)
    assert [match.rank for match in result.matches] == list(range(1, 11))
    scores = [match.match_score for match in result.matches]
    others = [match.match_score for match in matched(service, top_k=500).matches[10:]]
    assert min(scores) > np.median(others), "groups that are scarce and donors just asked give way a little, no more"
    for match in result.matches:
        assert match.match_score_low <= match.match_score <= match.match_score_high
        assert match.blood_group in {"B+", "B-", "O+", "O-"}
        assert match.distance_km <= 60
        assert len(match.reasons) == 5
        strengths = [abs(reason.contribution) for reason in match.reasons]
        assert strengths == sorted(strengths, reverse=True)


def test_fewer_asked_for_are_the_first_of_more(service):
    context = a_context(service)
    few = matched(service, top_k=3, context=context)
    many = matched(service, top_k=30, context=context)
    assert [m.donor_id for m in many.matches[:3]] == [m.donor_id for m in few.matches]


def test_every_donor_is_a_match_or_counted_once_as_left_out(service):
    result = matched(service, top_k=500)
    with transaction(read_only=True) as session:
        donors = session.scalar(select(func.count()).select_from(Donor))
    assert result.ask.pool + sum(result.excluded.values()) == donors


def test_urgency_never_lowers_a_score(service):
    by_urgency = [
        {m.donor_id: m.match_score for m in matched(service, top_k=500, urgency=urgency).matches}
        for urgency in (1, 2, 3, 4)
    ]
    for calmer, more_urgent in itertools.pairwise(by_urgency):
        shared = calmer.keys() & more_urgent.keys()
        assert shared
        assert all(more_urgent[donor] >= calmer[donor] for donor in shared)


def test_more_time_and_a_shorter_way_never_lower_a_score(service):
    now = utc_now()
    hurried = matched(service, top_k=500, needed_by=now + timedelta(hours=2))
    patient = matched(service, top_k=500, needed_by=now + timedelta(hours=40))
    scores = {m.donor_id: m.match_score for m in hurried.matches}
    shared = [m for m in patient.matches if m.donor_id in scores]
    assert shared
    assert all(m.match_score >= scores[m.donor_id] for m in shared)


def test_a_donor_who_withdrew_a_moment_ago_is_not_named(service, monkeypatch):
    pool = match_jobs.POOL
    first = matched(service, top_k=5)
    gone = first.matches[0].donor_id
    snapshot = pool.snapshot()
    with transaction() as session:
        session.execute(update(Donor).where(Donor.id == gone).values(consented=False))
    try:
        monkeypatch.setattr(pool, "snapshot", lambda: snapshot)  # as a large pool that is still catching up
        again = matched(service, top_k=5)
        assert gone not in [m.donor_id for m in again.matches]
        assert len(again.matches) == 5
    finally:
        with transaction() as session:
            session.execute(update(Donor).where(Donor.id == gone).values(consented=True))


def test_how_many_to_ask_says_what_is_reached(service):
    one = matched(service, units_required=1, radius_km=200).ask
    several = matched(service, units_required=4, radius_km=200).ask
    assert one.reached
    assert one.probability >= one.target == 0.95
    assert one.donors < several.donors
    hopeless = matched(service, units_required=20, radius_km=3).ask
    assert not hopeless.reached
    assert hopeless.donors == hopeless.pool
    assert hopeless.probability < 0.95


def test_units_and_urgency_decide_how_many_are_returned(service):
    calm = matched(service, urgency=1, units_required=1, radius_km=200)
    urgent = matched(service, urgency=4, units_required=2, radius_km=200)
    assert len(calm.matches) < len(urgent.matches)


def test_nobody_within_reach_is_a_success_that_says_why(service):
    far = matched(service, latitude=-40.0)
    assert (far.matches, far.reason) == ([], "no donor is registered within 60 km")
    assert far.ask.donors == 0


def test_bombay_patients_get_bombay_donors_only(service):
    result = matched(service, blood_group="Oh", radius_km=5)
    assert result.matches == []
    assert "may give to Oh" in str(result.reason)


def test_saved_predictions_are_read_back_as_they_were_answered(service):
    context = a_context(service)
    asked = MatchRequest(request_id=OPEN_REQUEST, top_k=4, radius_km=200, save_predictions=True)
    result = match_donors(asked, context)
    assert result.saved
    assert len(context.stored) == len(result.matches) == 4
    assert all(isinstance(row, MatchPrediction) for row in context.stored)
    with pytest.raises(NotFound):
        match_history(HistoryQuery(request_id=10**9))


def test_an_unknown_or_cancelled_request_is_not_found_before_anything_is_stored(service):
    with pytest.raises(NotFound):
        check_match(MatchRequest(request_id=10**9))
    with transaction(read_only=True) as session:
        cancelled = session.scalars(
            select(BloodRequest.id).where(BloodRequest.cancelled_at.is_not(None)).limit(1)
        ).one()
    with pytest.raises(NotFound):
        check_match(MatchRequest(request_id=cancelled))


def test_a_request_whose_time_is_over_is_refused(service):
    over = a_request(needed_by=utc_now() - timedelta(hours=1))
    with pytest.raises(ValidationFailed, match="is over"):
        check_match(MatchRequest(request=over))


def test_only_the_models_of_the_domain_are_used_and_remembered(service):
    context = a_context(service)
    matched(service, context=context)
    assert set(context.models.uses) == set(DOMAIN.models)
    assert context.models.uses["donor_seeker_match"].rows > 0


def test_the_moment_decides_not_the_clock_of_the_machine(service):
    early = a_context(service)
    early.clock = lambda: utc_now() - timedelta(days=365)
    result = matched(service, context=early)
    assert result.as_of.tzinfo is UTC
    assert np.isfinite([m.match_score for m in result.matches]).all()


def test_seeding_a_database_that_has_donors_changes_nothing(service):
    assert "already has 900 donors" in seed(donors=5, seed=1, progress=lambda _fraction, _note: None)
