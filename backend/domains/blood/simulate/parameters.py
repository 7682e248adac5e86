"""How the simulated world behaves: every effect size, with its source or the word assumption."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorldParameters:
    """The laws of the simulated world. Effects are in logits unless a unit is named; sources in `docs/models.md`.

    UCI: recency x frequency table of the 748 donors of Hsinchu (OpenML 1464). NHS: no-shows and late cancellations of
    the week before Christmas. Brazil: return of 115,553 donors. Bangalore: on-site deferrals by sex.
    """

    # Donors
    female_share: float = 0.25  # assumption; about a tenth of India's donors are women, more of an app's users
    unknown_sex_share: float = 0.02  # assumption
    consent_share: float = 0.92  # assumption
    weight_unknown_share: float = 0.15  # assumption
    hemoglobin_unknown_share: float = 0.40  # assumption
    registration_years: float = 8.0  # before the end, evenly: assumption
    willingness_sd: float = 0.75  # latent; chosen so that the oracle AUC is .78-.85
    promptness_sd: float = 0.60  # latent, of the log response time: assumption
    reliability_sd: float = 0.90  # latent: assumption
    willing_are_reliable: float = 0.40  # correlation of the first and the third: assumption
    lapse_years: float = 8.0  # mean time until a donor stops for good: assumption
    lapsed_effect: float = -1.3  # of having stopped, on acceptance: assumption

    # Donations without a request: camps and walk-ins
    camp_rate: float = 0.55  # per year for the median donor; Brazil: 40 % return within a year, 30 % never
    camp_willingness: float = 0.80  # log rate per willingness sd; frailty wide enough for Brazil's 30 % never
    male_rate: float = 1.25  # factor; Brazil: odds ratio 1.17-1.35
    interval_male_days: float = 90.0  # NBTC 2017, whole blood
    interval_female_days: float = 120.0  # NBTC 2017, whole blood

    # Acceptance
    accept_base: float = -0.10  # a male first-time donor at 0 km for a routine request by day: assumption
    male_accept: float = 0.22  # log(1.25), Brazil
    recency_months: tuple[float, ...] = (0.0, 3.0, 6.0, 12.0, 21.0, 36.0)
    recency_effect: tuple[float, ...] = (0.30, 0.25, 0.0, -0.55, -0.90, -1.10)  # UCI, falling with recency
    never_donated: float = -0.60  # Brazil: 28 % of first-time, 56 % of repeat donors come back in two years, in part
    distance_efold_km: float = 15.0  # of the odds; no published minute-level curve, 8-15 km is an assumption
    urgency_effect: tuple[float, ...] = (0.0, 0.20, 0.50, 0.85)  # assumption; patient stories x1.18
    own_group: float = 0.15  # the request is for the donor's own group: assumption
    evening: float = 0.12  # 17-21 h; +6.5 % donations after evening texts
    night: float = -0.70  # 23-6 h: assumption
    weekend: float = 0.15  # Malaysia: Saturday 1.11, Sunday 1.68 of the mean day's donations, in part
    age_per_decade: float = 0.12  # from 35: assumption; age is among the strongest in the SMS study
    fatigue: float = -0.12  # per ask in (about) the last 30 days: assumption; 64 % of donors fear too many alerts
    after_no_show: float = -0.90  # NHS: 2.5 x less likely to rebook
    after_deferral: float = -0.70  # Netherlands: first-time donors return 82 %, deferred 69 %
    request_sd: float = 0.45  # shared by all donors asked for one request: assumption
    drift_per_year: float = -0.10  # the novelty wears off: assumption
    summer: float = -0.20  # April and May, South India's gap in supply
    decline_share: float = 0.45  # of those who do not accept, say so: assumption

    # Response time
    median_hours: tuple[float, ...] = (3.0, 2.2, 1.4, 0.8)  # by urgency: assumption
    response_log_sd: float = 1.10  # within one donor: assumption
    decline_slower: float = 0.30  # log time: assumption
    asleep_share: float = 0.60  # asked at night, starts to think at 7 h: assumption

    # Commitment: accepted, then arrives or not
    keep_base: float = 1.45  # with the latent's spread about 80 % arrive; NHS: 10 % no-show, 25 % late cancellation
    keep_per_urgency: float = 0.20  # per level: assumption
    keep_per_km: float = -0.015  # lapse rises with each km; size is an assumption
    no_show_share: float = 0.29  # of broken commitments; NHS 10 / 35
    speed_kmh: float = 30.0  # on Kerala's roads: assumption
    processing_hours: float = 0.75  # from arrival to the end of the donation: assumption
    in_time_share: float = 0.93  # comes when needed rather than later, given that time is left: assumption

    # Screening
    deferral_male: float = 0.041  # Bangalore
    deferral_female: float = 0.199  # Bangalore; Pune 53.5 %
    deferral_sd: float = 1.0  # latent haemoglobin: assumption
    deferral_days: float = 90.0  # assumption

    # Requests
    requests_per_day: float = 4.0  # of a platform with 2,000 donors: assumption
    requests_exponent: float = 0.75  # growth with donors: an ask reaches more of them, assumption
    requests_per_day_most: float = 850.0  # Kerala: 590,726 units in 2023-24, at 1.9 units a request
    urgency_shares: tuple[float, ...] = (0.35, 0.30, 0.22, 0.13)  # assumption
    component_shares: tuple[float, ...] = (0.80, 0.08, 0.12)  # red cells, plasma, platelets: assumption
    units_extra: float = 0.9  # mean of the geometric number beyond the first: assumption
    units_most: int = 10
    needed_by_share: float = 0.55  # state a time: assumption
    needed_by_log_sd: float = 0.35  # around the urgency's horizon: assumption
    cancelled_share: float = 0.08  # assumption
    weekday_factors: tuple[float, ...] = (1.10, 1.06, 1.04, 1.03, 1.02, 0.92, 0.83)  # from Monday: assumption
    surge_days_per_year: float = 14.0  # Toronto: 14 days a year at least half above the 90-day mean
    surge_factor: float = 1.69  # Toronto: +69 % on such days
    growth_per_year: float = 0.10  # of requests: assumption

    # The historical notification policy
    asks_per_unit: float = 9.0  # assumption
    asks_most: int = 60
    radius_km: float = 30.0  # assumption
    far_share: float = 0.10  # asked regardless of distance up to `far_km`, so that far donors are not unknown
    far_km: float = 60.0
    rest_days: float = 7.0  # no second ask within: common practice
    rest_days_critical: float = 2.0
    ask_delay_hours: float = 1.5  # mean from request to ask; staggered: assumption

    # What is recorded
    outcome_lost_share: float = 0.06  # of outcomes of accepted commitments: assumption
