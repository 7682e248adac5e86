"""Questions about donors, a donor a row: the same answers whenever they are asked, and those of single requests."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from backend.clock import utc_now
from backend.domains.blood import scorers
from backend.domains.blood.availability_jobs import predict_availability, predict_response_time
from backend.domains.blood.donor_schemas import DonorsRequest
from backend.domains.blood.scorers import SCORERS, DonorRow, score_availability, score_response_time
from backend.domains.blood.tables import BloodRequest, ContactOutcome, Donation
from backend.extensions import transaction
from backend.inference.client import ModelClient
from backend.jobs.context import JobContext, RecordingModels
from backend.resources.declaration import Refused
from tests.unit.batches.file_service import FileService
from tests.unit.domains.blood.conftest import SEEDED_DONORS

SCORE = {scorer.name: scorer.score for scorer in SCORERS}


@pytest.fixture
def models(seeded_app: Flask) -> ModelClient:
    return seeded_app.extensions["models"]


def rows(*ids: int) -> list[DonorRow]:
    return [DonorRow(donor_id=one) for one in ids]


@pytest.mark.parametrize("name", SCORE)
def test_each_row_has_an_answer_of_its_columns_or_a_refusal(models, name):
    scorer = next(one for one in SCORERS if one.name == name)
    found = scorer.score(rows(1, 10**6, 2, 2, 1), models, utc_now())
    assert found[1] == Refused("donor_id", "there is no such donor")
    answered = [found[place] for place in (0, 2, 3, 4)]
    assert [one[0] for one in answered] == [1, 2, 2, 1]
    assert {len(one) for one in answered} == {len(scorer.columns)}
    assert (answered[0], answered[1]) == (answered[3], answered[2]), "a donor may be asked about twice"


def test_the_answers_are_those_of_single_requests(models):
    at = utc_now()
    ids = tuple(range(1, 40))
    context = JobContext(job_id=uuid4(), models=RecordingModels(models), clock=lambda: at)
    request = DonorsRequest(donors=ids, at=at)
    single = predict_availability(request, context).donors
    for one, found in zip(single, score_availability(rows(*ids), models, at), strict=True):
        assert found == (
            one.donor_id,
            one.eligible,
            one.eligible_on,
            pytest.approx(one.acceptance_probability),
            pytest.approx(one.availability_probability),
        )
    for one, found in zip(
        predict_response_time(request, context).donors, score_response_time(rows(*ids), models, at), strict=True
    ):
        assert found[:2] == (one.donor_id, one.eligible)
        assert found[2] is None or found[2] == pytest.approx(one.median_hours, abs=0.005)


def test_who_may_not_be_asked_is_not_available(models):
    found = score_availability(rows(*range(1, SEEDED_DONORS + 1)), models, utc_now())
    assert {one[1] for one in found if not isinstance(one, Refused)} == {True, False}
    for _, eligible, _, accepts, available in (one for one in found if not isinstance(one, Refused)):
        assert 0.0 <= accepts <= 1.0
        assert available == (accepts if eligible else 0.0)


def test_how_many_are_looked_up_together_makes_no_difference(models, monkeypatch):
    at, asked = utc_now(), rows(*range(1, 30), 10**6, *range(30, 60))
    together = {name: score(asked, models, at) for name, score in SCORE.items()}
    monkeypatch.setattr(scorers, "MOST_DONORS", 7)
    for name, score in SCORE.items():
        for one, other in zip(score(asked, models, at), together[name], strict=True):
            assert one == other if isinstance(other, Refused) else one == pytest.approx(other)


def test_a_donor_who_came_later_was_not_there_then(models):
    long_ago = datetime(1999, 1, 1, tzinfo=UTC)
    for score in SCORE.values():
        assert score(rows(1), models, long_ago) == [Refused("donor_id", "the donor was registered later")]


def test_nobody_asked_about_is_nobody_answered(models):
    for score in SCORE.values():
        assert score([], models, utc_now()) == []
        assert score(rows(10**6), models, utc_now()) == [Refused("donor_id", "there is no such donor")]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    donor=st.integers(1, 20),
    days=st.floats(0.0, 200.0),
    component=st.sampled_from(["red_cells", "platelets"]),
    answer=st.sampled_from([None, "accepted", "declined"]),
)
def test_what_happens_later_changes_no_answer(models, donor, days, component, answer):
    as_of = utc_now().replace(microsecond=0) - timedelta(days=200)  # SQLite is read to the millisecond
    later = as_of + timedelta(days=days)
    before = {name: score(rows(*range(1, 21)), models, as_of) for name, score in SCORE.items()}
    with transaction() as session:
        session.add(Donation(donor_id=donor, at=later, component=component))
        taken = select(ContactOutcome.request_id).where(ContactOutcome.donor_id == donor)
        request = session.scalar(select(func.max(BloodRequest.id)).where(BloodRequest.id.not_in(taken)))
        answered = None if answer is None else later + timedelta(hours=1)
        session.add(
            ContactOutcome(
                donor_id=donor, request_id=request, asked_at=later, answer=answer, answered_at=answered, distance_km=3.0
            )
        )
    assert {name: score(rows(*range(1, 21)), models, as_of) for name, score in SCORE.items()} == before


def test_a_batch_of_donors_answers_all_of_them(seeded_app: Flask):
    service = FileService(seeded_app)
    body = "donor_id,note\n" + "".join(f"{one},x\n" for one in range(1, SEEDED_DONORS + 2)) + "0,\n1.5,\nx,\n"
    for name in SCORE:
        done = service.finish(service.upload(f"/batches?scorer={name}", body))
        assert (done["state"], done["result"]["done"], done["failed"]) == ("succeeded", SEEDED_DONORS, 4)
        assert {reason for row, _, reason in service.refused(done["id"]) if row == SEEDED_DONORS + 1} == {
            "there is no such donor"
        }
        assert [row["row"] for row in service.rows(done["id"], "result")[:2]] == ["1", "2"]
