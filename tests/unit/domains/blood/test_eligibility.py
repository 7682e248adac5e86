from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from backend.domains.blood.eligibility import Criterion, DonorFacts, Eligibility, assess, facts_of
from backend.domains.blood.policies import INDIA, POLICIES, UNITED_KINGDOM, UNITED_STATES, WHO
from backend.domains.blood.records import Component, Donors, Sex

KOLKATA = ZoneInfo("Asia/Kolkata")
TODAY = date(2026, 11, 21)
ADULT = DonorFacts(born_on=date(1990, 5, 4), sex=Sex.MALE, consented=True, weight_kg=70.0, hemoglobin_g_dl=14.5)


def in_india(donor: DonorFacts, *, as_of: date = TODAY, component: Component = Component.RED_CELLS) -> Eligibility:
    return assess(INDIA, donor, as_of=as_of, component=component)


def codes(answer: Eligibility) -> list[Criterion]:
    return [reason.code for reason in answer.reasons]


def test_a_well_adult_who_never_donated_is_eligible_today() -> None:
    assert in_india(ADULT) == Eligibility(eligible=True, eligible_on=TODAY, reasons=(), unchecked=())


def test_a_recent_donation_is_explained_with_its_dates() -> None:
    answer = in_india(replace(ADULT, last_whole_blood_on=date(2026, 10, 1)))
    assert not answer.eligible
    assert answer.eligible_on == date(2026, 12, 30)
    assert answer.reasons[0].text == (
        "last whole-blood donation 2026-10-01, 90 days between donations: eligible on 2026-12-30"
    )


@pytest.mark.parametrize(("sex", "expected"), [(Sex.MALE, 90), (Sex.FEMALE, 120), (Sex.UNKNOWN, 120)])
def test_the_interval_depends_on_sex_and_unknown_takes_the_longer(sex: Sex, expected: int) -> None:
    donated = date(2026, 1, 1)
    answer = in_india(replace(ADULT, sex=sex, last_whole_blood_on=donated), as_of=date(2026, 1, 2))
    assert answer.eligible_on is not None
    assert (answer.eligible_on - donated).days == expected


def test_the_day_the_interval_ends_counts() -> None:
    donor = replace(ADULT, last_whole_blood_on=date(2026, 10, 1))
    assert not in_india(donor, as_of=date(2026, 12, 29)).eligible
    assert in_india(donor, as_of=date(2026, 12, 30)).eligible


def test_platelets_may_follow_whole_blood_after_28_days_in_india() -> None:
    donor = replace(ADULT, last_whole_blood_on=date(2026, 10, 24))
    assert in_india(donor, component=Component.PLATELETS).eligible
    assert not in_india(donor, component=Component.RED_CELLS).eligible
    assert not in_india(donor, component=Component.PLASMA).eligible


def test_platelets_ask_for_50_kg_where_whole_blood_asks_for_45_in_india() -> None:
    donor = replace(ADULT, weight_kg=47.0)
    assert in_india(donor).eligible
    assert codes(in_india(donor, component=Component.PLATELETS)) == [Criterion.WEIGHT]


def test_a_donor_is_of_age_on_the_birthday() -> None:
    donor = replace(ADULT, born_on=date(2008, 11, 21))
    assert in_india(donor, as_of=date(2026, 11, 21)).eligible
    answer = in_india(donor, as_of=date(2026, 11, 20))
    assert codes(answer) == [Criterion.TOO_YOUNG]
    assert answer.eligible_on == date(2026, 11, 21)


def test_those_born_on_29_february_are_of_age_on_1_march() -> None:
    answer = in_india(replace(ADULT, born_on=date(2008, 2, 29)), as_of=date(2026, 2, 28))
    assert answer.eligible_on == date(2026, 3, 1)


def test_a_first_donation_is_accepted_until_60_and_a_repeated_one_until_65_in_india() -> None:
    at_62 = replace(ADULT, born_on=date(1964, 11, 1))
    assert codes(in_india(at_62)) == [Criterion.TOO_OLD]
    assert in_india(replace(at_62, last_whole_blood_on=date(2025, 1, 1))).eligible
    at_66 = replace(ADULT, born_on=date(1960, 11, 21), last_whole_blood_on=date(2025, 1, 1))
    assert codes(in_india(at_66)) == [Criterion.TOO_OLD]
    assert in_india(at_66, as_of=date(2026, 11, 20)).eligible


def test_no_date_is_promised_when_the_age_limit_comes_first() -> None:
    donor = replace(ADULT, born_on=date(1960, 12, 1), last_whole_blood_on=date(2026, 11, 1))
    answer = in_india(donor)
    assert codes(answer) == [Criterion.INTERVAL]
    assert answer.eligible_on is None


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"consented": False}, Criterion.CONSENT),
        ({"weight_kg": 44.9}, Criterion.WEIGHT),
        ({"hemoglobin_g_dl": 12.4}, Criterion.HEMOGLOBIN),
    ],
)
def test_no_date_is_promised_for_what_time_alone_does_not_change(facts: dict[str, float], code: Criterion) -> None:
    answer = in_india(replace(ADULT, **facts, last_whole_blood_on=date(2026, 11, 1)))
    assert code in codes(answer)
    assert answer.eligible_on is None


