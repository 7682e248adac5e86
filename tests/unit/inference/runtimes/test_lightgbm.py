import lightgbm
import numpy as np
import pytest

from backend.errors import ArtifactError
from backend.inference.manifest import Column, Manifest, Training
from backend.inference.runtimes.lightgbm import LightGBMRuntime
from backend.inference.runtimes.lightgbm_single_row import SingleRow

ROWS = np.random.default_rng(1).normal(size=(300, 2))


def manifest(columns: int = 2) -> Manifest:
    return Manifest(
        name="trees",
        version="1",
        runtime="lightgbm",
        file="model.txt",
        files={},
        columns=tuple(Column(name=f"c{i}", unit="1", description="column") for i in range(columns)),
        output="number",
        training=Training(data="made up", fingerprint="0", seed=1, rows=1, since="2025-01-01", until="2025-01-02"),
    )


def train(objective: str, labels: np.ndarray, **options: object) -> lightgbm.Booster:
    settings = {"objective": objective, "num_leaves": 4, "num_threads": 1, "verbosity": -1} | options
    return lightgbm.train(settings, lightgbm.Dataset(ROWS, labels), num_boost_round=5)


def load(booster: lightgbm.Booster, **changes: int) -> LightGBMRuntime:
    return LightGBMRuntime.load(booster.model_to_string().encode(), manifest(**changes), threads=1)


def test_a_regressions_contributions_sum_to_its_prediction() -> None:
    runtime = load(train("regression", ROWS[:, 0] * 3.0))
    np.testing.assert_allclose(runtime.explain(ROWS).sum(axis=1), runtime.predict(ROWS), atol=1e-12)


def test_all_trees_of_the_file_are_used_even_after_early_stopping() -> None:
    booster = train("regression", ROWS[:, 0])
    booster.best_iteration = 2
    runtime = LightGBMRuntime.load(booster.model_to_string(num_iteration=-1).encode(), manifest(), threads=1)
    np.testing.assert_array_equal(runtime.predict(ROWS), booster.predict(ROWS, num_iteration=5))


def test_a_model_with_several_outputs_per_row_is_refused() -> None:
    booster = train("multiclass", np.arange(300) % 3, num_class=3)
    with pytest.raises(ArtifactError, match="3 outputs per row"):
        load(booster)


def test_a_model_of_another_number_of_columns_is_refused() -> None:
    with pytest.raises(ArtifactError, match="trained on 2 columns, the manifest has 3"):
        load(train("regression", ROWS[:, 0]), columns=3)


def test_a_text_that_is_no_model_is_refused() -> None:
    with pytest.raises(ArtifactError, match="not a LightGBM text model"):
        LightGBMRuntime.load(b"<html>", manifest(), threads=1)


def test_one_row_takes_the_short_way_after_it_gave_the_same_golden_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = load(train("regression", ROWS[:, 0]))
    expected = runtime.predict(ROWS)
    runtime.accelerate(ROWS[:5], weights=b"", compiled=None)
    monkeypatch.setattr(runtime._booster, "predict", lambda *_, **__: pytest.fail("the long way"))
    assert [runtime.predict(row).item() for row in ROWS[:, np.newaxis]] == expected.tolist()


def test_what_differs_in_a_golden_row_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = load(train("regression", ROWS[:, 0]))
    expected = runtime.predict(ROWS[:1])
    monkeypatch.setattr(SingleRow, "predict", lambda _self, _row: expected + 1.0)
    runtime.accelerate(ROWS[:5], weights=b"", compiled=None)
    np.testing.assert_array_equal(runtime.predict(ROWS[:1]), expected)


def test_a_row_of_another_width_never_reaches_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = load(train("regression", ROWS[:, 0]))
    runtime.accelerate(ROWS[:5], weights=b"", compiled=None)
    with pytest.raises(lightgbm.basic.LightGBMError, match="number of features"):
        runtime.predict(ROWS[:1, :1])
