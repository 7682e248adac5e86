from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domains.blood.response import (
    answered_by_edge,
    answered_within,
    median_hours,
    median_of_answers,
    person_periods,
)

EDGES = np.array([0.0, 1.0, 3.0, 7.0])
HAZARDS = st.lists(st.floats(0.01, 0.9), min_size=3, max_size=3).map(lambda h: np.array([h]))


class ConstantHazard:
    """A model client whose only model answers every row alike."""

    def __init__(self, hazard: float) -> None:
        self.hazard = hazard
        self.rows = np.empty((0, 0))

    def manifest(self, model: str) -> SimpleNamespace:
        assert model == "donor_response_time"
        return SimpleNamespace(parameters={"edges_hours": EDGES.tolist()})

    def predict(self, model: str, rows: np.ndarray) -> np.ndarray:
        assert model == "donor_response_time"
        self.rows = rows
        return np.full(len(rows), self.hazard)


def test_a_donor_becomes_one_row_for_each_bin_with_the_time_it_begins() -> None:
    rows = person_periods(np.array([[5.0, 6.0], [7.0, 8.0]]), EDGES)
    assert rows.tolist() == [[5, 6, 0], [5, 6, 1], [5, 6, 3], [7, 8, 0], [7, 8, 1], [7, 8, 3]]


def test_the_chance_of_an_answer_is_what_the_bins_leave_over() -> None:
    assert answered_by_edge(np.array([[0.5, 0.5, 0.0]])).tolist() == [[0.0, 0.5, 0.75, 0.75]]


@given(HAZARDS)
def test_the_chance_of_an_answer_never_falls_with_time(hazards: np.ndarray) -> None:
    hours = np.linspace(0.0, 10.0, 41)
    chance = answered_within(np.repeat(hazards, len(hours), axis=0), EDGES, hours)
    assert (np.diff(chance) >= -1e-12).all()
    assert chance[0] == 0.0
    assert chance[-1] == pytest.approx(1.0 - np.prod(1.0 - hazards))


@given(HAZARDS)
def test_half_of_those_who_answer_have_done_so_by_the_median(hazards: np.ndarray) -> None:
    median = median_of_answers(hazards, EDGES)
    ever = 1.0 - np.prod(1.0 - hazards)
    assert answered_within(hazards, EDGES, median)[0] == pytest.approx(ever / 2.0)


def test_who_never_answers_has_no_median() -> None:
    assert np.isnan(median_of_answers(np.zeros((1, 3)), EDGES)[0])


def test_median_hours_come_from_the_model_and_the_edges_of_its_manifest() -> None:
    models = ConstantHazard(0.5)
    hours = median_hours(models, np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert models.rows.shape == (6, 3)
    # 0.875 answer at all; 0.4375 of them lie in the first hour, linearly.
    assert hours.tolist() == pytest.approx([0.875, 0.875])


def test_no_donors_have_no_hours() -> None:
    assert median_hours(ConstantHazard(0.5), np.empty((0, 2))).shape == (0,)
