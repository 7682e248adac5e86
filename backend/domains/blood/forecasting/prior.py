"""What to expect of a cell that has hardly any history: a Gamma-Poisson rate about its share of Kerala's units.

Kerala's blood centres handled 590,726 units in 2023-24 (The New Indian Express). A district's share lies halfway
between its shares of people and of blood centres, for patients travel to the hospitals that have them; a group's share
is that of donors (`rules`).
"""

from dataclasses import dataclass, replace

import numpy as np

from backend.domains.blood.forecasting.counts import measure, quantile
from backend.domains.blood.forecasting.forecaster import Forecast
from backend.domains.blood.forecasting.intervals import COVERAGES
from backend.domains.blood.forecasting.panel import ONE_DAY, Key
from backend.domains.blood.geography import DISTRICTS
from backend.domains.blood.records import BLOOD_GROUPS, Flags, Floats, Ints
from backend.domains.blood.rules import GROUP_SHARES

UNITS_A_YEAR = 590_726
FORECAST_GROUPS = tuple(group for group in BLOOD_GROUPS if group != "Oh")  # Bombay is found donor by donor

# Judgements, not measurements: how far a service may lie from serving all of Kerala (a coefficient of variation of 1),
# a district from its share of the service (1.4: many serve one district), and a group from its share of the district
# (0.5); and that a request asks for two units or so, which come together.
SERVICE_SHAPE = 1.0
DISTRICT_SHAPE = 0.5
CELL_SHAPE = 4.0
DISPERSION = 2.0
PATHS = 200


def expected_units() -> tuple[tuple[Key, ...], Floats]:
    """Return the district x group keys (112,) and the units a day each would ask for if the service had all Kerala."""
    people = np.array([district.population_thousands for district in DISTRICTS], dtype=np.float64)
    centres = np.array([district.blood_centres for district in DISTRICTS], dtype=np.float64)
    shares = (people / people.sum() + centres / centres.sum()) / 2.0
    groups = np.array([GROUP_SHARES[group] for group in FORECAST_GROUPS])
    keys = tuple((district.name, group) for district in DISTRICTS for group in FORECAST_GROUPS)
    return keys, np.outer(UNITS_A_YEAR / 365.0 * shares, groups / groups.sum()).ravel()


@dataclass(frozen=True, slots=True)
class Rates:
    """Gamma distributions of the units a day that cells (cells,) ask for."""

    shape: Floats
    days: Floats  # the inverse scale

    @property
    def mean(self) -> Floats:
        """Units a day."""
        return self.shape / self.days


def update(expected: Floats, *, district: Ints, units: Floats, days: Floats) -> Rates:
    """Return the rates (cells,) after `units` asked for in `days` of each cell, both (cells,) and 0 without a record.

    First the scale of the whole service is learnt from all cells, then each district's (`district` numbers them) about
    that, then each cell's about its share of the district. Units that come together count as one piece of evidence
    (`DISPERSION`).
    """
    seen, asked = expected * days / DISPERSION, units / DISPERSION
    scale = (SERVICE_SHAPE + asked.sum()) / (SERVICE_SHAPE + seen.sum())
    of_district = (DISTRICT_SHAPE + np.bincount(district, asked)) / (
        DISTRICT_SHAPE + scale * np.bincount(district, seen)
    )
    share = expected * scale * of_district[district]
    return Rates(CELL_SHAPE + asked, CELL_SHAPE / share + days / DISPERSION)


def forecast_from_rates(
    keys: tuple[Key, ...], rates: Rates, *, first_day: np.datetime64, horizon: int, seed: int = 0
) -> Forecast:
    """Return the forecast of cells that have rates and no pattern yet: the same every day, with the rate's own doubt.

    A path draws each rate once and keeps it through the horizon.
    """
    mean = np.repeat(rates.mean[:, None], horizon, axis=1)
    doubt = np.repeat((DISPERSION + 1.0 / rates.days)[:, None], horizon, axis=1)
    _, dispersion = measure(doubt, whole=True)
    lower, upper = (
        np.stack([quantile(np.array((1.0 + side * coverage) / 2.0), mean, dispersion) for coverage in COVERAGES])
        for side in (-1.0, 1.0)
    )
    rng = np.random.default_rng(seed)
    drawn = rng.gamma(rates.shape, 1.0 / rates.days, size=(PATHS, len(keys)))[:, :, None]
    size = np.maximum(drawn, 1e-9) / (DISPERSION - 1.0)
    paths = rng.negative_binomial(size, 1.0 / DISPERSION, size=(PATHS, len(keys), horizon)).astype(np.float64)
    days = first_day + ONE_DAY * np.arange(horizon)
    return Forecast(days, keys, mean, lower, upper, methods=(("gamma_poisson",),) * len(keys), paths=paths)


def replace_cold(forecast: Forecast, cold: Flags, from_rates: Forecast) -> Forecast:
    """Return `forecast` with the series `cold` (series,) taken from `from_rates`, which has the same keys and days."""
    paths = forecast.paths.copy()
    drawn = np.arange(len(paths)) % len(from_rates.paths)
    paths[:, cold] = from_rates.paths[drawn][:, cold]
    return replace(
        forecast,
        mean=np.where(cold[:, None], from_rates.mean, forecast.mean),
        lower=np.where(cold[:, None], from_rates.lower, forecast.lower),
        upper=np.where(cold[:, None], from_rates.upper, forecast.upper),
        methods=tuple(
            ours if is_cold else theirs
            for is_cold, ours, theirs in zip(cold, from_rates.methods, forecast.methods, strict=True)
        ),
        paths=paths,
    )
