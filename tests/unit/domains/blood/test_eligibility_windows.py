from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domains.blood.eligibility import Criterion, assess, facts_of
from backend.domains.blood.eligibility_windows import eligible_mask, exclusion_counts, windows
from backend.domains.blood.policies import INDIA, POLICIES, Policy
from backend.domains.blood.records import Component, Donors, Sex

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=ZoneInfo("Asia/Kolkata")).timestamp()
DAY = 86_400.0
YEAR = 365.25 * DAY

# Whole days around "now" put donors on the thresholds; the offset moves them off midnight.
days_before = st.integers(-400, 400).map(float)
moments = st.builds(
    lambda days, offset: NOW - days * DAY + offset, days_before, st.sampled_from([0.0, -32_400.0, -32_401.0, 1.0])
)
donor_facts = st.fixed_dictionaries(
    {
        "born_at": st.builds(
            lambda years, days: NOW - years * YEAR + days * DAY,
            st.sampled_from([10, 17, 18, 30, 60, 61, 65, 66, 67, 90]),
            st.integers(-3, 3),
        ),
        "sex": st.sampled_from(list(Sex)),
        "weight_kg": st.sampled_from([np.nan, 44.5, 45.0, 49.5, 50.0, 80.0]),
        "hemoglobin_g_dl": st.sampled_from([np.nan, 11.5, 12.0, 12.5, 13.0, 13.5, 15.0]),
        "consented": st.booleans(),
        "deferred_until": st.one_of(st.just(np.nan), moments),
        "last_whole_blood_at": st.one_of(st.just(np.nan), moments.filter(lambda at: at < NOW)),
    }
)


@given(
    facts=st.lists(donor_facts, min_size=1, max_size=12),
    policy=st.sampled_from(list(POLICIES.values())),
    component=st.sampled_from(list(Component)),
    time_zone=st.sampled_from(["Asia/Kolkata", "Europe/London", "America/New_York"]),
    as_of=st.integers(-200, 200).map(lambda days: NOW + days * DAY),
)
def test_columns_give_the_answers_of_one_donor_at_a_time(
    *,
    make_donors: Callable[..., Donors],
    facts: list[dict[str, float]],
    policy: Policy,
    component: Component,
    time_zone: str,
    as_of: float,
) -> None:
    columns = {name: [one[name] for one in facts] for name in facts[0]}
    last = np.array(columns.pop("last_whole_blood_at"))
    donors = make_donors(len(facts), **columns)
    today = datetime.fromtimestamp(as_of, ZoneInfo(time_zone)).date()
    answers = [
        assess(
            policy,
            facts_of(donors, row, last_whole_blood_at=last[row], time_zone=time_zone),
            as_of=today,
            component=component,
        )
        for row in range(len(facts))
    ]

    mask = eligible_mask(policy, donors, last, as_of=as_of, component=component, time_zone=time_zone)
    assert mask.tolist() == [answer.eligible for answer in answers]

    found = windows(policy, donors, last, component=component, time_zone=time_zone)
    counted = {
        code: sum(code in [reason.code for reason in answer.reasons] for answer in answers) for code in Criterion
    }
    assert exclusion_counts(found, as_of) == counted

    # The day promised to one donor is the day their window opens.
    promised = [answer.eligible_on for answer in answers if not answer.eligible and answer.eligible_on is not None]
    opens = found.opens()[[not answer.eligible and answer.eligible_on is not None for answer in answers]]
    assert [datetime.fromtimestamp(at, ZoneInfo(time_zone)).date() for at in opens] == promised


def test_a_donor_with_two_obstacles_counts_for_each(make_donors: Callable[..., Donors]) -> None:
    donors = make_donors(2, weight_kg=[40.0, 70.0], consented=[False, True])
    found = windows(INDIA, donors, np.full(2, np.nan), component=Component.RED_CELLS)
    counts = exclusion_counts(found, NOW)
    assert counts[Criterion.CONSENT] == counts[Criterion.WEIGHT] == 1
    assert sum(counts.values()) == 2


def test_eligibility_begins_at_local_midnight(make_donors: Callable[..., Donors]) -> None:
    midnight = datetime(2026, 11, 21, tzinfo=ZoneInfo("Asia/Kolkata")).timestamp()
    born = datetime(2008, 11, 21, tzinfo=ZoneInfo("Asia/Kolkata")).timestamp()
    donors, never = make_donors(1, born_at=born), np.full(1, np.nan)
    eligible = [
        bool(eligible_mask(INDIA, donors, never, as_of=at, component=Component.RED_CELLS)[0])
        for at in (midnight - 1.0, midnight)
    ]
    assert eligible == [False, True]


@pytest.mark.parametrize("component", Component)
def test_no_donors_give_no_answers(make_donors: Callable[..., Donors], component: Component) -> None:
    assert eligible_mask(INDIA, make_donors(0), np.empty(0), as_of=NOW, component=component).shape == (0,)
