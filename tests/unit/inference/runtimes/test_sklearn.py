from io import BytesIO

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor, VotingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_info

from backend.errors import ArtifactError
from backend.inference.manifest import Column, Manifest, Training
from backend.inference.runtimes.sklearn import SklearnRuntime

ROWS = np.random.default_rng(1).normal(size=(200, 2))
EVENTS = (ROWS[:, 0] > 0.0).astype(int)


def manifest(*, columns: int = 2, file: str = "model.skops") -> Manifest:
    return Manifest(
        name="estimator",
        version="1",
        runtime="sklearn",
        file=file,
        files={},
        columns=tuple(Column(name=f"c{i}", unit="1", description="column") for i in range(columns)),
        output="number",
        training=Training(data="made up", fingerprint="0", seed=1, rows=1, since="2025-01-01", until="2025-01-02"),
    )


def load(model: object, **changes: object) -> SklearnRuntime:
    return SklearnRuntime.load(skops.io.dumps(model), manifest(**changes), threads=1)


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()),
        RandomForestClassifier(3, random_state=1),
        GradientBoostingClassifier(n_estimators=3, random_state=1),
        CalibratedClassifierCV(RandomForestClassifier(2, random_state=1), cv=2),
    ],
    ids=lambda model: type(model).__name__,
)
def test_of_two_classes_the_output_is_the_probability_of_the_second(model: BaseEstimator) -> None:
    model.fit(ROWS, EVENTS)
    np.testing.assert_array_equal(load(model).predict(ROWS), model.predict_proba(ROWS)[:, 1])


@pytest.mark.parametrize(
    "model",
    [LinearRegression(), RandomForestRegressor(3, random_state=1), MLPRegressor(hidden_layer_sizes=(3,), tol=1.0)],
    ids=lambda model: type(model).__name__,
)
def test_the_output_of_a_regressor_is_its_prediction(model: BaseEstimator) -> None:
    model.fit(ROWS, ROWS[:, 0])
    np.testing.assert_array_equal(load(model).predict(ROWS), model.predict(ROWS))


@pytest.mark.parametrize(
    "model",
    [LogisticRegression().fit(ROWS, np.arange(200) % 3), RidgeClassifier().fit(ROWS, EVENTS), KMeans(2).fit(ROWS)],
    ids=["three classes", "no probabilities", "clusters"],
)
def test_what_has_not_one_number_per_row_is_refused(model: BaseEstimator) -> None:
    with pytest.raises(ArtifactError, match="neither a regressor nor a classifier with probabilities of two classes"):
        load(model)


def test_a_function_in_the_file_is_refused_by_name() -> None:
    model = make_pipeline(FunctionTransformer(np.nan_to_num), LinearRegression()).fit(ROWS, ROWS[:, 0])
    with pytest.raises(ArtifactError, match=r"Untrusted types found in the file: \['numpy.nan_to_num'\]"):
        load(model)


def test_a_pickle_under_the_name_of_skops_is_not_read() -> None:
    content = BytesIO()
    joblib.dump(LinearRegression().fit(ROWS, ROWS[:, 0]), content)
    with pytest.raises(ArtifactError, match="not a model that can be read as skops"):
        SklearnRuntime.load(content.getvalue(), manifest(), threads=1)


def test_joblib_is_read_where_the_name_says_so() -> None:
    model, content = LinearRegression().fit(ROWS, ROWS[:, 0]), BytesIO()
    joblib.dump(model, content)
    runtime = SklearnRuntime.load(content.getvalue(), manifest(file="model.joblib"), threads=1)
    np.testing.assert_array_equal(runtime.predict(ROWS), model.predict(ROWS))


def test_a_model_fitted_on_a_frame_gets_one_and_does_not_warn() -> None:
    frame = pd.DataFrame(ROWS, columns=["c0", "c1"])
    model = LinearRegression().fit(frame, ROWS[:, 0])
    np.testing.assert_array_equal(load(model).predict(ROWS), model.predict(frame))


def test_a_model_fitted_on_a_frame_of_another_order_is_refused() -> None:
    model = LinearRegression().fit(pd.DataFrame(ROWS, columns=["c1", "c0"]), ROWS[:, 0])
    with pytest.raises(ArtifactError, match="other names, or in another order"):
        load(model)


def test_a_model_of_another_number_of_columns_is_refused() -> None:
    with pytest.raises(ArtifactError, match="fitted on 2 columns, the manifest has 3"):
        load(LinearRegression().fit(ROWS, ROWS[:, 0]), columns=3)


def test_no_part_of_a_model_builds_pools_of_its_own() -> None:
    forest = RandomForestRegressor(2, n_jobs=4, random_state=1)
    model = make_pipeline(StandardScaler(), VotingRegressor([("a", forest)], n_jobs=4)).fit(ROWS, ROWS[:, 0])
    (fitted,) = load(model)._estimator[-1].estimators_
    assert (fitted.n_jobs, load(model)._estimator[-1].n_jobs) == (1, 1)


def test_blas_gets_as_many_threads_as_the_process_predicts_with() -> None:
    load(LinearRegression().fit(ROWS, ROWS[:, 0]))
    assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {1}
