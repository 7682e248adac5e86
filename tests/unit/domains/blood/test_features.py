from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domains.blood import features
from backend.domains.blood.features import (
    AVAILABILITY_FEATURES,
    FEATURES,
    MATCH_FEATURES,
    RELIABILITY_FEATURES,
    RESPONSE_FEATURES,
    Asks,
    FeatureMatrix,
    availability_features,
    match_features,
    reliability_features,
    response_features,
)
from backend.domains.blood.history import History
from backend.domains.blood.horizons import DAY, HOUR
from backend.domains.blood.records import Answer, Contacts, Donations, Donors, Outcome, Sex

DONORS = 6
NOW = 1_780_000_000.0
ALL = (availability_features, response_features, reliability_features, match_features)
Table = Donations | Contacts


def random_donors(rng: np.random.Generator) -> Donors:
    return Donors(
        id=np.arange(1, DONORS + 1),
        latitude=np.full(DONORS, 10.0),
        longitude=np.full(DONORS, 76.3),
        district=np.zeros(DONORS, dtype=np.int8),
        blood_group=rng.integers(0, 9, DONORS).astype(np.int8),
        sex=rng.integers(0, 3, DONORS).astype(np.int8),
        born_at=NOW - rng.uniform(20, 60, DONORS) * 365.25 * DAY,
        weight_kg=np.where(rng.random(DONORS) < 0.3, np.nan, 60.0).astype(np.float32),
        hemoglobin_g_dl=np.full(DONORS, np.nan, dtype=np.float32),
        registered_at=NOW - rng.uniform(800, 900, DONORS) * DAY,
        consented=np.ones(DONORS, dtype=np.bool_),
        deferred_until=np.full(DONORS, np.nan),
    )


def random_donations(rng: np.random.Generator, count: int) -> Donations:
    at = NOW + np.round(rng.uniform(-500, 100, count)) * DAY  # whole days, so that some fall on `as_of` itself
    return Donations(rng.integers(0, DONORS, count).astype(np.int32), at, np.zeros(count, dtype=np.int8))


def random_contacts(rng: np.random.Generator, count: int) -> Contacts:
    asked_at = NOW + np.round(rng.uniform(-500, 100, count)) * DAY
    answer = rng.integers(0, 3, count)
    outcome = np.where(answer == Answer.ACCEPTED, rng.integers(0, 6, count), Outcome.PENDING)
    answered_at = asked_at + np.round(rng.uniform(0, 3, count), 1) * DAY
    return Contacts(
        donor=rng.integers(0, DONORS, count).astype(np.int32),
        request=np.arange(count),
        asked_at=asked_at,
        distance_km=np.ones(count, dtype=np.float32),
        answer=answer.astype(np.int8),
        answered_at=np.where(answer == Answer.NONE, np.nan, answered_at),
        arrived_at=np.full(count, np.nan),
        outcome=outcome.astype(np.int8),
        ended_at=np.where(outcome == Outcome.PENDING, np.nan, answered_at + np.round(rng.uniform(0, 5, count)) * DAY),
    )


def asks_at(rng: np.random.Generator, as_of: float) -> Asks:
    return Asks(
        donor=np.arange(DONORS, dtype=np.int32),
        as_of=np.full(DONORS, as_of),
        distance_km=rng.uniform(0, 50, DONORS),
        urgency=rng.integers(1, 5, DONORS).astype(float),
        units=np.full(DONORS, 2.0),
        hours_until_needed=np.where(rng.random(DONORS) < 0.5, np.nan, 30.0),
        group_match=np.ones(DONORS),
    )


def chosen(table: Table, rows: np.ndarray) -> Table:
    return type(table)(**{f.name: getattr(table, f.name)[rows] for f in fields(table)})


