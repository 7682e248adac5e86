from pathlib import Path

import numpy as np
import pytest

from backend.domains.blood.outreach.outlook import State
from backend.domains.blood.records import Answer, Outcome
from backend.domains.blood.simulate.world import Life, live
from backend.inference.catalogue import Catalogue
from backend.inference.client import ModelClient
from benchmarks.outreach_month import Month
from benchmarks.outreach_policies import Planner, Some, _states

END = 1_780_000_000.0
MODELS = Path(__file__).parents[2] / "models_artifacts"


@pytest.fixture(scope="module")
def before() -> Life:
    return live(donors=600, seed=4, end=END, years=0.2)


@pytest.fixture(scope="module")
def planner() -> Planner:
    models = ModelClient(Catalogue(MODELS), threads=1)
    return Planner(models)


@pytest.fixture(scope="module")
def planned(before: Life, planner: Planner) -> Month:
    month = Month(before, seed=4)
    month.play(planner)
    return month


def test_the_planner_asks_nobody_twice_for_one_request(planned: Month) -> None:
    waves = [len(batches) for batches in planned.batches]
    assert max(waves) > 1
    for batches in planned.batches:
        donors = [donor for batch in batches for donor in batch.record.donor.tolist()]
        assert len(donors) == len(set(donors))


def test_the_planner_expects_something_of_everybody_it_asked(planned: Month, planner: Planner) -> None:
    for row in np.flatnonzero(planned.alerts()).tolist():
        asked = planner._asked(planned, row)
        assert len(asked) == len(asked.p) == len(asked.keep) == len(asked.hazards) == planned.alerts()[row]
        assert ((asked.p > 0.0) & (asked.p <= 1.0)).all()


def test_the_planner_says_at_its_first_look_what_can_be_reached(planned: Month, planner: Planner) -> None:
    assert set(np.flatnonzero(planned.alerts()).tolist()) <= set(planner.first_reachable)
    assert all(0.0 <= reachable <= 1.0 for reachable in planner.first_reachable.values())


def test_the_nearest_are_asked_before_those_further_away(before: Life) -> None:
    month = Month(before, seed=4)
    month.play(Some(base_rate=0.9, request_sd=0.4, seed=None))
    batch = max((batch for batches in month.batches for batch in batches), key=lambda batch: len(batch.record))
    assert (np.diff(batch.record.distance_km) >= 0.0).all()


def test_states_are_what_is_known_at_a_moment(planned: Month) -> None:
    batch = next(
        batch for batches in planned.batches for batch in batches if (batch.deeds.outcome == Outcome.DONATED).any()
    )
    gave = np.flatnonzero((batch.deeds.outcome == Outcome.DONATED) & (batch.record.answer == Answer.ACCEPTED))[0]
    ended_at = float(batch.deeds.ended_at[gave])
    assert _states(batch, ended_at - 1.0)[gave] == State.ACCEPTED
    assert _states(batch, ended_at)[gave] == State.DONATED
