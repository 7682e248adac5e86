import gc
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import lightgbm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from backend.inference.runtimes import lightgbm_single_row
from backend.inference.runtimes.lightgbm_single_row import SingleRow

KINDS: dict[str, dict[str, object]] = {
    "probability": {"objective": "binary"},
    "number": {"objective": "regression"},
    "linear trees": {"objective": "regression", "linear_tree": True},
    "zero is missing": {"objective": "regression", "zero_as_missing": True},
    "average of trees": {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
}


def make_rows() -> np.ndarray:
    """Rows of three numbers and a category, some of them missing."""
    random = np.random.default_rng(1)
    rows = np.column_stack((random.normal(size=(600, 3)), random.integers(0, 40, 600)))
    rows[random.random(rows.shape) < 0.1] = np.nan
    return rows


ROWS = make_rows()


@cache
def booster(kind: str = "probability") -> lightgbm.Booster:
    return train(kind)


def train(kind: str = "probability") -> lightgbm.Booster:
    options = {"num_leaves": 15, "num_threads": 1, "verbosity": -1} | KINDS[kind]
    labels = np.nan_to_num(ROWS) @ [1.0, 2.0, -1.0, 0.1]
    labels = labels > 0.0 if options["objective"] == "binary" else labels
    trained = lightgbm.train(options, lightgbm.Dataset(ROWS, labels, categorical_feature=[3]), num_boost_round=20)
    return lightgbm.Booster(model_str=trained.model_to_string())


@cache
def single(kind: str) -> SingleRow:
    return SingleRow(booster(kind), threads=1)


def expected(model: lightgbm.Booster, rows: np.ndarray) -> np.ndarray:
    return model.predict(rows, num_threads=1)


NUMBERS = st.one_of(
    st.floats(-3.0, 3.0), st.floats(), st.integers(-2, 70).map(float), st.sampled_from([0.0, -0.0, 1e-36, np.nan])
)


@given(kind=st.sampled_from(list(KINDS)), row=st_numpy.arrays(np.float64, (1, 4), elements=NUMBERS))
def test_every_row_gets_exactly_what_the_booster_predicts(kind: str, row: np.ndarray) -> None:
    np.testing.assert_array_equal(single(kind).predict(row), expected(booster(kind), row))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_forest_is_found_to_predict_the_same(kind: str) -> None:
    assert SingleRow.find(booster(kind), ROWS, expected(booster(kind), ROWS), threads=1) is not None


def test_eight_threads_with_one_predictor_get_bit_identical_outputs() -> None:
    wanted = expected(booster(), ROWS)

    def agrees(place: int) -> bool:
        return single("probability").predict(ROWS[place : place + 1])[0] == wanted[place]

    with ThreadPoolExecutor(max_workers=8) as pool:
        assert all(pool.map(agrees, list(range(len(ROWS))) * 10))


def test_an_output_that_differs_by_the_last_bit_is_not_used() -> None:
    wanted = expected(booster(), ROWS)
    wanted[7] = np.nextafter(wanted[7], 1.0)
    assert SingleRow.find(booster(), ROWS, wanted, threads=1) is None


class OtherLibrary:
    """LightGBM's library without one of its functions."""

    def __init__(self, library: object, without: str) -> None:
        self._library, self._without = library, without

    def __getattr__(self, name: str) -> object:
        if name == self._without:
            raise AttributeError(name)
        return getattr(self._library, name)


@pytest.mark.parametrize("name", ["LGBM_BoosterPredictForMatSingleRowFastInit", "LGBM_FastConfigFree"])
def test_a_library_without_these_functions_is_not_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lightgbm.basic, "_LIB", OtherLibrary(lightgbm.basic._LIB, name))
    assert SingleRow.find(booster(), ROWS, expected(booster(), ROWS), threads=1) is None


def test_a_forest_that_takes_long_leaves_other_threads_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lightgbm_single_row, "MOST_TREES", 19)
    assert SingleRow.find(booster(), ROWS, expected(booster(), ROWS), threads=1) is None


@pytest.fixture
def freed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the library was told to free, in order."""
    seen: list[str] = []

    def watch(name: str) -> Callable[..., int]:
        original = getattr(lightgbm.basic._LIB, name)

        def free(handle: object) -> int:
            seen.append(name)
            return original(handle)

        return free

    for name in ("LGBM_FastConfigFree", "LGBM_BoosterFree"):
        monkeypatch.setattr(lightgbm.basic._LIB, name, watch(name))
    return seen


def test_the_predictor_is_freed_once_and_before_its_booster(freed: list[str]) -> None:
    model = train()
    found = SingleRow(model, threads=1)
    found.predict(ROWS[:1])
    del model
    gc.collect()
    freed.clear()  # what others left behind
    del found
    gc.collect()
    assert freed == ["LGBM_FastConfigFree", "LGBM_BoosterFree"]


def test_the_booster_lives_as_long_as_its_predictor(freed: list[str]) -> None:
    model = train()
    wanted, gone = expected(model, ROWS[:1]), weakref.ref(model)
    found = SingleRow(model, threads=1)
    del model
    gc.collect()
    np.testing.assert_array_equal(found.predict(ROWS[:1]), wanted)
    del found
    gc.collect()
    assert gone() is None
