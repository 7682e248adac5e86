from ast import literal_eval
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from backend.domains.blood.geography import DISTRICTS, distance_km
from backend.domains.blood.horizons import HOUR, hours_until_deadline
from backend.domains.blood.records import Answer, Component, Outcome, Sex
from backend.domains.blood.rules import compatible_groups
from backend.domains.blood.simulate import World, WorldParameters, simulate
from backend.domains.blood.simulate.demand import requests_per_day
from backend.domains.blood.simulate.places import hospitals
from backend.ml.metrics import auc

END = 1_780_000_000.0
DAY = 86_400.0


@pytest.fixture(scope="module")
def world() -> World:
    return simulate(donors=2000, seed=3, end=END)


def request_rows(world: World) -> np.ndarray:
    return np.searchsorted(world.requests.id, world.contacts.request)


def labels(world: World) -> tuple[np.ndarray, np.ndarray]:
    """Contacts of requests that ran to their deadline (rows,), and whether each gave before it."""
    contacts, requests, row = world.contacts, world.requests, request_rows(world)
    hours = hours_until_deadline(
        urgency=requests.urgency[row], hours_until_needed=(requests.needed_by[row] - contacts.asked_at) / HOUR
    )
    deadline = contacts.asked_at + HOUR * hours
    over = np.flatnonzero(np.isnan(requests.cancelled_at[row]) & (deadline < END))
    return over, ((contacts.outcome == Outcome.DONATED) & (contacts.ended_at <= deadline))[over]


def test_the_same_seed_gives_the_same_world_and_another_seed_another() -> None:
    first, again, other = (simulate(donors=200, seed=seed, end=END).fingerprint() for seed in (3, 3, 4))
    assert first == again != other


def test_nothing_on_record_lies_after_the_end(world: World) -> None:
    contacts = world.contacts
    times = (contacts.asked_at, contacts.answered_at, contacts.arrived_at, contacts.ended_at, world.donations.at)
    for at in (*times, world.requests.created_at, world.donors.registered_at):
        assert np.nanmax(at) < END


def test_a_contact_goes_from_the_ask_over_the_answer_and_arrival_to_the_end(world: World) -> None:
    contacts = world.contacts
    assert not (contacts.answered_at < contacts.asked_at).any()
    assert not (contacts.arrived_at < contacts.answered_at).any()
    assert not (contacts.ended_at < contacts.arrived_at).any()
    assert (np.isnan(contacts.answered_at) == (contacts.answer == Answer.NONE)).all()
    assert (np.isnan(contacts.ended_at) == (contacts.outcome == Outcome.PENDING)).all()


def test_only_consenting_compatible_adults_who_may_give_are_asked(world: World) -> None:
    contacts, donors, row = world.contacts, world.donors, request_rows(world)
    age = (contacts.asked_at - donors.born_at[contacts.donor]) / (365.25 * DAY)
    assert donors.consented[contacts.donor].all()
    assert (age >= 18).all()
    assert (age <= 65.1).all()
    for request in range(0, len(world.requests), 97):
        component = Component(int(world.requests.component[request]))
        allowed = compatible_groups(int(world.requests.blood_group[request]), component)
        assert allowed[donors.blood_group[contacts.donor[row == request]]].all()


def test_donations_of_one_donor_keep_the_interval(world: World) -> None:
    order = np.lexsort((world.donations.at, world.donations.donor))
    donor, at = world.donations.donor[order], world.donations.at[order]
    same = np.diff(donor) == 0
    shortest = np.where(world.donors.sex[donor[1:]] == Sex.FEMALE, 120.0, 90.0)[same]
    # A donor may accept while a deadline of days is still ahead, never give earlier than the interval allows.
    assert (np.diff(at)[same] / DAY >= shortest - 1e-6).all()


def test_donors_live_around_towns_and_not_on_a_centroid(world: World) -> None:
    donors = world.donors
    home = np.array([(d.latitude, d.longitude) for d in DISTRICTS])[donors.district]
    away = distance_km(donors.latitude, donors.longitude, home[:, 0], home[:, 1])
    assert away.min() > 0.05
    assert 8.0 < np.median(away) < 40.0


