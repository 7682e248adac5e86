from functools import cache
from pathlib import Path

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from backend.inference.runtimes import lightgbm_compiled
from backend.inference.runtimes.lightgbm_compiled import CompiledForest, rows_at_thresholds
from tests.said import said_by

RANDOM = np.random.default_rng(1)
ROWS = np.column_stack((RANDOM.normal(size=(600, 3)), RANDOM.integers(0, 40, 600)))
ROWS[RANDOM.random(ROWS.shape) < 0.1] = np.nan
LABELS = np.nan_to_num(ROWS) @ [1.0, 2.0, -1.0, 0.1]


@cache
def booster(objective: str = "binary", **options: object) -> lightgbm.Booster:
    labels = LABELS > 0.0 if objective == "binary" else LABELS
    settings = {"objective": objective, "num_leaves": 15, "num_threads": 1, "verbosity": -1} | options
    trained = lightgbm.train(settings, lightgbm.Dataset(ROWS, labels, categorical_feature=[3]), num_boost_round=10)
    return lightgbm.Booster(model_str=trained.model_to_string())


def weights_of(model: lightgbm.Booster) -> bytes:
    return model.model_to_string().encode()


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The machine code of `booster()`."""
    lleaves = pytest.importorskip("lleaves")
    binding = pytest.importorskip("llvmlite.binding")
    if not hasattr(binding, "PassManagerBuilder"):
        pytest.skip("lleaves needs llvmlite < 0.45")
    return compile_with(lleaves, booster(), tmp_path_factory.mktemp("forest"))


def compile_with(lleaves: object, model: lightgbm.Booster, folder: Path) -> bytes:
    text = folder / "model.txt"
    text.write_bytes(weights_of(model))
    lleaves.Model(str(text)).compile(cache=str(folder / "forest.o"))
    return (folder / "forest.o").read_bytes()


# --- rows at thresholds


def test_rows_hold_thresholds_their_neighbours_categories_and_special_values() -> None:
    rows = rows_at_thresholds(weights_of(booster()), columns=4)
    splits = booster().trees_to_dataframe().query("decision_type == '<=' and split_feature == 'Column_0'")
    thresholds = splits["threshold"].astype(float).to_numpy()
    thresholds = thresholds[np.abs(thresholds) > 1e-34]
    assert np.isin(thresholds, rows[:, 0]).all()
    assert np.isin(np.nextafter(thresholds, np.inf), rows[:, 0]).all()
    assert np.isin(np.arange(40.0), rows[:, 3]).all()
    for column in rows.T:
        assert np.isnan(column).any()
        assert np.isinf(column).any()


def test_a_column_that_no_tree_splits_and_a_forest_of_one_leaf_have_rows_too() -> None:
    constant = lightgbm.train(
        {"objective": "regression", "num_threads": 1, "verbosity": -1}, lightgbm.Dataset(ROWS, np.zeros(600)), 1
    )
    assert rows_at_thresholds(weights_of(constant), columns=4).shape == (lightgbm_compiled.ROWS, 4)


# --- compiled forests


NUMBERS = st.one_of(st.floats(-3.0, 3.0), st.floats(), st.integers(-2, 70).map(float), st.sampled_from([0.0, np.nan]))
NUMBERS = NUMBERS.filter(lambda number: not 0.0 < abs(number) < 1e-34)  # see the docstring of the module


@given(rows=st_numpy.arrays(np.float64, st.tuples(st.integers(1, 100), st.just(4)), elements=NUMBERS))
@settings(max_examples=30)
def test_a_compiled_forest_predicts_what_lightgbm_does(code: bytes, rows: np.ndarray) -> None:
    np.testing.assert_allclose(
        CompiledForest(code).predict(rows, threads=1), booster().predict(rows, num_threads=1), rtol=0.0, atol=1e-12
    )


def test_many_rows_are_shared_between_threads_and_none_is_left_out(
    code: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lightgbm_compiled, "ROWS_PER_THREAD", 30)
    forest = CompiledForest(code)
    for count in (59, 100, 101, 600):
        np.testing.assert_array_equal(forest.predict(ROWS[:count], threads=3), forest.predict(ROWS, threads=1)[:count])


def test_the_code_of_the_same_forest_is_used_and_that_of_another_is_not(code: bytes) -> None:
    other = booster(learning_rate=0.2)
    assert CompiledForest.find(code, booster(), ROWS, threads=1) is not None
    with said_by(lightgbm_compiled) as logs:
        assert CompiledForest.find(code, other, ROWS, threads=1) is None
    assert logs[0]["difference"] > lightgbm_compiled.AGREEMENT


def test_code_that_cannot_be_loaded_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_forest: CompiledForest, _code: bytes) -> None:
        raise ImportError("llvmlite")

    monkeypatch.setattr(CompiledForest, "__init__", refuse)
    with said_by(lightgbm_compiled) as logs:
        assert CompiledForest.find(b"", booster(), ROWS, threads=1) is None
    assert isinstance(logs[0]["reason"], ImportError)
