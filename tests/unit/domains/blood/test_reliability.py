import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from backend.domains.blood.history import HALF_LIFE, index_commitments
from backend.domains.blood.records import Outcome
from backend.domains.blood.reliability import Evidence, gather, posterior_quantile

NOW = 1_780_000_000.0
PRIOR = (5.0, 1.5)
ENDS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(list(Outcome)), st.integers(-2000, 2000)), max_size=40
)  # donor, outcome, days from now
DAY = 86_400.0


def evidence(ends: list[tuple[int, Outcome, float]], *, donors: int = 4) -> Evidence:
    outcomes = index_commitments(
        donors=donors,
        donor=np.array([donor for donor, _, _ in ends], dtype=np.int32),
        outcome=np.array([outcome for _, outcome, _ in ends], dtype=np.int8),
        ended_at=np.array([NOW + days * DAY for _, _, days in ends], dtype=np.float64),
    )
    return gather(outcomes, donors=donors, as_of=NOW)


@given(ENDS)
def test_evidence_is_the_decayed_count_of_what_ended_before(ends: list[tuple[int, Outcome, int]]) -> None:
    found = evidence(ends)
    for donor in range(4):
        mine = [(outcome, days) for who, outcome, days in ends if who == donor and days < 0]

        def weight(*outcomes: Outcome, mine: list[tuple[Outcome, int]] = mine) -> float:
            return sum(2.0 ** (days * DAY / HALF_LIFE) for outcome, days in mine if outcome in outcomes)

        assert found.kept[donor] == pytest.approx(weight(Outcome.DONATED))
        assert found.broken[donor] == pytest.approx(weight(Outcome.NO_SHOW, Outcome.LATE_CANCEL))
        assert found.n[donor] == pytest.approx(found.kept[donor] + found.broken[donor])
        assert found.commitments[donor] == sum(
            outcome in (Outcome.DONATED, Outcome.NO_SHOW, Outcome.LATE_CANCEL) for outcome, _ in mine
        )


@given(ENDS)
def test_medical_deferrals_and_cancelled_requests_change_no_digit(ends: list[tuple[int, Outcome, int]]) -> None:
    counted = [end for end in ends if end[1] not in (Outcome.DEFERRED, Outcome.REQUEST_CANCELLED)]
    with_all, without = evidence(ends), evidence(counted)
    np.testing.assert_array_equal(with_all.features, without.features)
    np.testing.assert_array_equal(with_all.commitments, without.commitments)


def test_a_donor_without_commitments_has_the_prior() -> None:
    lower = posterior_quantile(evidence([]), prior=PRIOR)
    assert lower == pytest.approx(np.full(4, beta.ppf(0.10, *PRIOR)))


def test_the_lower_end_rises_with_evidence_of_the_same_rate() -> None:
    many = [(0, Outcome.DONATED, -1)] * 40 + [(0, Outcome.NO_SHOW, -1)] * 12
    few = [(1, Outcome.DONATED, -1)] * 10 + [(1, Outcome.NO_SHOW, -1)] * 3
    lower = posterior_quantile(evidence([*many, *few]), prior=PRIOR)
    assert lower[0] > lower[1] > lower[2]


@given(st.floats(0.0, 50.0), st.floats(0.0, 50.0))
def test_one_more_kept_raises_the_lower_end_and_one_more_broken_lowers_it(kept: float, broken: float) -> None:
    def lower(k: float, b: float) -> float:
        found = Evidence(np.empty((1, 5)), np.array([k]), np.array([b]), np.zeros(1, dtype=np.int64))
        return float(posterior_quantile(found, prior=PRIOR)[0])

    assert lower(kept, broken + 1.0) < lower(kept, broken) < lower(kept + 1.0, broken)
