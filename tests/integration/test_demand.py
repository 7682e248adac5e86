"""The forecasting job of a service with a history: methods are fitted and judged in a process of its own."""

from pathlib import Path

import numpy as np
import pytest

from backend.domains.blood.demand import DISTRICT_NAMES, GROUP_NAMES
from tests.unit.domains.blood.conftest import application
from tests.unit.domains.blood.test_demand_jobs import forecast, read, request_units


def test_with_history_methods_are_chosen_and_judged_beside_the_baselines(tmp_path: Path):
    with application(tmp_path) as app:
        rng = np.random.default_rng(1)
        for days_ago in range(1, 71):
            for district in DISTRICT_NAMES[:3]:
                request_units(int(rng.poisson(6)) + 1, district=district, days_ago=days_ago)
        result = forecast(app)
        assert (result.source, result.history_days, result.no_backtest) == ("history", 70, None)
        assert result.backtest is not None
        assert set(result.backtest.baselines) == {"seasonal_naive", "weekday_mean_8w", "weekday_level_28d"}
        assert result.backtest.model.mase is not None
        assert len(result.backtest.origins) == 6
        assert sum(result.models.values()) == len(DISTRICT_NAMES) * len(GROUP_NAMES)
        (first, *_) = read(district="Kollam", blood_group="O+").forecasts
        assert first.units == pytest.approx(7.0, abs=2.5)
        assert first.low_95 <= first.low_80 < first.units < first.high_80 <= first.high_95