def as_known(contacts: Contacts, as_of: float) -> Contacts:
    """What the records showed at `as_of`: later rows gone, later columns of earlier rows not filled in yet."""
    answered, ended = contacts.answered_at < as_of, contacts.ended_at < as_of
    seen = replace(
        contacts,
        answer=np.where(answered, contacts.answer, Answer.NONE).astype(np.int8),
        answered_at=np.where(answered, contacts.answered_at, np.nan),
        outcome=np.where(ended, contacts.outcome, Outcome.PENDING).astype(np.int8),
        ended_at=np.where(ended, contacts.ended_at, np.nan),
    )
    known = chosen(seen, contacts.asked_at < as_of)
    assert isinstance(known, Contacts)
    return known


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_nothing_at_or_after_the_ask_changes_a_feature(seed: int) -> None:
    rng = np.random.default_rng(seed)
    donors, donations, contacts = random_donors(rng), random_donations(rng, 40), random_contacts(rng, 60)
    everything = History.build(donors=donors, donations=donations, contacts=contacts)
    earlier = chosen(donations, donations.at < NOW)
    assert isinstance(earlier, Donations)
    known = History.build(donors=donors, donations=earlier, contacts=as_known(contacts, NOW))
    asks = asks_at(rng, NOW)
    for function in ALL:
        np.testing.assert_array_equal(function(everything, asks).values, function(known, asks).values)


def slowly(donors: Donors, donations: Donations, contacts: Contacts, donor: int, as_of: float) -> dict[str, float]:
    """The history features of one donor again, by loops over plain lists."""

    def halved(times: list[float], weights: list[float] | None = None) -> float:
        return sum(
            w * 2.0 ** ((t - as_of) / (365 * DAY)) for t, w in zip(times, weights or [1.0] * len(times), strict=True)
        )

    given_ = [t for d, t in zip(donations.donor, donations.at, strict=True) if d == donor and t < as_of]
    mine = [i for i in range(len(contacts)) if contacts.donor[i] == donor]
    asked = [contacts.asked_at[i] for i in mine if contacts.asked_at[i] < as_of]
    answered = [i for i in mine if contacts.answered_at[i] < as_of]
    accepted = [contacts.answered_at[i] for i in answered if contacts.answer[i] == Answer.ACCEPTED]
    ended = {
        kind: [contacts.ended_at[i] for i in mine if contacts.ended_at[i] < as_of and contacts.outcome[i] == kind]
        for kind in Outcome
    }
    kept = halved(ended[Outcome.DONATED])
    absent, late = halved(ended[Outcome.NO_SHOW]), halved(ended[Outcome.LATE_CANCEL])
    n = kept + absent + late
    settled = [t for kind in (Outcome.DONATED, Outcome.NO_SHOW, Outcome.LATE_CANCEL) for t in ended[kind]]
    answers = halved([contacts.answered_at[i] for i in answered])
    hours = halved(
        [contacts.answered_at[i] for i in answered],
        [(contacts.answered_at[i] - contacts.asked_at[i]) / HOUR for i in answered],
    )
    sex = donors.sex[donor]
    return {
        "is_female": {Sex.FEMALE: 1.0, Sex.MALE: 0.0}.get(Sex(sex), np.nan),
        "total_donations": len(given_),
        "donations_last_365d": sum(t >= as_of - 365 * DAY for t in given_),
        "days_since_last_donation": (as_of - max(given_, default=np.nan)) / DAY,
        "days_since_registered": (as_of - donors.registered_at[donor]) / DAY,
        "asks_last_30d": sum(t >= as_of - 30 * DAY for t in asked),
        "days_since_last_ask": (as_of - max(asked, default=np.nan)) / DAY,
        "acceptance_rate": (4 * 0.17 + halved(accepted)) / (4 + halved(asked)),
        "answered_rate": (4 * 0.5 + answers) / (4 + halved(asked)),
        "mean_response_hours": hours / answers if answered else np.nan,
        "completion_rate": (3 * 0.78 + kept) / (3 + n),
        "no_show_rate": (3 * 0.07 + absent) / (3 + n),
        "late_cancel_rate": (3 * 0.15 + late) / (3 + n),
        "decayed_commitments": n,
        "months_since_last_outcome": (as_of - max(settled, default=np.nan)) / (365.25 * DAY / 12),
    }


