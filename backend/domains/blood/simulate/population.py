"""The people of the simulated world: what is on record of them, and the latent traits that no record shows."""

from dataclasses import dataclass

import numpy as np

from backend.domains.blood.geography import distance_km
from backend.domains.blood.horizons import DAY
from backend.domains.blood.records import BLOOD_GROUPS, Donors, Flags, Floats, Sex
from backend.domains.blood.rules import GROUP_SHARES
from backend.domains.blood.simulate.parameters import WorldParameters
from backend.domains.blood.simulate.places import towns

YEAR = 365.25 * DAY


@dataclass(frozen=True, slots=True)
class Traits:
    """What drives a donor and is never recorded; all (donors,)."""

    willingness: Floats  # logits of acceptance
    promptness: Floats  # log of how much faster than the median
    reliability: Floats  # logits of keeping a commitment
    deferral: Floats  # probability of failing the screening
    lapsed_at: Floats  # stops for good
    camp_rate: Floats  # donations without a request, per year while allowed
    interval: Floats  # seconds between donations
    male: Flags


def draw_donors(rng: np.random.Generator, *, count: int, end: float, parameters: WorldParameters) -> Donors:
    """Draw `count` donors who registered over the years before `end`, living around the towns of their district."""
    places = towns()
    town = rng.choice(len(places.weight), size=count, p=places.weight)
    # Gamma rings around a town's centre: most people a few kilometres out, nobody exactly in it.
    out_km = rng.gamma(1.6, 3.0, size=count)
    bearing = rng.uniform(0.0, 2.0 * np.pi, size=count)
    degree_km = float(distance_km(np.array([10.0]), np.array([76.0]), 11.0, 76.0)[0])
    latitude = places.latitude[town] + out_km * np.cos(bearing) / degree_km
    longitude = places.longitude[town] + out_km * np.sin(bearing) / degree_km / np.cos(np.radians(latitude))
    shares = np.array([GROUP_SHARES[name] for name in BLOOD_GROUPS])
    true_sex = np.where(rng.random(count) < parameters.female_share, Sex.FEMALE, Sex.MALE)
    sex = np.where(rng.random(count) < parameters.unknown_sex_share, Sex.UNKNOWN, true_sex)
    registered_at = end - YEAR * parameters.registration_years * rng.random(count)
    age = np.minimum(18.0 + rng.gamma(1.7, 8.0, size=count), 58.0)
    woman = true_sex == Sex.FEMALE
    weight = np.maximum(rng.normal(np.where(woman, 57.0, 68.0), np.where(woman, 9.0, 10.0)), 38.0)
    weight[rng.random(count) < parameters.weight_unknown_share] = np.nan
    hemoglobin = rng.normal(np.where(woman, 12.8, 14.6), 1.1)
    hemoglobin[rng.random(count) < parameters.hemoglobin_unknown_share] = np.nan
    return Donors(
        id=np.arange(1, count + 1),
        latitude=latitude,
        longitude=longitude,
        district=places.district[town],
        blood_group=rng.choice(len(shares), size=count, p=shares / shares.sum()).astype(np.int8),
        sex=sex.astype(np.int8),
        born_at=registered_at - YEAR * age,
        weight_kg=weight.astype(np.float32),
        hemoglobin_g_dl=hemoglobin.astype(np.float32),
        registered_at=registered_at,
        consented=rng.random(count) < parameters.consent_share,
        deferred_until=np.full(count, np.nan),
    )


def draw_traits(rng: np.random.Generator, *, donors: Donors, parameters: WorldParameters) -> Traits:
    """Draw what drives each donor; a recorded low haemoglobin goes with failing the screening more often."""
    count = len(donors)
    woman = donors.sex == Sex.FEMALE
    will = rng.standard_normal(count)
    share = parameters.willing_are_reliable
    steady = share * will + np.sqrt(1.0 - share**2) * rng.standard_normal(count)
    usual = np.where(woman, 12.8, 14.6)
    low = np.where(np.isnan(donors.hemoglobin_g_dl), rng.standard_normal(count), usual - donors.hemoglobin_g_dl)
    rate = np.where(woman, parameters.deferral_female, parameters.deferral_male)
    # A spread of s logits pulls the mean rate towards one half; the divisor puts the source's rate back (MacKay 1992).
    odds = np.log(rate / (1.0 - rate)) * np.sqrt(1.0 + np.pi * parameters.deferral_sd**2 / 8.0)
    camp = parameters.camp_rate * np.exp(parameters.camp_willingness * will)
    return Traits(
        willingness=parameters.willingness_sd * will,
        promptness=parameters.promptness_sd * rng.standard_normal(count),
        reliability=parameters.reliability_sd * steady,
        deferral=1.0 / (1.0 + np.exp(-odds - parameters.deferral_sd * low)),
        lapsed_at=donors.registered_at + YEAR * parameters.lapse_years * rng.exponential(np.exp(0.4 * will)),
        camp_rate=camp * np.where(woman, 1.0, parameters.male_rate),
        interval=DAY * np.where(woman, parameters.interval_female_days, parameters.interval_male_days),
        male=~woman,
    )
