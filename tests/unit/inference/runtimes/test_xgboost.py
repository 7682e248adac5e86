import numpy as np
import pytest
import xgboost

from backend.errors import ArtifactError
from backend.inference.manifest import Column, Manifest, Training
from backend.inference.runtimes.xgboost import XGBoostRuntime

ROWS = np.random.default_rng(1).normal(size=(300, 2))


def manifest(columns: int = 2) -> Manifest:
    return Manifest(
        name="trees",
        version="1",
        runtime="xgboost",
        file="model.ubj",
        files={},
        columns=tuple(Column(name=f"c{i}", unit="1", description="column") for i in range(columns)),
        output="number",
        training=Training(data="made up", fingerprint="0", seed=1, rows=1, since="2025-01-01", until="2025-01-02"),
    )


def train(labels: np.ndarray, **options: object) -> xgboost.Booster:
    settings = {"max_depth": 2, "nthread": 1} | options
    return xgboost.train(settings, xgboost.DMatrix(ROWS, labels, nthread=1), num_boost_round=5)


def load(booster: xgboost.Booster, *, form: str = "ubj", columns: int = 2) -> XGBoostRuntime:
    return XGBoostRuntime.load(bytes(booster.save_raw(form)), manifest(columns), threads=1)


@pytest.mark.parametrize("form", ["ubj", "json"])
def test_both_forms_of_the_library_are_read(form: str) -> None:
    booster = train(ROWS[:, 0])
    expected = booster.predict(xgboost.DMatrix(ROWS, nthread=1))
    np.testing.assert_array_equal(load(booster, form=form).predict(ROWS), expected)


def test_the_base_score_is_part_of_the_prediction_and_of_the_bias() -> None:
    runtime = load(train(ROWS[:, 0] + 1_000.0, base_score=900.0))
    assert runtime.predict(ROWS).min() > 900.0
    contributions = runtime.explain(ROWS)
    assert contributions[0, -1] > 900.0
    np.testing.assert_allclose(contributions.sum(axis=1), runtime.predict(ROWS), rtol=1e-6)


def test_a_missing_value_takes_the_branch_that_training_chose() -> None:
    labels = np.where(np.arange(300) % 2 == 0, 5.0, -5.0)
    rows = np.where(labels[:, None] > 0.0, np.nan, ROWS)
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(rows, labels, nthread=1), num_boost_round=30)
    assert load(booster).predict(np.full((1, 2), np.nan))[0] == pytest.approx(5.0, abs=0.1)


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        (np.arange(300) % 3, {"objective": "multi:softprob", "num_class": 3}),
        (np.column_stack((ROWS, ROWS[:, 0])), {}),
    ],
    ids=["three classes", "three targets"],
)
def test_a_model_with_several_outputs_per_row_is_refused(labels: np.ndarray, options: dict[str, object]) -> None:
    with pytest.raises(ArtifactError, match="several outputs per row"):
        load(train(labels, **options))


def test_a_linear_booster_is_refused_by_name() -> None:
    content = bytes(train(ROWS[:, 0], booster="gblinear", max_depth=None).save_raw("ubj"))
    with pytest.raises(ArtifactError, match="a booster gblinear; only gbtree and dart"):
        XGBoostRuntime.load(content, manifest(), threads=1)


def test_a_model_of_another_number_of_columns_is_refused() -> None:
    with pytest.raises(ArtifactError, match="trained on 2 columns, the manifest has 3"):
        load(train(ROWS[:, 0]), columns=3)


@pytest.mark.parametrize("content", [b"", b"<html>", b"{", b"{L", b"{}", b'{"learner": {}}'])
def test_bytes_that_are_no_booster_are_refused_and_end_no_process(content: bytes) -> None:
    with pytest.raises(ArtifactError, match="not an XGBoost model"):
        XGBoostRuntime.load(content, manifest(), threads=1)
