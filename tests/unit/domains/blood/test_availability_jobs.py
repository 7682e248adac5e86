"""Availability and response time of single donors, on a small simulated service with the committed models."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest
from pydantic import ValidationError
from sqlalchemy import select, update

from backend.app import create_app
from backend.clock import utc_now
from backend.domains.blood.availability_jobs import (
    check_donors,
    predict_availability,
    predict_many_availabilities,
    predict_many_response_times,
    predict_response_time,
)
from backend.domains.blood.donor_schemas import DonorsRequest
from backend.domains.blood.seed import seed
from backend.domains.blood.tables import ContactOutcome, Donation, Donor
from backend.errors import NotFound, ValidationFailed
from backend.extensions import db, transaction
from backend.inference.client import ModelClient
from backend.jobs.context import JobContext, RecordingModels
from backend.settings import Settings
from tests.unit.conftest import create_tables

NOW = utc_now()
STRANGER = {"blood_group": "O+", "latitude": 9.97, "longitude": 76.28, "born_on": "1990-05-17", "sex": "male"}
OCCASION = {"blood_group": "O+", "latitude": 10.0, "longitude": 76.3, "urgency": 3}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Iterator[ModelClient]:
    app = create_app(Settings(data_dir=tmp_path_factory.mktemp("donors"), log_level="ERROR", _env_file=None))
    with app.app_context():
        create_tables()
        seed(donors=400, seed=3, progress=lambda _fraction, _note: None)
        yield app.extensions["models"]
        db.engine.dispose()


def a_context(models: ModelClient) -> JobContext:
    return JobContext(job_id=uuid4(), models=RecordingModels(models), clock=lambda: NOW)


def ask(models: ModelClient, **body):
    return predict_availability(DonorsRequest.model_validate(body), a_context(models))


def ask_one(models: ModelClient, **body):
    return ask(models, **body).donors[0]


def when(models: ModelClient, **body):
    return predict_response_time(DonorsRequest.model_validate(body), a_context(models))


def days(count: float) -> datetime:
    return NOW - timedelta(days=count)


def busy_donor() -> int:
    """A donor who was asked and has given whole blood long enough ago."""
    with transaction(read_only=True) as session:
        recent = select(Donation.donor_id).where(Donation.at > days(200))
        asked = select(ContactOutcome.donor_id).group_by(ContactOutcome.donor_id)
        query = select(Donor.id).where(Donor.consented, Donor.id.in_(asked), Donor.id.not_in(recent))
        query = query.where(Donor.deferred_until.is_(None), Donor.id.in_(select(Donation.donor_id)))
        return session.scalars(query.limit(1)).one()


def as_given(donor_id: int) -> dict:
    """A stored donor and everything on record, as a client would give it."""
    with transaction(read_only=True) as session:
        donor = session.get_one(Donor, donor_id)
        donations = session.scalars(select(Donation).where(Donation.donor_id == donor_id)).all()
        asks = session.scalars(select(ContactOutcome).where(ContactOutcome.donor_id == donor_id)).all()
    person = ("blood_group", "sex", "born_on", "latitude", "longitude", "weight_kg", "hemoglobin_g_dl")
    events = ("asked_at", "answer", "answered_at", "outcome", "ended_at")
    return {
        **{name: getattr(donor, name) for name in (*person, "consented", "deferred_until", "registered_at")},
        "donations": [{"at": one.at, "component": one.component} for one in donations],
        "asks": [{name: getattr(one, name) for name in events} for one in asks],
    }


def about(answer):
    return answer.model_dump(exclude={"donor_id", "place"})


def test_a_stored_donor_and_the_same_donor_given_inline_get_the_same_answer(models):
    donor = busy_donor()
    for predict in (ask, when):
        for occasion in ({}, {"request": OCCASION}):
            stored = predict(models, donor_id=donor, **occasion).donors[0]
            given = predict(models, donor=as_given(donor), **occasion).donors[0]
            assert (stored.donor_id, given.donor_id) == (donor, None)
            assert stored.asks > 0
            seen, told = about(stored), about(given)
            # the database counts seconds to the millisecond
            assert seen.pop("interval", {}) == pytest.approx(told.pop("interval", {}))
            assert seen == told


def test_many_donors_are_answered_in_the_order_asked_as_each_alone(models):
    donors = [7, STRANGER, 3, 7]
    together = ask(models, donors=donors).donors
    assert [(one.place, one.donor_id) for one in together] == [(0, 7), (1, None), (2, 3), (3, 7)]
    alone = [ask_one(models, donor_id=7), ask_one(models, donor=STRANGER), ask_one(models, donor_id=3)]
    for one, single in zip(together[:3], alone, strict=True):
        assert one.acceptance_probability == pytest.approx(single.acceptance_probability, abs=1e-12)
    assert about(together[0]) == about(together[3])


def test_availability_says_what_it_means(models):
    for donor in ask(models, donors=list(range(1, 200))).donors:
        expected = donor.acceptance_probability if donor.eligible else 0.0
        assert donor.availability_probability == expected
        assert donor.is_likely_available == (expected >= 0.5)
        assert donor.confidence == max(expected, 1 - expected)
        assert donor.interval.low <= donor.acceptance_probability <= donor.interval.high
        assert donor.eligible == (not donor.not_eligible)
        strengths = [abs(reason.contribution) for reason in donor.reasons]
        assert strengths == sorted(strengths, reverse=True)


def test_a_donor_without_history_gets_a_wider_answer(models):
    asks = [
        {"asked_at": days(d), "answer": "accepted", "answered_at": days(d - 0.1)} if d % 3 else {"asked_at": days(d)}
        for d in range(10, 400, 13)
    ]
    known, unknown = (
        ask_one(models, donor=STRANGER | {"registered_at": days(500), "asks": events}) for events in (asks, [])
    )
    assert (known.asks, unknown.asks) == (len(asks), 0)
    assert unknown.interval.high - unknown.interval.low > 0.15

    def odds_ratio(one) -> float:
        low, high = one.interval.low, one.interval.high
        return high / (1 - high) / (low / (1 - low))

    assert odds_ratio(unknown) > 1.5 * odds_ratio(known)


def test_a_donor_who_gave_lately_is_named_with_the_day_it_ends(models):
    given = STRANGER | {"donations": [{"at": days(20)}]}
    donor = ask_one(models, donor=given)
    assert not donor.eligible
    assert [reason.code for reason in donor.not_eligible] == ["donated_recently"]
    assert donor.eligible_on == donor.not_eligible[0].ends_on is not None
    assert (donor.availability_probability, donor.is_likely_available) == (0.0, False)
    assert donor.acceptance_probability > 0.0
    late = ask_one(models, donor=STRANGER | {"donations": [{"at": days(80)}]}, at=NOW + timedelta(days=15))
    assert late.eligible, "15 days ahead the 90 days are over"


def test_blood_that_does_not_fit_makes_a_donor_not_eligible(models):
    donor = ask_one(models, donor=STRANGER, request=OCCASION | {"blood_group": "O-"})
    assert [reason.code for reason in donor.not_eligible] == ["incompatible"]
    assert donor.eligible_on is None


def test_a_past_moment_sees_nothing_later(models):
    before = {"registered_at": days(900), "donations": [{"at": days(700)}]}
    early = {"asked_at": days(500), "answer": "accepted", "answered_at": days(499)}
    spanning = {"asked_at": days(301), "answer": "accepted", "answered_at": days(299)}
    later = [
        {"asked_at": days(250), "answer": "accepted", "answered_at": days(249)}
        | {"outcome": "donated", "ended_at": days(248)},
        {"asked_at": days(100)},
    ]
    moment = days(300)
    unanswered = {"asked_at": spanning["asked_at"]}
    clean = STRANGER | before | {"asks": [early, unanswered]}
    told = STRANGER | before | {"asks": [early, spanning, *later]}
    told |= {"donations": [*before["donations"], {"at": days(248)}], "deferred_until": NOW + timedelta(days=5)}
    for predict in (ask, when):
        seen, unseen = (predict(models, donor=donor, at=moment).donors[0] for donor in (told, clean))
        assert about(seen) | {"unchecked": []} == about(unseen) | {"unchecked": []}
        assert "deferred" in seen.unchecked, "nobody knows when the deferral was made"
    assert not ask_one(models, donor=told).eligible


def test_an_event_at_the_moment_itself_is_not_seen(models):
    moment = days(1)
    asked = STRANGER | {"registered_at": days(30), "asks": [{"asked_at": moment}], "donations": [{"at": moment}]}
    assert about(ask_one(models, donor=asked, at=moment)) == about(
        ask_one(models, donor=STRANGER | {"registered_at": days(30)}, at=moment)
    )


def test_the_curve_rises_to_the_horizon_and_the_median_is_of_those_who_answer(models):
    for urgency, horizon in ((1, 96.0), (4, 12.0)):
        result = when(models, donors=[5, STRANGER], request=OCCASION | {"urgency": urgency})
        assert result.horizon_hours == horizon
        for donor in result.donors:
            hours = [point.hours for point in donor.answered_within]
            assert hours[-1] == horizon
            assert all(a < b for a, b in pairwise(hours))
            assert all(a.probability <= b.probability for a, b in pairwise(donor.answered_within))
            assert 0.0 < donor.median_hours < 96.0
    stated = when(models, donor_id=5, request=OCCASION | {"needed_by": NOW + timedelta(hours=5)})
    assert stated.donors[0].answered_within[-1].hours == stated.horizon_hours == pytest.approx(5.0)


def test_no_contact_data_are_told(models):
    text = ask(models, donors=[1, 2]).model_dump_json() + when(models, donors=[1, 2]).model_dump_json()
    assert "Simulated donor" not in text
    assert "phone" not in text


def refused(**body) -> dict[str, str]:
    with pytest.raises(ValidationFailed) as caught:
        check_donors(DonorsRequest.model_validate(body))
    return {error.field: error.reason for error in caught.value.fields}


def test_unknown_donors_are_named_before_anything_is_stored(models):
    with pytest.raises(NotFound, match="no donor 999999"):
        check_donors(DonorsRequest(donor_id=999_999))
    assert refused(donors=[1, 999_999, STRANGER, 888_888]) == {
        "donors.1": "no donor 999999",
        "donors.3": "no donor 888888",
    }


def test_moments_that_make_no_sense_are_refused(models):
    assert "at" in refused(donor_id=1, at=utc_now() + timedelta(days=31))
    assert "donor_id" in refused(donor_id=1, at=days(20 * 365))
    assert "donor" in refused(donor=STRANGER | {"registered_at": NOW}, at=days(5))
    over = OCCASION | {"needed_by": days(2)}
    assert "request.needed_by" in refused(donor_id=1, request=over)
    check_donors(DonorsRequest(donor_id=1, at=utc_now() + timedelta(days=29)))


def test_a_donor_who_is_gone_when_the_job_runs_fails_it_with_the_id(models):
    with pytest.raises(NotFound, match="no donor 777777"):
        ask(models, donors=[1, 777_777])


def test_a_donor_who_withdrew_consent_is_not_eligible(models):
    with transaction() as session:
        session.execute(update(Donor).where(Donor.id == 9).values(consented=False))
    assert "not_consented" in [reason.code for reason in ask_one(models, donor_id=9).not_eligible]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"donor_id": 1, "donor": STRANGER},
        {"donors": []},
        {"donors": [1] * 1001},
        {"donor": STRANGER | {"asks": [{"asked_at": NOW, "answer": "accepted"}]}},
        {"donor": STRANGER | {"asks": [{"asked_at": NOW, "outcome": "donated", "ended_at": NOW}]}},
        {"donor": STRANGER | {"asks": [{"asked_at": NOW, "answer": "declined", "answered_at": days(1)}]}},
        {"donor": STRANGER | {"phone": "1"}},
    ],
)
def test_a_request_that_contradicts_itself_is_refused(body):
    with pytest.raises(ValidationError):
        DonorsRequest.model_validate(body)


def each_and_together(models: ModelClient, one, many, bodies: list[dict]) -> tuple[list, list]:
    requests = [DonorsRequest.model_validate(body) for body in bodies]
    shared = RecordingModels(models)
    contexts = [JobContext(job_id=uuid4(), models=shared, clock=lambda: NOW) for _ in requests]
    together = many(requests, contexts)
    assert {use.calls for use in shared.uses.values()} == {1}
    return [one(request, a_context(models)) for request in requests], together


def test_many_requests_are_answered_as_each_by_itself_with_one_call_of_the_model(models: ModelClient):
    bodies = [{"donor_id": 1}, {"donors": [2, STRANGER, 3], "request": OCCASION}, {"donor": STRANGER}]
    each, together = each_and_together(models, predict_availability, predict_many_availabilities, bodies)
    assert together == each
    each, together = each_and_together(models, predict_response_time, predict_many_response_times, bodies)
    assert together == each


def test_a_donor_who_is_gone_leaves_one_of_many_without_an_answer(models: ModelClient):
    requests = [DonorsRequest(donor_id=1), DonorsRequest(donor_id=10**9)]
    answers = predict_many_availabilities(requests, [a_context(models)] * 2)
    assert [answer is None for answer in answers] == [False, True]
    assert predict_many_response_times(requests[1:], [a_context(models)]) == [None]
