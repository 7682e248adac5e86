"""What donors do when asked: the probabilities that rule it, and draws from them. Nothing here scores anybody."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr

from backend.domains.blood.horizons import HOUR, IST_SECONDS, local_hour, local_weekday
from backend.domains.blood.records import Answer, Codes, Flags, Floats, Outcome, Rows
from backend.domains.blood.simulate.parameters import WorldParameters
from backend.domains.blood.simulate.population import YEAR, Traits

ANSWER_HOURS = (1.0, 2.0, 4.0, 12.0)
"""Times after the ask for which the truth says how likely an answer is by then."""

WAKING_HOUR = 7.0


@dataclass(frozen=True, slots=True)
class Situation:
    """One moment of asking, a row an ask: who, for what, and what the donor carries from before."""

    donor: Rows
    asked_at: Floats
    distance_km: Floats
    urgency: Codes
    hours: Floats  # from the ask to the deadline
    own_group: Flags
    shock: Floats  # of the request
    age_years: Floats
    since_donation: Floats  # seconds, NaN: never donated
    recent_asks: Floats
    broke_last: Flags  # did not come the last time
    deferred_last: Flags


@dataclass(frozen=True, slots=True)
class Chances:
    """The probabilities of a situation, a row an ask, knowing every latent trait."""

    willing: Floats
    accept: Floats  # says yes before the deadline
    keep: Floats  # arrives, having said yes
    donated_in_time: Floats
    answered: Floats  # (n, 4): says anything within ANSWER_HOURS


@dataclass(frozen=True, slots=True)
class Deeds:
    """What happened, a row an ask; NaN where something did not."""

    answer: Codes
    answered_at: Floats
    arrived_at: Floats
    outcome: Codes
    ended_at: Floats


def acceptance_logit(s: Situation, traits: Traits, p: WorldParameters, *, end: float) -> Floats:
    """Return the logit (n,) of being willing."""
    hour = local_hour(s.asked_at)
    month = (s.asked_at + IST_SECONDS).astype("datetime64[s]").astype("datetime64[M]").astype(np.int64) % 12
    recency = np.interp(s.since_donation / (YEAR / 12), p.recency_months, p.recency_effect)
    return np.asarray(
        p.accept_base
        + traits.willingness[s.donor]
        + p.male_accept * traits.male[s.donor]
        + np.where(np.isnan(s.since_donation), p.never_donated, recency)
        - s.distance_km / p.distance_efold_km
        + np.array(p.urgency_effect)[s.urgency - 1]
        + p.own_group * s.own_group
        + p.evening * ((hour >= 17) & (hour < 21))
        + p.night * _asleep(hour)
        + p.weekend * (local_weekday(s.asked_at) >= 5)
        + p.age_per_decade * (s.age_years - 35.0) / 10.0
        + p.fatigue * s.recent_asks
        + p.after_no_show * s.broke_last
        + p.after_deferral * s.deferred_last
        + p.summer * ((month == 3) | (month == 4))
        + p.drift_per_year * (s.asked_at - end) / YEAR
        + p.lapsed_effect * (s.asked_at > traits.lapsed_at[s.donor])
        + s.shock
    )


def chances(s: Situation, traits: Traits, p: WorldParameters, *, end: float) -> Chances:
    """Return what each ask's chances are, in closed form."""
    willing = expit(acceptance_logit(s, traits, p, end=end))
    keep = expit(
        p.keep_base + traits.reliability[s.donor] + p.keep_per_urgency * (s.urgency - 1) + p.keep_per_km * s.distance_km
    )
    accept = willing * _answered_by(s.hours, s, traits, p, slower=0.0)
    soon_enough = willing * _answered_by(s.hours - _way_hours(s, p), s, traits, p, slower=0.0)
    declines = (1.0 - willing) * p.decline_share
    answered = [
        np.where(
            hours > s.hours,
            np.nan,  # nobody listens after the deadline
            willing * _answered_by(np.full(len(willing), hours), s, traits, p, slower=0.0)
            + declines * _answered_by(np.full(len(willing), hours), s, traits, p, slower=p.decline_slower),
        )
        for hours in ANSWER_HOURS
    ]
    return Chances(
        willing=willing,
        accept=accept,
        keep=keep,
        donated_in_time=soon_enough * keep * (1.0 - traits.deferral[s.donor]) * p.in_time_share,
        answered=np.stack(answered, axis=1),
    )


