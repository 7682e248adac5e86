"""Eligibility of all donors at once: the moments at which each criterion of `eligibility` begins or ceases to be met.

Computed once per policy and kind of donation, it answers for any moment with comparisons; it agrees with `assess`.
"""

from dataclasses import dataclass

import numpy as np

from backend.domains.blood.eligibility import Criterion
from backend.domains.blood.geography import TIME_ZONE
from backend.domains.blood.local_days import LocalDays, local_days
from backend.domains.blood.policies import Criteria, Policy
from backend.domains.blood.records import Component, Donors, Flags, Floats, Ints


@dataclass(frozen=True, slots=True)
class Windows:
    """For each donor (n,), from or until when each criterion is met, -inf or inf if always or never."""

    of_age_from: Floats
    age_until: Floats
    interval_from: Floats
    deferral_from: Floats
    underweight: Flags
    low_hemoglobin: Flags
    consented: Flags

    def opens(self) -> Floats:
        """Return from when each donor meets all criteria but the upper age and consent; inf if no date will do."""
        opens = np.maximum(np.maximum(self.of_age_from, self.interval_from), self.deferral_from)
        opens[self.underweight | self.low_hemoglobin] = np.inf
        return opens

    def eligible(self, as_of: float) -> Flags:
        """Return which donors (n,) meet every criterion at the moment `as_of`."""
        return self.consented & (self.opens() <= as_of) & (as_of < self.age_until)

    def exclusions(self, as_of: float) -> dict[Criterion, Flags]:
        """Return for each criterion which donors (n,) do not meet it at the moment `as_of`."""
        return {
            Criterion.CONSENT: ~self.consented,
            Criterion.TOO_YOUNG: as_of < self.of_age_from,
            Criterion.TOO_OLD: as_of >= self.age_until,
            Criterion.WEIGHT: self.underweight,
            Criterion.HEMOGLOBIN: self.low_hemoglobin,
            Criterion.INTERVAL: as_of < self.interval_from,
            Criterion.DEFERRAL: as_of < self.deferral_from,
        }


def windows(
    policy: Policy,
    donors: Donors,
    last_whole_blood_at: Floats,
    *,
    component: Component,
    time_zone: str = TIME_ZONE,
) -> Windows:
    """Work out for all donors, once, everything about giving `component` that the passing of time will decide."""
    criteria = policy.criteria(component)
    days = local_days(time_zone)
    born = days.day_of(donors.born_at)
    hemoglobin = criteria.minimum_hemoglobin_g_dl
    nobody = np.zeros(len(donors), dtype=np.bool_)
    weight = criteria.minimum_weight_kg
    return Windows(
        of_age_from=days.birthday_begins(born, criteria.minimum_age),
        age_until=np.where(
            np.isnan(last_whole_blood_at),
            _age_until(days, born, criteria.first_time_limit),
            _age_until(days, born, criteria.maximum_age),
        ),
        interval_from=_interval_from(days, last_whole_blood_at, criteria, donors),
        deferral_from=_deferral_from(days, donors.deferred_until),
        underweight=nobody if weight is None else donors.weight_kg < weight,
        low_hemoglobin=nobody
        if hemoglobin is None
        else donors.hemoglobin_g_dl < np.array(hemoglobin.by_code)[donors.sex],
        consented=donors.consented,
    )


def _age_until(days: LocalDays, born: Ints, limit: int | None) -> Floats:
    return np.full(len(born), np.inf) if limit is None else days.birthday_begins(born, limit + 1)


def _interval_from(days: LocalDays, last_whole_blood_at: Floats, criteria: Criteria, donors: Donors) -> Floats:
    gap = np.array(criteria.days_since_whole_blood.by_code, dtype=np.int64)
    begins = np.full(len(donors), -np.inf)
    given = np.flatnonzero(~np.isnan(last_whole_blood_at))
    begins[given] = days.begins(days.day_of(last_whole_blood_at[given]) + gap[donors.sex[given]])
    return begins


def _deferral_from(days: LocalDays, deferred_until: Floats) -> Floats:
    begins = np.full(len(deferred_until), -np.inf)
    deferred = np.flatnonzero(~np.isnan(deferred_until))
    until = deferred_until[deferred]
    day = days.day_of(until)
    # A deferral that ends during a day ends with that day.
    begins[deferred] = days.begins(day + (days.begins(day) < until))
    return begins


def eligible_mask(
    policy: Policy,
    donors: Donors,
    last_whole_blood_at: Floats,
    *,
    as_of: float,
    component: Component,
    time_zone: str = TIME_ZONE,
) -> Flags:
    """Return which donors (n,) may be asked for `component` at `as_of`; NaN in `last_whole_blood_at`: never donated."""
    found = windows(policy, donors, last_whole_blood_at, component=component, time_zone=time_zone)
    return found.eligible(as_of)


def exclusion_counts(found: Windows, as_of: float) -> dict[Criterion, int]:
    """Return how many donors do not meet each criterion at `as_of`; a donor counts once for each they do not meet."""
    return {code: int(np.count_nonzero(flags)) for code, flags in found.exclusions(as_of).items()}
