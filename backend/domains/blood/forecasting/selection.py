"""Which candidates forecast which series: a plain average for each band of volume, chosen on earlier origins."""

from dataclasses import dataclass

import numpy as np

from backend.domains.blood.forecasting.bank import CANDIDATES, Bank
from backend.domains.blood.records import Floats, Ints

SILENT = 0  # the band of series with nothing in 8 weeks
BANDS_MOST = 4  # of the others
SERIES_PER_BAND = 8
HALF_LIFE_DAYS = 180.0  # an error this much older counts half
GAIN_LEAST = 0.001  # share by which another member must lower the error to be taken in
MEMBERS_MOST = 6
UNTRIED = ("level_6w",)  # where no earlier origin can be judged


@dataclass(frozen=True, slots=True)
class Bands:
    """Series by volume: the mean of the 8 weeks before an origin against thresholds that were known by then.

    The first band is of the silent, with nothing in those weeks: what fits them says nothing of the others.
    """

    thresholds: Floats  # (bands - 1,) ascending

    @classmethod
    def at(cls, level: Floats) -> "Bands":
        """Cut the levels (series,) at one origin into the silent, and equally full bands of the others."""
        active = level[level > 0.0]
        bands = int(np.clip(len(active) // SERIES_PER_BAND, 1, BANDS_MOST))
        cuts = np.quantile(active, np.arange(1, bands) / bands) if bands > 1 else ()
        return cls(np.unique(np.append(cuts, np.nextafter(0.0, 1.0))))

    def __len__(self) -> int:
        return len(self.thresholds) + 1

    def of(self, level: Floats) -> Ints:
        """Return the band of each level, same shape."""
        return np.searchsorted(self.thresholds, level, side="right")


def recency(bank: Bank, rows: Ints, origin: int) -> Floats:
    """Return the weight (rows,) of what was forecast at earlier origins."""
    return np.asarray(0.5 ** ((origin - bank.origins[rows]) / HALF_LIFE_DAYS))


def choose(bank: Bank, origin: int, bands: Bands) -> list[tuple[str, ...]]:
    """Return each band's members, a name as often as it counts in the average, from days before `origin` only."""
    rows, actual = bank.past(origin)
    scale = bank.scale[rows][:, :, None]
    weight = np.where(~np.isnan(actual) & (scale > 0.0), recency(bank, rows, origin)[:, None, None] / scale, 0.0)
    band_of = bands.of(bank.level[rows])
    forecasts = {name: bank.forecasts[name][rows][:, :, bank.judged] for name in CANDIDATES}
    members = []
    for band in range(len(bands)):
        use = (band_of == band)[:, :, None] & (weight > 0.0)
        members.append(_average({n: f[use] for n, f in forecasts.items()}, actual[use], weight[use]))
    return members


def _average(candidates: dict[str, Floats], actual: Floats, weight: Floats) -> tuple[str, ...]:
    """Grow an average one member at a time, repeats allowed (Caruana et al. 2004), by weighted absolute error."""
    if not len(actual):
        return UNTRIED
    total = np.zeros(len(actual))
    members: tuple[str, ...] = ()
    best = np.inf
    while len(members) < MEMBERS_MOST:
        errors = {
            name: float((weight * np.abs(actual - (total + forecast) / (len(members) + 1))).sum())
            for name, forecast in candidates.items()
        }
        name = min(errors, key=errors.__getitem__)
        if not errors[name] < best * (1.0 - GAIN_LEAST):
            break
        total, members, best = total + candidates[name], (*members, name), errors[name]
    return members or UNTRIED


def combine(bank: Bank, rows: Ints, bands: Bands, members: list[tuple[str, ...]]) -> Floats:
    """Return the average forecast (rows, series, horizon), each series by the members of its band at that origin."""
    band_of = bands.of(bank.level[rows])
    combined = np.empty((len(rows), *bank.actual.shape[1:]))
    for band, names in enumerate(members):
        here = band_of == band
        combined[here] = np.mean([bank.forecasts[name][rows][here] for name in names], axis=0)
    return combined
