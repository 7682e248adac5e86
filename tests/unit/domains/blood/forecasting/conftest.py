from collections.abc import Callable, Mapping

import numpy as np
import pytest

from backend.domains.blood.forecasting import booster
from backend.domains.blood.forecasting.bank import CANDIDATES, Bank
from backend.domains.blood.forecasting.panel import ONE_DAY, Panel
from backend.domains.blood.records import Floats, Ints

MONDAY = np.datetime64("2024-01-01", "D")


@pytest.fixture(scope="session")
def make_panel() -> Callable[[Floats], Panel]:
    """The panel of `values` (series, days) from a Monday on; its series are called s0, s1 and so on."""

    def make(values: Floats) -> Panel:
        keys = tuple((f"s{row}",) for row in range(len(values)))
        return Panel.of(days=MONDAY + ONE_DAY * np.arange(values.shape[1]), names=("name",), keys=keys, values=values)

    return make


@pytest.fixture(scope="session")
def make_bank() -> Callable[..., Bank]:
    """A bank whose every candidate not named in `forecasts` said `said`; all days of the horizon are judged."""

    def make(
        *,
        origins: Ints,
        actual: Floats,
        said: Floats,
        level: Floats,
        forecasts: Mapping[str, Floats] | None = None,
        reach: int = 10_000,
    ) -> Bank:
        series, horizon = actual.shape[1:]
        everything = {name: np.broadcast_to(said, actual.shape) for name in CANDIDATES} | dict(forecasts or {})
        return Bank(
            origins=origins,
            forecasts={name: np.array(what, dtype=np.float64) for name, what in everything.items()},
            actual=np.array(actual, dtype=np.float64),
            level=np.broadcast_to(np.asarray(level, dtype=np.float64), (len(origins), series)),
            scale=np.ones((len(origins), series)),
            reach=reach,
            judged=np.arange(horizon),
        )

    return make


@pytest.fixture(scope="module")
def few_trees():
    """LightGBM as it is, except that it learns from few rows and stops early."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(booster, "TREES", 4)
        patch.setattr(booster, "ROWS_LEAST", 500)
        patch.setattr(booster, "ROWS_MOST", 2_000)
        yield
