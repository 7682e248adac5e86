"""Our forecast metrics are those of utilsforecast, the field's library, on the same numbers."""

import importlib
import warnings
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from backend.domains.blood.forecasting.bank import seasonal_scale
from backend.domains.blood.forecasting.metrics import QUANTILES, scaled_error, scaled_pinball

SERIES, DAYS, HORIZON, WEEK = 5, 120, 14, 7
ORIGIN = DAYS - HORIZON


@pytest.fixture(scope="module")
def losses() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # of its docstrings, when it is compiled
        warnings.simplefilter("ignore", DeprecationWarning)  # the same in Python 3.11
        return importlib.import_module("utilsforecast.losses")


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """Counts (series, days) of which the last horizon is forecast."""
    return np.random.default_rng(3).poisson(np.linspace(0.5, 20.0, SERIES)[:, None], (SERIES, DAYS)).astype(float)


@pytest.fixture(scope="module")
def forecast(values: np.ndarray) -> np.ndarray:
    """Quantiles (levels, series, horizon), the median in the middle."""
    level = np.quantile(values[:, :ORIGIN], QUANTILES, axis=1)
    return np.repeat(level[:, :, None], HORIZON, axis=2)


def long(values: np.ndarray, first: int) -> pd.DataFrame:
    series, day = np.indices(values.shape)
    return pd.DataFrame({"unique_id": series.ravel(), "ds": first + day.ravel(), "y": values.ravel()})


@pytest.fixture(scope="module")
def tables(values: np.ndarray, forecast: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What was known at the origin, and the horizon with every quantile beside what happened."""
    ahead = long(values[:, ORIGIN:], ORIGIN)
    return long(values[:, :ORIGIN], 0), ahead.assign(
        **{f"q{place}": quantile.ravel() for place, quantile in enumerate(forecast)}
    )


def test_the_scaled_error_is_mase(losses: ModuleType, values, forecast, tables) -> None:
    known, ahead = tables
    median = f"q{len(QUANTILES) // 2}"
    theirs = losses.mase(ahead, [median], seasonality=WEEK, train_df=known)[median].to_numpy()
    scale = seasonal_scale(values, np.array([ORIGIN]))[0]
    np.testing.assert_allclose(scaled_error(values[:, ORIGIN:], forecast[len(QUANTILES) // 2], scale), theirs)


def test_the_pinball_loss_is_the_mean_quantile_loss_over_the_same_scale(losses, values, forecast, tables) -> None:
    _, ahead = tables
    theirs = np.mean(
        [
            losses.quantile_loss(ahead, {"model": f"q{place}"}, q=level)["model"].to_numpy()
            for place, level in enumerate(QUANTILES)
        ],
        axis=0,
    )
    scale = seasonal_scale(values, np.array([ORIGIN]))[0]
    np.testing.assert_allclose(scaled_pinball(values[:, ORIGIN:], forecast, scale) * scale, theirs)