def test_reasons_do_not_repeat_what_was_measured() -> None:
    answer = in_india(replace(ADULT, weight_kg=43.21, hemoglobin_g_dl=9.87))
    assert [reason.text for reason in answer.reasons] == ["weight below 45 kg", "haemoglobin below 12.5 g/dL"]


def test_unknown_measurements_exclude_nobody_and_are_named() -> None:
    answer = in_india(replace(ADULT, weight_kg=None, hemoglobin_g_dl=None))
    assert answer.eligible
    assert answer.unchecked == (Criterion.WEIGHT, Criterion.HEMOGLOBIN)


def test_a_deferral_lasts_until_its_day() -> None:
    donor = replace(ADULT, deferred_until=date(2026, 12, 5))
    assert in_india(donor).eligible_on == date(2026, 12, 5)
    assert codes(in_india(donor, as_of=date(2026, 12, 4))) == [Criterion.DEFERRAL]
    assert in_india(donor, as_of=date(2026, 12, 5)).eligible


def test_the_last_obstacle_decides_the_day() -> None:
    donor = replace(ADULT, last_whole_blood_on=date(2026, 10, 1), deferred_until=date(2027, 2, 1))
    answer = in_india(donor)
    assert codes(answer) == [Criterion.INTERVAL, Criterion.DEFERRAL]
    assert answer.eligible_on == date(2027, 2, 1)


@pytest.mark.parametrize(
    ("policy", "sex", "weeks"),
    [
        (WHO, Sex.MALE, 12),
        (WHO, Sex.FEMALE, 16),
        (UNITED_KINGDOM, Sex.MALE, 12),
        (UNITED_KINGDOM, Sex.FEMALE, 16),
        (UNITED_STATES, Sex.MALE, 8),
        (UNITED_STATES, Sex.FEMALE, 8),
    ],
    ids=lambda value: getattr(value, "code", value),
)
def test_other_countries_count_in_weeks(policy: object, sex: Sex, weeks: int) -> None:
    assert policy in POLICIES.values()
    donor = replace(ADULT, sex=sex, last_whole_blood_on=TODAY)
    answer = assess(policy, donor, as_of=TODAY, component=Component.RED_CELLS)  # type: ignore[arg-type]
    assert answer.eligible_on is not None
    assert (answer.eligible_on - TODAY).days == 7 * weeks


def test_haemoglobin_thresholds_differ_by_sex_in_britain_and_unknown_takes_the_higher() -> None:
    at_13 = replace(ADULT, hemoglobin_g_dl=13.0)
    answers = {
        sex: assess(UNITED_KINGDOM, replace(at_13, sex=sex), as_of=TODAY, component=Component.RED_CELLS).eligible
        for sex in Sex
    }
    assert answers == {Sex.FEMALE: True, Sex.MALE: False, Sex.UNKNOWN: False}


def test_regular_british_donors_have_no_upper_age_but_first_donations_end_at_the_66th_birthday() -> None:
    born = date(1960, 11, 21)
    first = assess(UNITED_KINGDOM, replace(ADULT, born_on=born), as_of=TODAY, component=Component.RED_CELLS)
    regular = replace(ADULT, born_on=born, last_whole_blood_on=date(2025, 1, 1))
    assert codes(first) == [Criterion.TOO_OLD]
    assert assess(UNITED_KINGDOM, regular, as_of=TODAY, component=Component.RED_CELLS).eligible


def test_what_a_policy_does_not_state_is_not_checked() -> None:
    donor = replace(ADULT, weight_kg=None, hemoglobin_g_dl=9.0)
    answer = assess(UNITED_STATES, donor, as_of=TODAY, component=Component.RED_CELLS)
    assert answer.eligible
    assert answer.unchecked == ()


def test_every_policy_is_listed_by_its_code_with_a_source() -> None:
    assert all(code == policy.code and policy.source for code, policy in POLICIES.items())


def test_facts_are_read_from_columns_as_local_dates(make_donors: Callable[..., Donors]) -> None:
    donors = make_donors(
        2,
        sex=[Sex.FEMALE, Sex.UNKNOWN],
        born_at=datetime(1990, 5, 4, tzinfo=KOLKATA).timestamp(),
        weight_kg=[60.0, np.nan],
        hemoglobin_g_dl=[np.nan, 13.0],
        consented=[True, False],
        deferred_until=[datetime(2026, 12, 5, tzinfo=KOLKATA).timestamp(), np.nan],
    )
    half_past_midnight_in_india = datetime(2026, 10, 1, 0, 30, tzinfo=KOLKATA).timestamp()
    assert facts_of(donors, 0, last_whole_blood_at=half_past_midnight_in_india) == DonorFacts(
        born_on=date(1990, 5, 4),
        sex=Sex.FEMALE,
        consented=True,
        weight_kg=60.0,
        last_whole_blood_on=date(2026, 10, 1),
        deferred_until=date(2026, 12, 5),
    )
    assert facts_of(donors, 1, last_whole_blood_at=np.nan) == DonorFacts(
        born_on=date(1990, 5, 4), sex=Sex.UNKNOWN, consented=False, hemoglobin_g_dl=13.0
    )


def test_a_deferral_that_ends_during_a_day_ends_with_it(make_donors: Callable[..., Donors]) -> None:
    noon = datetime(2026, 12, 5, 12, 0, tzinfo=KOLKATA).timestamp()
    facts = facts_of(make_donors(1, deferred_until=noon), 0, last_whole_blood_at=np.nan)
    assert facts.deferred_until == date(2026, 12, 6)
