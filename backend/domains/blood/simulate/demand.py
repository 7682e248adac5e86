"""Who asks for blood: requests by hospital, day, group and urgency."""

import numpy as np

from backend.domains.blood.horizons import DAY, HOUR, IST_SECONDS, hours_until_deadline, local_weekday
from backend.domains.blood.records import BLOOD_GROUPS, Floats, Ints, Requests
from backend.domains.blood.rules import GROUP_SHARES
from backend.domains.blood.simulate.parameters import WorldParameters
from backend.domains.blood.simulate.places import Hospitals
from backend.domains.blood.simulate.population import YEAR

# Relative number of requests in each hour of the local day: wards order in the morning, emergencies come at any time.
HOUR_WEIGHTS = np.array([1, 1, 1, 1, 1, 1, 2, 3, 5, 8, 9, 9, 8, 7, 7, 6, 6, 5, 5, 4, 3, 3, 2, 2], dtype=np.float64)
LATEST_HOURS = 144.0  # nobody asks donors for blood needed later than six days on


def requests_per_day(donors: int, parameters: WorldParameters) -> float:
    """Return how many requests a platform with so many donors gets a day: sublinear, at most all of Kerala's."""
    wanted = parameters.requests_per_day * (donors / 2000.0) ** parameters.requests_exponent
    return float(min(wanted, parameters.requests_per_day_most))


def draw_requests(
    rng: np.random.Generator,
    *,
    hospitals: Hospitals,
    donors: int,
    since: float,
    until: float,
    parameters: WorldParameters,
) -> tuple[Requests, Ints]:
    """Draw the requests created in [since, until), ordered by time, and the hospital (n,) of each."""
    created_at = _creation_times(rng, donors=donors, since=since, until=until, parameters=parameters)
    count = len(created_at)
    hospital = rng.choice(len(hospitals), size=count, p=hospitals.weight)
    shares = np.array([GROUP_SHARES[name] for name in BLOOD_GROUPS])
    urgency = 1 + rng.choice(4, size=count, p=parameters.urgency_shares)
    horizon = hours_until_deadline(urgency=urgency, hours_until_needed=np.full(count, np.nan))
    needed = np.minimum(horizon * np.exp(rng.normal(0.0, parameters.needed_by_log_sd, size=count)), LATEST_HOURS)
    stated = rng.random(count) < parameters.needed_by_share
    ends = created_at + HOUR * np.where(stated, needed, horizon)
    cancelled = rng.random(count) < parameters.cancelled_share
    cancelled_at = created_at + rng.random(count) * (ends - created_at)
    extra = rng.geometric(1.0 / (1.0 + parameters.units_extra), size=count) - 1
    requests = Requests(
        id=np.arange(1, count + 1),
        created_at=created_at,
        latitude=hospitals.latitude[hospital],
        longitude=hospitals.longitude[hospital],
        district=hospitals.district[hospital],
        blood_group=rng.choice(len(shares), size=count, p=shares / shares.sum()).astype(np.int8),
        component=rng.choice(3, size=count, p=parameters.component_shares).astype(np.int8),
        units=np.minimum(1 + extra, parameters.units_most).astype(np.int16),
        urgency=urgency.astype(np.int8),
        needed_by=np.where(stated, created_at + HOUR * needed, np.nan),
        cancelled_at=np.where(cancelled & (cancelled_at < until), cancelled_at, np.nan),
    )
    return requests, hospital


def _creation_times(
    rng: np.random.Generator, *, donors: int, since: float, until: float, parameters: WorldParameters
) -> Floats:
    days = np.arange(np.floor((since + IST_SECONDS) / DAY), np.ceil((until + IST_SECONDS) / DAY)) * DAY - IST_SECONDS
    weekday = np.array(parameters.weekday_factors)[local_weekday(np.asarray(days + DAY / 2, dtype=np.float64))]
    surge = np.where(rng.random(len(days)) < parameters.surge_days_per_year / 365.25, parameters.surge_factor, 1.0)
    growth = 1.0 + parameters.growth_per_year * (days - until) / YEAR
    expected = requests_per_day(donors, parameters) * weekday * surge * np.maximum(growth, 0.2)
    day = np.repeat(days, rng.poisson(expected))
    hour = rng.choice(24, size=len(day), p=HOUR_WEIGHTS / HOUR_WEIGHTS.sum()) + rng.random(len(day))
    created_at = np.sort(day + HOUR * hour)
    return created_at[(since <= created_at) & (created_at < until)]
