"""What the models see of a donor who is about to be asked: one function per model, the same for training and serving.

Every value is as of the ask: an event at exactly that moment is not visible, and nothing of the future is.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import numpy as np

from backend.domains.blood.history import EventIndex, History
from backend.domains.blood.horizons import DAY, HOUR, local_hour, local_weekday
from backend.domains.blood.records import BLOOD_GROUPS, Contacts, Donors, Floats, Requests, Rows, Sex

MONTH: Final = 365.25 * DAY / 12.0
YEAR: Final = 365.25 * DAY
IS_RARE: Final = np.array([float(not name.endswith("+")) for name in BLOOD_GROUPS])

# What a donor nobody has asked yet is taken for, as so many imaginary earlier asks (or commitments). Round numbers
# near the published ones: one in six accepts, half answer; NHS: 10 % no-shows, 25 % late cancellations at the worst.
PRIOR_ASKS: Final = 4.0
PRIOR_ACCEPTANCE: Final = 0.17
PRIOR_ANSWERED: Final = 0.5
PRIOR_COMMITMENTS: Final = 3.0
PRIOR_KEPT: Final = 0.78
PRIOR_NO_SHOW: Final = 0.07
PRIOR_LATE_CANCEL: Final = 0.15


class Feature(NamedTuple):
    """Name, unit and meaning of one input column."""

    name: str
    unit: str
    description: str


FEATURES: Final = {
    feature.name: feature
    for feature in (
        Feature("distance_km", "km", "great-circle distance from donor to place of donation"),
        Feature("urgency", "level", "1 routine to 4 critical"),
        Feature("units_required", "units", "units the request asks for"),
        Feature("hours_until_needed", "h", "from the ask to the time stated by the requester; missing if none is"),
        Feature("group_match", "0/1", "1 the donor's group is the recipient's, 0 it is another compatible one"),
        Feature("is_rare_group", "0/1", "the donor is Rh-negative or has the Bombay phenotype"),
        Feature("hour_sin", "1", "sine of the local hour of the ask on a 24 h circle"),
        Feature("hour_cos", "1", "cosine of the local hour of the ask on a 24 h circle"),
        Feature("weekday", "day", "local weekday of the ask, Monday 0"),
        Feature("is_weekend", "0/1", "the ask is on a local Saturday or Sunday"),
        Feature("is_female", "0/1", "sex on record; missing if unknown"),
        Feature("age_years", "a", "age at the ask"),
        Feature("weight_kg", "kg", "body weight on record; missing if unknown"),
        Feature("days_since_registered", "d", "since registration"),
        Feature("days_since_last_donation", "d", "since the last donation; missing if none"),
        Feature("total_donations", "donations", "before the ask"),
        Feature("donations_last_365d", "donations", "in the 365 days before the ask"),
        Feature("asks_last_30d", "asks", "in the 30 days before the ask"),
        Feature("days_since_last_ask", "d", "since the ask before this one; missing if none"),
        Feature("acceptance_rate", "1", "asks accepted, a year-old one counting half, smoothed by 4 imaginary asks"),
        Feature("answered_rate", "1", "asks answered at all, weighted and smoothed alike"),
        Feature("mean_response_hours", "h", "mean time to answer, weighted alike; missing without answers"),
        Feature("completion_rate", "1", "commitments kept, weighted alike, smoothed by 3 imaginary ones"),
        Feature("no_show_rate", "1", "commitments broken without a word, weighted and smoothed alike"),
        Feature("late_cancel_rate", "1", "commitments cancelled late, weighted and smoothed alike"),
        Feature("decayed_commitments", "commitments", "number behind the three rates, a year-old one counting half"),
        Feature("months_since_last_outcome", "mo", "since a commitment last ended kept or broken; missing if never"),
    )
}

_OCCASION = ("distance_km", "urgency", "units_required", "hours_until_needed", "group_match", "is_rare_group")
_CLOCK = ("hour_sin", "hour_cos", "is_weekend")
_PERSON = ("is_female", "age_years", "weight_kg", "days_since_registered")
_GIVING = ("days_since_last_donation", "total_donations", "donations_last_365d")
_ASKED = ("asks_last_30d", "days_since_last_ask", "acceptance_rate", "answered_rate")
_KEPT = ("completion_rate", "no_show_rate", "late_cancel_rate", "decayed_commitments", "months_since_last_outcome")

AVAILABILITY_FEATURES: Final = (*_OCCASION, *_CLOCK, "weekday", *_PERSON, *_GIVING, *_ASKED, *_KEPT)
RESPONSE_FEATURES: Final = (
    *("distance_km", "urgency", "hours_until_needed", *_CLOCK, "weekday", "age_years"),
    *(*_GIVING, *_ASKED, "mean_response_hours"),
)
RELIABILITY_FEATURES: Final = _KEPT
MATCH_FEATURES: Final = (*_OCCASION, *_CLOCK, *_PERSON, *_GIVING, *_ASKED, *_KEPT)


@dataclass(frozen=True, slots=True)
class Asks:
    """Donors about to be asked, equally long columns (n,)."""

    donor: Rows
    as_of: Floats
    distance_km: Floats
    urgency: Floats
    units: Floats
    hours_until_needed: Floats  # NaN: the requester states no time
    group_match: Floats  # 1 the donor's group is the recipient's own, 0 it is not

    def __len__(self) -> int:
        return len(self.donor)

    @classmethod
    def of(cls, contacts: Contacts, *, donors: Donors, requests: Requests) -> Self:
        """Return asks that were made (n,), each as of its own moment; `requests` has those of all `contacts` (n,)."""
        request = np.searchsorted(requests.id, contacts.request)
        return cls(
            donor=contacts.donor,
            as_of=contacts.asked_at,
            distance_km=contacts.distance_km.astype(np.float64),
            urgency=requests.urgency[request].astype(np.float64),
            units=requests.units[request].astype(np.float64),
            hours_until_needed=(requests.needed_by[request] - contacts.asked_at) / HOUR,
            group_match=(requests.blood_group[request] == donors.blood_group[contacts.donor]).astype(np.float64),
        )


@dataclass(frozen=True, slots=True)
class FeatureMatrix:
    """Columns by name: `values` (n, k), C-contiguous."""

    names: tuple[str, ...]
    values: Floats

    def column(self, name: str) -> Floats:
        """Return one column (n,)."""
        return np.asarray(self.values[:, self.names.index(name)])

    @classmethod
    def of(cls, names: tuple[str, ...], *parts: dict[str, Floats]) -> Self:
        """Put the named columns of `parts` side by side."""
        columns = {name: column for part in parts for name, column in part.items()}
        values = np.empty((len(columns[names[0]]), len(names)))
        for place, name in enumerate(names):
            values[:, place] = columns[name]
        return cls(names, values)


def availability_features(history: History, asks: Asks) -> FeatureMatrix:
    """Return the columns `AVAILABILITY_FEATURES` (n, 26) of the model of acceptance."""
    return FeatureMatrix.of(
        AVAILABILITY_FEATURES, _occasion(history, asks), _person(history, asks), _kept(history, asks)
    )


def response_features(history: History, asks: Asks) -> FeatureMatrix:
    """Return the columns `RESPONSE_FEATURES` (n, 16) of the model of the time to an answer."""
    return FeatureMatrix.of(RESPONSE_FEATURES, _occasion(history, asks), _person(history, asks))


def reliability_features(history: History, asks: Asks) -> FeatureMatrix:
    """Return the columns `RELIABILITY_FEATURES` (n, 5) of the model of kept commitments."""
    return commitment_features(history.outcomes, asks.donor, asks.as_of)


def commitment_features(outcomes: EventIndex, donor: Rows, as_of: Floats) -> FeatureMatrix:
    """Return the columns `RELIABILITY_FEATURES` (n, 5) of donors as of moments (n,), from their commitments alone."""
    return FeatureMatrix.of(RELIABILITY_FEATURES, _commitments(outcomes, donor, as_of))


def match_features(history: History, asks: Asks) -> FeatureMatrix:
    """Return the columns `MATCH_FEATURES` (n, 25) of the model of a donation in time."""
    return FeatureMatrix.of(MATCH_FEATURES, _occasion(history, asks), _person(history, asks), _kept(history, asks))


Columns = dict[str, Floats]


def _occasion(history: History, asks: Asks) -> Columns:
    """Return what the request, the way and the clock say."""
    weekday = local_weekday(asks.as_of)
    angle = local_hour(asks.as_of) * (2.0 * np.pi / 24.0)
    return {
        "distance_km": asks.distance_km,
        "urgency": asks.urgency,
        "units_required": asks.units,
        "hours_until_needed": asks.hours_until_needed,
        "group_match": asks.group_match,
        "is_rare_group": IS_RARE[history.donors.blood_group[asks.donor]],
        "hour_sin": np.sin(angle),
        "hour_cos": np.cos(angle),
        "weekday": weekday.astype(np.float64),
        "is_weekend": (weekday >= 5).astype(np.float64),
    }


def _person(history: History, asks: Asks) -> Columns:
    """Return what the donor is, has given and has answered."""
    donors, donor, as_of = history.donors, asks.donor, asks.as_of
    sex = donors.sex[donor]
    given = history.donations.position(donor, as_of)
    given_before = history.donations.position(donor, as_of - 365.0 * DAY)
    asked = history.asks.position(donor, as_of)
    asked_before = history.asks.position(donor, as_of - 30.0 * DAY)
    answered = history.answers.position(donor, as_of)
    (asks_n,) = history.asks.sums(donor, asked, as_of).T
    answers_n, accepted_n, hours = history.answers.sums(donor, answered, as_of).T
    with np.errstate(invalid="ignore"):  # 0 / 0 of a donor who never answered is the missing value we want
        mean_hours = hours / answers_n
    return {
        "is_female": np.where(sex == Sex.UNKNOWN, np.nan, sex == Sex.FEMALE),
        "age_years": (as_of - donors.born_at[donor]) / YEAR,
        "weight_kg": donors.weight_kg[donor].astype(np.float64),
        "days_since_registered": (as_of - donors.registered_at[donor]) / DAY,
        "days_since_last_donation": (as_of - history.donations.last(donor, given)) / DAY,
        "total_donations": history.donations.count(donor, given).astype(np.float64),
        "donations_last_365d": (given - given_before).astype(np.float64),
        "asks_last_30d": (asked - asked_before).astype(np.float64),
        "days_since_last_ask": (as_of - history.asks.last(donor, asked)) / DAY,
        "acceptance_rate": (PRIOR_ASKS * PRIOR_ACCEPTANCE + accepted_n) / (PRIOR_ASKS + asks_n),
        "answered_rate": (PRIOR_ASKS * PRIOR_ANSWERED + answers_n) / (PRIOR_ASKS + asks_n),
        "mean_response_hours": mean_hours,
    }


def _kept(history: History, asks: Asks) -> Columns:
    return _commitments(history.outcomes, asks.donor, asks.as_of)


def _commitments(outcomes: EventIndex, donor: Rows, as_of: Floats) -> Columns:
    """Return how earlier commitments ended; declining, medical deferrals and cancelled requests do not count."""
    position = outcomes.position(donor, as_of)
    kept, absent, excused = outcomes.sums(donor, position, as_of).T
    commitments = kept + absent + excused
    weight = PRIOR_COMMITMENTS + commitments
    return {
        "completion_rate": (PRIOR_COMMITMENTS * PRIOR_KEPT + kept) / weight,
        "no_show_rate": (PRIOR_COMMITMENTS * PRIOR_NO_SHOW + absent) / weight,
        "late_cancel_rate": (PRIOR_COMMITMENTS * PRIOR_LATE_CANCEL + excused) / weight,
        "decayed_commitments": commitments,
        "months_since_last_outcome": (as_of - outcomes.last(donor, position)) / MONTH,
    }
