from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domains.blood.horizons import DAY, IST_SECONDS
from backend.domains.blood.outreach.outlook import Asked, State
from backend.domains.blood.outreach.planner import LEAST_CHANCE, decide, plan
from backend.domains.blood.outreach.plans import TARGET, Decision, Need, Plan, Prospects, Reason

HOUR = 3600.0
MIDNIGHT = 20_000 * DAY - IST_SECONDS  # in Kerala
MORNING = MIDNIGHT + 9 * HOUR
Pool = Callable[..., Callable[[float, float], Prospects]]


def need(*, units: int = 1, urgency: int = 2, hours: float = 48.0, stock: int = 0, now: float = MORNING) -> Need:
    return Need(units=units, usable_stock=stock, urgency=urgency, deadline=now + hours * HOUR, request_sd=0.4)


@pytest.fixture
def ask(asked: Callable[..., Asked], edges: np.ndarray, pool: Pool) -> Callable[..., Decision]:
    def make(
        need: Need, *, already: Asked | None = None, donors: int = 200, p: float = 0.2, now: float = MORNING
    ) -> Decision:
        return decide(need, asked() if already is None else already, now=now, edges=edges, score=pool(donors, p=p))

    return make


@pytest.fixture
def sketch(asked: Callable[..., Asked], edges: np.ndarray, pool: Pool) -> Callable[..., Plan]:
    def make(need: Need, *, already: Asked | None = None, donors: int = 200, now: float = MORNING) -> Plan:
        score = pool(donors, resting=20)
        return plan(need, asked() if already is None else already, now=now, edges=edges, score=score)

    return make


def test_stock_that_covers_the_need_disturbs_nobody(ask: Callable[..., Decision]) -> None:
    decision = ask(need(units=2, stock=2))
    assert (decision.wave, decision.reason, decision.probability) == (None, Reason.STOCK_COVERS, 1.0)
    assert not decision.escalate


def test_stock_that_covers_a_part_leaves_the_rest_to_donors(ask: Callable[..., Decision]) -> None:
    assert len(ask(need(units=3, stock=2)).wave.donor) == len(ask(need(units=1)).wave.donor)
    assert len(ask(need(units=3)).wave.donor) > len(ask(need(units=3, stock=2)).wave.donor)


def test_a_critical_request_asks_for_the_target_at_once_and_a_routine_one_for_less(
    ask: Callable[..., Decision],
) -> None:
    critical, routine = ask(need(urgency=4, hours=12.0)), ask(need(urgency=1, hours=96.0))
    assert critical.wave.probability >= TARGET
    assert 0.7 <= routine.wave.probability < TARGET
    assert len(routine.wave.donor) < len(critical.wave.donor)
    assert routine.look_again_at == MORNING + 3 * HOUR


def test_nobody_is_asked_when_those_asked_are_enough(ask: Callable[..., Decision], asked: Callable[..., Asked]) -> None:
    decision = ask(need(), already=asked([State.ACCEPTED] * 3, keep=0.8, at=MORNING - HOUR))
    assert (decision.wave, decision.reason) == (None, Reason.ENOUGH_LIKELY)
    assert decision.probability == pytest.approx(1.0 - 0.2**3)
    assert decision.look_again_at is not None


def test_a_request_waits_for_answers_before_it_asks_more(
    ask: Callable[..., Decision], asked: Callable[..., Asked]
) -> None:
    first = ask(need(urgency=1, hours=96.0)).wave
    silent = asked([State.SILENT] * len(first.donor), at=MORNING)
    again = ask(need(urgency=1, hours=96.0), already=silent, now=MORNING + 60.0)
    assert again.reason in (Reason.AWAITING_ANSWERS, None)
    assert again.wave is None or len(again.wave.donor) <= 1
    declined = asked([State.DECLINED] * len(first.donor), at=MORNING)
    assert len(ask(need(urgency=1, hours=96.0), already=declined, now=MORNING + HOUR).wave.donor) > len(first.donor) / 2


def test_a_donor_who_drops_out_is_replaced(ask: Callable[..., Decision], asked: Callable[..., Asked]) -> None:
    now = MORNING + 2 * HOUR
    promised, broken = (asked([state, State.DECLINED], at=MORNING, keep=0.9) for state in (State.ACCEPTED, State.OUT))
    assert ask(need(), already=promised, now=now).wave is None
    assert ask(need(), already=broken, now=now).wave is not None