@given(st.integers(0, 2**32 - 1), st.integers(-400, 100))
@settings(max_examples=40, deadline=None)
def test_features_equal_a_slow_recount(seed: int, day: int) -> None:
    rng = np.random.default_rng(seed)
    donors, donations, contacts = random_donors(rng), random_donations(rng, 40), random_contacts(rng, 60)
    history = History.build(donors=donors, donations=donations, contacts=contacts)
    as_of = NOW + day * DAY
    asks = asks_at(rng, as_of)
    tables = [function(history, asks) for function in ALL]
    for donor in range(DONORS):
        for name, expected in slowly(donors, donations, contacts, donor, as_of).items():
            for table in tables:
                if name in table.names:
                    assert table.column(name)[donor] == pytest.approx(expected, nan_ok=True), name


def empty_history(rng: np.random.Generator) -> History:
    return History.build(
        donors=random_donors(rng), donations=random_donations(rng, 0), contacts=random_contacts(rng, 0)
    )


def test_a_donor_nobody_asked_is_described_by_the_priors_alone() -> None:
    rng = np.random.default_rng(0)
    table = availability_features(empty_history(rng), asks_at(rng, NOW))
    assert table.column("acceptance_rate") == pytest.approx(np.full(DONORS, features.PRIOR_ACCEPTANCE))
    assert table.column("completion_rate") == pytest.approx(np.full(DONORS, features.PRIOR_KEPT))
    assert np.isnan(table.column("days_since_last_donation")).all()
    assert (table.column("decayed_commitments") == 0.0).all()


def test_the_priors_of_how_commitments_end_sum_to_one() -> None:
    total = features.PRIOR_KEPT + features.PRIOR_NO_SHOW + features.PRIOR_LATE_CANCEL
    assert total == pytest.approx(1.0)


def test_the_hour_is_that_of_a_clock_in_kerala() -> None:
    rng = np.random.default_rng(0)
    half_past_midnight_utc = np.floor(NOW / DAY) * DAY + 0.5 * HOUR
    table = match_features(empty_history(rng), asks_at(rng, half_past_midnight_utc))
    assert table.column("hour_sin") == pytest.approx(np.ones(DONORS))  # 6 in the morning
    assert table.column("hour_cos") == pytest.approx(np.zeros(DONORS), abs=1e-9)


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (availability_features, AVAILABILITY_FEATURES),
        (response_features, RESPONSE_FEATURES),
        (reliability_features, RELIABILITY_FEATURES),
        (match_features, MATCH_FEATURES),
    ],
)
def test_every_column_is_named_described_and_in_order(
    function: Callable[[History, Asks], FeatureMatrix], names: tuple[str, ...]
) -> None:
    rng = np.random.default_rng(0)
    table = function(empty_history(rng), asks_at(rng, NOW))
    assert table.names == names
    assert len(set(names)) == len(names)
    assert set(names) <= set(FEATURES)
    assert table.values.shape == (DONORS, len(names))
    assert table.values.flags.c_contiguous


def test_reliability_sees_five_columns_and_none_of_them_is_about_declining() -> None:
    assert set(RELIABILITY_FEATURES) == {
        "completion_rate",
        "no_show_rate",
        "late_cancel_rate",
        "decayed_commitments",
        "months_since_last_outcome",
    }


@pytest.mark.parametrize("outcome", [Outcome.DEFERRED, Outcome.REQUEST_CANCELLED])
def test_a_medical_deferral_and_a_cancelled_request_say_nothing_of_the_donor(outcome: Outcome) -> None:
    rng = np.random.default_rng(0)
    contacts = replace(
        random_contacts(rng, 1),
        donor=np.zeros(1, dtype=np.int32),
        outcome=np.array([outcome], dtype=np.int8),
        ended_at=np.array([NOW - DAY]),
    )
    history = History.build(donors=random_donors(rng), donations=random_donations(rng, 0), contacts=contacts)
    table = reliability_features(history, asks_at(rng, NOW))
    assert table.column("decayed_commitments")[0] == 0.0
    assert np.isnan(table.column("months_since_last_outcome")[0])
