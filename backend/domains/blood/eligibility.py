"""Who may be asked to donate on a given day, under a country's policy, with the reasons and the day it changes.

The answer is provisional: it rests on what the app knows, and the blood centre decides on the day after interview and
measurement. An unknown weight or haemoglobin therefore excludes nobody; `Eligibility.unchecked` names it. The minimum
gap between two apheresis donations and their yearly number are left to the centre.

This is one donor's answer; `eligibility_windows` gives all donors' as columns. Days begin at local midnight: a
birthday and the end of an interval or a deferral count from then on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

import numpy as np

from backend.domains.blood.geography import TIME_ZONE
from backend.domains.blood.policies import Criteria, Policy
from backend.domains.blood.records import Component, Donors, Sex


class Criterion(StrEnum):
    """Why a donor may not be asked; the codes are stable."""

    CONSENT = "not_consented"
    TOO_YOUNG = "too_young"
    TOO_OLD = "too_old"
    WEIGHT = "underweight"
    HEMOGLOBIN = "low_hemoglobin"
    INTERVAL = "donated_recently"
    DEFERRAL = "deferred"


@dataclass(frozen=True, slots=True, kw_only=True)
class DonorFacts:
    """What is known of one donor, in local dates; None where unknown or never."""

    born_on: date
    sex: Sex
    consented: bool
    weight_kg: float | None = None
    hemoglobin_g_dl: float | None = None
    last_whole_blood_on: date | None = None
    deferred_until: date | None = None
    """The first day on which the blood centre would see the donor again."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One criterion a donor does not meet, in words, and the day it will be met; None where no date settles it."""

    code: Criterion
    text: str
    ends_on: date | None = None


@dataclass(frozen=True, slots=True)
class Eligibility:
    """Whether a donor may be asked, from which day (None: no date can be given), and why not yet."""

    eligible: bool
    eligible_on: date | None
    reasons: tuple[Reason, ...]
    unchecked: tuple[Criterion, ...]


def assess(policy: Policy, donor: DonorFacts, *, as_of: date, component: Component) -> Eligibility:
    """Assess one donor on the local date `as_of` for giving `component`."""
    criteria = policy.criteria(component)
    reasons = tuple(_reasons(criteria, donor, as_of))
    measured = (
        (Criterion.WEIGHT, criteria.minimum_weight_kg, donor.weight_kg),
        (Criterion.HEMOGLOBIN, criteria.minimum_hemoglobin_g_dl, donor.hemoglobin_g_dl),
    )
    unchecked = tuple(code for code, minimum, value in measured if minimum is not None and value is None)
    return Eligibility(not reasons, _eligible_on(criteria, donor, as_of, reasons), reasons, unchecked)


def _reasons(criteria: Criteria, donor: DonorFacts, as_of: date) -> Iterator[Reason]:
    if not donor.consented:
        yield Reason(Criterion.CONSENT, "has not agreed to be contacted")
    of_age = _birthday(donor.born_on, criteria.minimum_age)
    if as_of < of_age:
        yield Reason(Criterion.TOO_YOUNG, f"younger than {criteria.minimum_age}: eligible on {of_age}", of_age)
    too_old = _too_old_on(criteria, donor)
    if too_old is not None and as_of >= too_old:
        limit = "for a first donation" if donor.last_whole_blood_on is None else "for repeat donors"
        yield Reason(Criterion.TOO_OLD, f"over the age limit {limit} since {too_old}")
    if criteria.minimum_weight_kg is not None and _below(donor.weight_kg, criteria.minimum_weight_kg):
        yield Reason(Criterion.WEIGHT, f"weight below {criteria.minimum_weight_kg:g} kg")
    if (minimum := criteria.minimum_hemoglobin_g_dl) is not None:
        threshold = minimum.by_code[donor.sex]
        if _below(donor.hemoglobin_g_dl, threshold):
            yield Reason(Criterion.HEMOGLOBIN, f"haemoglobin below {threshold:g} g/dL")
    if (last := donor.last_whole_blood_on) is not None:
        days = int(criteria.days_since_whole_blood.by_code[donor.sex])
        if as_of < (ends := last + timedelta(days=days)):
            text = f"last whole-blood donation {last}, {days} days between donations: eligible on {ends}"
            yield Reason(Criterion.INTERVAL, text, ends)
    if donor.deferred_until is not None and as_of < donor.deferred_until:
        text = f"deferred by the blood centre: eligible on {donor.deferred_until}"
        yield Reason(Criterion.DEFERRAL, text, donor.deferred_until)


def _eligible_on(criteria: Criteria, donor: DonorFacts, as_of: date, reasons: tuple[Reason, ...]) -> date | None:
    ends = [reason.ends_on for reason in reasons if reason.ends_on is not None]
    if len(ends) < len(reasons):
        return None
    day = max(ends, default=as_of)
    too_old = _too_old_on(criteria, donor)
    return day if too_old is None or day < too_old else None


def _birthday(born_on: date, years: int) -> date:
    try:
        return born_on.replace(year=born_on.year + years)
    except ValueError:  # 29 February: of age on 1 March
        return date(born_on.year + years, 3, 1)


def _too_old_on(criteria: Criteria, donor: DonorFacts) -> date | None:
    limit = criteria.maximum_age if donor.last_whole_blood_on is not None else criteria.first_time_limit
    return None if limit is None else _birthday(donor.born_on, limit + 1)


def _below(value: float | None, minimum: float) -> bool:
    return value is not None and value < minimum


def facts_of(donors: Donors, row: int, *, last_whole_blood_at: float, time_zone: str = TIME_ZONE) -> DonorFacts:
    """Return what the columns know of the donor in `row`; `last_whole_blood_at` is NaN for none."""
    zone = ZoneInfo(time_zone)
    deferred_until = _moment(donors.deferred_until[row], zone)
    if deferred_until is not None and deferred_until.time() != datetime.min.time():
        deferred_until += timedelta(days=1)  # a deferral that ends during a day ends with that day
    last = _moment(last_whole_blood_at, zone)
    return DonorFacts(
        born_on=datetime.fromtimestamp(donors.born_at[row], zone).date(),
        sex=Sex(donors.sex[row]),
        consented=bool(donors.consented[row]),
        weight_kg=_known(donors.weight_kg[row]),
        hemoglobin_g_dl=_known(donors.hemoglobin_g_dl[row]),
        last_whole_blood_on=last and last.date(),
        deferred_until=deferred_until and deferred_until.date(),
    )


def _moment(at: float, zone: ZoneInfo) -> datetime | None:
    return None if np.isnan(at) else datetime.fromtimestamp(at, zone)


def _known(value: np.floating) -> float | None:
    return None if np.isnan(value) else float(value)