def test_requests_are_concentrated_on_few_hospitals() -> None:
    weight = np.sort(hospitals().weight)[::-1]
    population = np.array([d.population_thousands for d in DISTRICTS])
    by_district = np.bincount(hospitals().district, weights=hospitals().weight)
    assert weight.sum() == pytest.approx(1.0)
    assert weight[:14].sum() > 0.5
    assert by_district.argmax() == [d.name for d in DISTRICTS].index("Ernakulam")
    assert by_district.argmax() != population.argmax()


def test_an_oracle_tells_donors_apart_as_well_as_published_models_allow(world: World) -> None:
    rows, in_time = labels(world)
    assert 0.78 < auc(in_time, world.truth.donated_in_time[rows].astype(np.float64)) < 0.86


def test_the_oracle_is_calibrated(world: World) -> None:
    certain = replace(WorldParameters(), outcome_lost_share=0.0)
    complete = simulate(donors=4000, seed=5, end=END, parameters=certain)
    rows, in_time = labels(complete)
    assert complete.truth.donated_in_time[rows].mean() == pytest.approx(in_time.mean(), rel=0.05)
    accepted = complete.contacts.answer[rows] == Answer.ACCEPTED
    assert complete.truth.accept[rows].mean() == pytest.approx(accepted.mean(), rel=0.05)


def test_some_outcomes_are_lost_though_the_donation_is_on_record(world: World) -> None:
    contacts = world.contacts
    old = (contacts.answer == Answer.ACCEPTED) & (contacts.asked_at < END - 30 * DAY)
    lost = (contacts.outcome[old] == Outcome.PENDING).mean()
    assert lost == pytest.approx(WorldParameters().outcome_lost_share, abs=0.02)


def test_women_are_deferred_on_site_far_more_often(world: World) -> None:
    contacts = world.contacts
    came = np.isin(contacts.outcome, (Outcome.DONATED, Outcome.DEFERRED))
    sex = world.donors.sex[contacts.donor]
    women, men = ((contacts.outcome[came & (sex == s)] == Outcome.DEFERRED).mean() for s in (Sex.FEMALE, Sex.MALE))
    assert 0.10 < women < 0.30
    assert 0.02 < men < 0.06


def test_urgency_raises_acceptance_and_distance_lowers_it(world: World) -> None:
    contacts, urgency = world.contacts, world.requests.urgency[request_rows(world)]
    accepted = contacts.answer == Answer.ACCEPTED
    assert accepted[urgency == 4].mean() > accepted[urgency == 1].mean()
    assert accepted[contacts.distance_km < 5].mean() > 2 * accepted[contacts.distance_km > 25].mean()


def test_some_donors_far_away_are_asked_too(world: World) -> None:
    far = world.contacts.distance_km > WorldParameters().radius_km
    assert 0.02 < far.mean() < 0.15


def test_history_reaches_back_before_the_first_request(world: World) -> None:
    assert world.donations.at.min() < world.requests.created_at.min() - 365 * DAY


def test_requests_grow_less_than_donors_and_never_beyond_the_state() -> None:
    parameters = WorldParameters()
    assert requests_per_day(4000, parameters) < 2 * requests_per_day(2000, parameters)
    assert requests_per_day(100_000_000, parameters) == parameters.requests_per_day_most


def test_progress_is_told_up_to_the_whole() -> None:
    heard: list[float] = []
    simulate(donors=100, seed=0, end=END, years=0.1, progress=lambda fraction, _stage: heard.append(fraction))
    assert heard == sorted(heard)
    assert heard[-1] == pytest.approx(1.0)


def test_every_parameter_is_documented_with_its_value() -> None:
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    for field in fields(WorldParameters):
        written = page.partition(f"| `{field.name}` | ")[2].partition(" |")[0]
        assert written, field.name
        assert literal_eval(written) == field.default, field.name