def test_the_radius_grows_with_the_waves(ask: Callable[..., Decision], asked: Callable[..., Asked]) -> None:
    declined = asked([State.DECLINED] * 5, at=MORNING)
    radii = [
        ask(need(hours=48.0), already=declined, now=MORNING + hours * HOUR).wave.radius_km
        for hours in (0.5, 2.0, 4.0, 9.0)
    ]
    assert radii == [10.0, 15.0, 20.0, 25.0]


def test_few_donors_nearby_send_the_first_wave_further(ask: Callable[..., Decision]) -> None:
    assert ask(need(units=1)).wave.radius_km == 10.0
    assert ask(need(units=8), p=0.1).wave.radius_km > 10.0


def test_near_the_deadline_a_request_searches_as_a_more_urgent_one(ask: Callable[..., Decision]) -> None:
    assert ask(need(urgency=1, hours=96.0)).wave.searched_as == 1
    late = ask(need(urgency=1, hours=5.0))
    assert late.wave.searched_as == 4
    assert late.look_again_at == MORNING + 0.5 * HOUR


def test_what_can_be_reached_counts_donors_further_away_than_the_first_waves_go(ask: Callable[..., Decision]) -> None:
    decision = ask(need(units=12, urgency=1, hours=96.0))  # the fifty donors within 15 km are expected to give ten
    assert decision.wave.radius_km == 15.0
    assert decision.reachable > TARGET > decision.wave.probability
    assert not decision.escalate


@pytest.mark.parametrize("urgency", [1, 2, 3])
def test_by_night_a_wave_waits_for_seven_o_clock(ask: Callable[..., Decision], urgency: int) -> None:
    late = MIDNIGHT + 23 * HOUR
    decision = ask(need(urgency=urgency, hours=30.0, now=late), now=late)
    assert decision.reason == Reason.QUIET_HOURS
    assert decision.wave.at == decision.look_again_at == MIDNIGHT + DAY + 7 * HOUR


def test_a_critical_request_asks_by_night(ask: Callable[..., Decision]) -> None:
    late = MIDNIGHT + 23 * HOUR
    decision = ask(need(urgency=4, hours=12.0, now=late), now=late)
    assert (decision.reason, decision.wave.at) == (None, late)


def test_a_morning_that_comes_too_late_is_for_somebody_to_settle(ask: Callable[..., Decision]) -> None:
    late = MIDNIGHT + 23 * HOUR
    decision = ask(need(urgency=3, hours=8.0, now=late), now=late)
    assert (decision.wave, decision.reason, decision.look_again_at) == (None, Reason.QUIET_HOURS, None)
    assert decision.escalate


def test_in_the_last_wave_before_the_night_more_are_asked(ask: Callable[..., Decision]) -> None:
    evening = MIDNIGHT + 21 * HOUR
    by_day, before_night = need(urgency=3, hours=16.0), need(urgency=3, hours=16.0, now=evening)
    assert len(ask(before_night, now=evening).wave.donor) > len(ask(by_day).wave.donor)


def test_without_time_for_a_donation_nobody_is_asked(ask: Callable[..., Decision]) -> None:
    decision = ask(need(urgency=4, hours=0.7))
    assert (decision.wave, decision.reason, decision.look_again_at) == (None, Reason.TOO_LATE, None)
    assert decision.escalate


def test_a_pool_too_small_is_asked_and_the_request_escalated(ask: Callable[..., Decision]) -> None:
    decision = ask(need(units=4, urgency=4, hours=12.0), donors=6)
    assert len(decision.wave.donor) == 6
    assert decision.escalate
    assert decision.reachable == pytest.approx(decision.wave.probability)


def test_donors_without_a_chance_are_left_alone(ask: Callable[..., Decision]) -> None:
    decision = ask(need(), p=LEAST_CHANCE / 2)
    assert (decision.wave, decision.reason) == (None, Reason.NOBODY_LEFT)


