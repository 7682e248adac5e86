"""What the committed models say of donors for outreach."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domains.blood.history import History
from backend.domains.blood.horizons import HOUR
from backend.domains.blood.outreach.planner import LEAST_CHANCE
from backend.domains.blood.outreach_scoring import MODELS, Occasion, chances, hazard_edges, prospects
from backend.domains.blood.records import GROUP_CODE, Component, Contacts, Donations
from backend.inference.catalogue import Catalogue
from backend.inference.client import ModelClient
from backend.settings import PROJECT

NOON = 1_772_433_000.0  # 2026-03-02 12:00 in Kerala
DONORS = 12


@pytest.fixture(scope="module")
def models() -> ModelClient:
    return ModelClient(Catalogue(PROJECT / "models_artifacts"))


@pytest.fixture(scope="module")
def history(make_donors) -> History:
    """Donors of all groups, none of whom ever gave or was asked."""
    none = np.zeros(0)
    rows = {"donor": none.astype(np.int32), "at": none, "component": none.astype(np.int8)}
    contacts = dict.fromkeys(Contacts.__dataclass_fields__, none) | {"donor": none.astype(np.int32)}
    groups = [GROUP_CODE[group] for group in ("O-", "O+", "B-", "B+")] * (DONORS // 4)
    return History.build(
        donors=make_donors(DONORS, blood_group=groups), donations=Donations(**rows), contacts=Contacts(**contacts)
    )


def an_occasion(*, hours=24.0, urgency=3) -> Occasion:
    return Occasion(
        blood_group=GROUP_CODE["B+"],
        component=Component.RED_CELLS,
        urgency=urgency,
        units=2,
        deadline=NOON + hours * HOUR,
    )


def found(models, history, rows, *, km=5.0, at=NOON, resting=(), **occasion):
    return prospects(
        models,
        history,
        an_occasion(**occasion),
        rows=np.array(rows, dtype=np.int32),
        distance_km=np.full(len(rows), km),
        at=at,
        resting_asks=np.array(resting, dtype=np.int64),
    )


def expected(models, history, rows, asked_at, *, km=5.0, **occasion):
    return chances(
        models,
        history,
        an_occasion(**occasion),
        rows=np.array(rows, dtype=np.int32),
        distance_km=np.full(len(rows), km),
        asked_at=np.asarray(asked_at, dtype=np.float64),
    )


def test_prospects_keep_the_order_of_the_donors_and_all_about_them(models, history):
    one = found(models, history, range(DONORS), resting=(3, 1))
    assert (np.diff(one.donor) > 0).all()
    n = len(one.donor)
    assert n > 0
    assert one.hazards.shape == (n, len(hazard_edges(models)) - 1)
    assert {len(one.p), len(one.distance_km), len(one.scarcity), len(one.recent_asks)} == {n}
    assert ((one.p >= 0) & (one.p <= 1)).all()
    assert one.resting_asks.tolist() == [3, 1]
    assert (one.recent_asks == 0).all()


def test_the_identical_group_is_no_sacrifice_and_o_negative_the_greatest(models, history):
    one = found(models, history, range(DONORS))
    costs = {int(history.donors.blood_group[row]): cost for row, cost in zip(one.donor, one.scarcity, strict=True)}
    assert min(costs, key=costs.__getitem__) == GROUP_CODE["B+"]
    assert max(costs, key=costs.__getitem__) == GROUP_CODE["O-"]


def test_nobody_to_ask_is_no_fault(models, history):
    none = found(models, history, [])
    assert (len(none.donor), len(none.p), none.hazards.shape[0]) == (0, 0, 0)
    nothing = expected(models, history, [], [])
    assert (len(nothing.p), len(nothing.keep), len(nothing.hazards)) == (0, 0, 0)


@settings(max_examples=25, deadline=None)
@given(hours=st.floats(0.0, 96.0), more=st.floats(0.0, 48.0), km=st.floats(0.0, 60.0))
def test_a_chance_is_a_probability_and_none_when_the_deadline_is_over(models, history, hours, more, km):
    rows = list(range(DONORS))
    before = expected(models, history, rows, [NOON] * DONORS, km=km, hours=hours)
    assert ((before.p >= 0) & (before.p <= 1)).all()
    assert ((before.keep >= 0) & (before.keep <= 1)).all()
    over = expected(models, history, rows, [NOON] * DONORS, km=km, hours=-more)
    assert (over.p == 0.0).all()


def test_what_was_expected_of_an_ask_is_what_its_prospect_was(models, history):
    one = found(models, history, range(DONORS))
    then = expected(models, history, one.donor, [NOON] * len(one.donor))
    np.testing.assert_allclose(then.p, one.p)
    np.testing.assert_allclose(then.hazards, one.hazards)


def test_each_ask_is_judged_by_its_own_moment_and_not_by_its_company(models, history):
    moments = NOON + HOUR * np.arange(DONORS)
    together = expected(models, history, range(DONORS), moments)
    for row in (0, 5, DONORS - 1):
        alone = expected(models, history, [row], moments[[row]])
        np.testing.assert_allclose(alone.p, together.p[[row]])
        np.testing.assert_allclose(alone.keep, together.keep[[row]])


def test_who_has_next_to_no_chance_is_left_out(models, history, monkeypatch):
    class Hopeless:
        manifest = models.manifest

        def predict(self, model, rows):
            scores = models.predict(model, rows)
            return np.where(np.arange(len(rows)) % 2, scores, LEAST_CHANCE / 2) if model == MODELS[1] else scores

    assert (found(Hopeless(), history, range(DONORS)).donor % 2 == 1).all()