def act(rng: np.random.Generator, s: Situation, c: Chances, traits: Traits, p: WorldParameters) -> Deeds:
    """Draw what each donor does; answers after the deadline are not heard."""
    n = len(s.donor)
    yes = rng.random(n) < c.willing
    no = ~yes & (rng.random(n) < p.decline_share)
    took = _response_hours(rng, s, traits, p, slower=np.where(yes, 0.0, p.decline_slower))
    heard = (yes | no) & (took <= s.hours)
    accepted, deadline = yes & heard, s.asked_at + HOUR * s.hours
    answered_at = np.where(heard, s.asked_at + HOUR * took, np.nan)

    arrives = accepted & (rng.random(n) < c.keep)
    way = _way_hours(s, p) - p.processing_hours
    slack = s.hours - took - way - p.processing_hours
    in_time = (slack > 0.0) & (rng.random(n) < p.in_time_share)
    wait = np.where(in_time, slack * rng.beta(1.2, 2.5, size=n), np.maximum(slack, 0.0) + rng.exponential(5.0, size=n))
    arrived_at = np.where(arrives, answered_at + HOUR * (way + wait), np.nan)
    fails = rng.random(n) < traits.deferral[s.donor]
    silent = rng.random(n) < p.no_show_share

    outcome = np.select(
        [arrives & fails, arrives, accepted & silent, accepted],
        [Outcome.DEFERRED, Outcome.DONATED, Outcome.NO_SHOW, Outcome.LATE_CANCEL],
        Outcome.PENDING,
    )
    excused_at = answered_at + rng.random(n) * (deadline - answered_at)
    ended_at = np.select(
        [arrives, accepted & silent, accepted],
        [arrived_at + HOUR * p.processing_hours, deadline + 2 * HOUR, excused_at],
        np.nan,
    )
    answer = np.select([accepted, heard], [Answer.ACCEPTED, Answer.DECLINED], Answer.NONE)
    return Deeds(answer.astype(np.int8), answered_at, arrived_at, outcome.astype(np.int8), ended_at)


def _asleep(hour: Floats) -> Flags:
    return (hour >= 23) | (hour < 6)


def _way_hours(s: Situation, p: WorldParameters) -> Floats:
    """Return the hours from saying yes to the end of a donation for somebody who leaves at once."""
    return np.asarray(s.distance_km / p.speed_kmh + p.processing_hours)


def _hours_to_waking(s: Situation) -> Floats:
    hour = local_hour(s.asked_at)
    return np.where(_asleep(hour), np.mod(WAKING_HOUR - hour, 24.0), 0.0)


def _log_median(s: Situation, traits: Traits, p: WorldParameters) -> Floats:
    return np.asarray(np.log(np.array(p.median_hours))[s.urgency - 1] - traits.promptness[s.donor])


def _answered_by(hours: Floats, s: Situation, traits: Traits, p: WorldParameters, *, slower: float) -> Floats:
    """Return the chance (n,) that somebody who will answer has done so `hours` after the ask: a lognormal clock."""
    centre, wake = _log_median(s, traits, p) + slower, _hours_to_waking(s)
    awake = ndtr((np.log(np.maximum(hours, 1e-9)) - centre) / p.response_log_sd)
    later = ndtr((np.log(np.maximum(hours - wake, 1e-9)) - centre) / p.response_log_sd)
    return np.asarray((1.0 - p.asleep_share) * awake + p.asleep_share * later)


def _response_hours(
    rng: np.random.Generator, s: Situation, traits: Traits, p: WorldParameters, *, slower: Floats
) -> Floats:
    n = len(s.donor)
    asleep = rng.random(n) < p.asleep_share
    thinks = np.exp(_log_median(s, traits, p) + slower + p.response_log_sd * rng.standard_normal(n))
    return np.asarray(thinks + np.where(asleep, _hours_to_waking(s), 0.0))