def test_a_donor_asked_before_is_not_asked_again(asked: Callable[..., Asked], edges: np.ndarray, pool: Pool) -> None:
    already = asked([State.SILENT] * 150, p=0.001, at=MORNING)  # donors 1 … 150, of whom the pool knows 101 … 150
    decision = decide(need(), already, now=MORNING + HOUR, edges=edges, score=pool(60))
    assert decision.wave.donor.min() > 150


def test_a_plan_sends_what_the_decision_says_first(sketch: Callable[..., Plan], ask: Callable[..., Decision]) -> None:
    request = need(urgency=1, hours=96.0)
    assert sketch(request).waves[0].donor.tolist() == ask(request).wave.donor.tolist()


def test_a_plan_goes_on_until_the_target_is_reached(sketch: Callable[..., Plan]) -> None:
    found = sketch(need(units=2, urgency=1, hours=96.0))
    probabilities = [wave.probability for wave in found.waves]
    assert len(found.waves) > 1
    assert probabilities == sorted(probabilities)
    assert probabilities[-1] >= TARGET > probabilities[-2]
    assert [wave.at for wave in found.waves] == sorted({wave.at for wave in found.waves})
    overshoots = [wave.expected_overshoot for wave in found.waves]
    assert 0.0 < overshoots[0] < overshoots[-1] < found.waves[-1].expected_donations - 1.0


@settings(max_examples=25)
@given(
    units=st.integers(1, 6),
    urgency=st.integers(1, 4),
    hours=st.floats(1.0, 100.0),
    clock=st.floats(0.0, 24.0),
    donors=st.integers(0, 120),
)
def test_whatever_is_needed_no_donor_is_asked_twice_or_by_night_or_too_late(
    units: int, urgency: int, hours: float, clock: float, donors: int
) -> None:
    now = MIDNIGHT + clock * HOUR
    found = _plan(need(units=units, urgency=urgency, hours=hours, now=now), donors=donors, now=now)
    everybody = [donor for wave in found.waves for donor in wave.donor.tolist()]
    assert len(everybody) == len(set(everybody))
    for wave in found.waves:
        assert now <= wave.at < now + hours * HOUR
        assert urgency == 4 or 7.0 <= (wave.at - MIDNIGHT) / HOUR % 24.0 < 22.0
        assert wave.searched_as >= urgency
    assert found.decision.wave is None or found.decision.wave is found.waves[0]
    assert (found.decision.reason is None) == (found.decision.wave is not None and found.decision.wave.at == now)


def test_exposure_is_told_before_and_after_over_resting_donors_too(sketch: Callable[..., Plan]) -> None:
    found = sketch(need(units=2), donors=80)
    assert found.exposure_before == pytest.approx(80 / 100)  # twenty who rest share all asks
    assert found.exposure_after < found.exposure_before


def test_stock_that_covers_the_need_has_an_empty_plan(sketch: Callable[..., Plan]) -> None:
    assert sketch(need(stock=1)).waves == ()


@pytest.mark.parametrize(
    "wrong", [{"units": 0}, {"usable_stock": -1}, {"urgency": 5}, {"request_sd": 2.5}, {"request_sd": -0.1}]
)
def test_a_need_that_means_nothing_is_refused(wrong: dict[str, float]) -> None:
    right = {"units": 1, "usable_stock": 0, "urgency": 1, "deadline": 0.0, "request_sd": 0.3}
    with pytest.raises(ValueError, match="units must be"):
        Need(**(right | wrong))


def _plan(request: Need, *, donors: int, now: float) -> Plan:
    km = 0.4 * np.arange(1, donors + 1)
    hazards, edges = np.array([0.1, 0.2, 0.3, 0.1]), np.array([0.0, 1.0, 4.0, 24.0, 96.0])
    none = np.empty(0)
    nobody = Asked(none.astype(np.int64), none, none, none, np.empty((0, 4)), none, none.astype(np.int8), none)

    def score(radius_km: float, _at: float) -> Prospects:
        n = int((km <= radius_km).sum())
        zeros = np.zeros(n, dtype=np.int64)
        return Prospects(
            np.arange(n), np.linspace(0.4, 0.01, n), np.tile(hazards, (n, 1)), km[:n], np.zeros(n), zeros, zeros[:0]
        )

    return plan(request, nobody, now=now, edges=edges, score=score)
