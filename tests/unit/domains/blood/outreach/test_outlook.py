from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domains.blood.outreach.luck import by_luck
from backend.domains.blood.outreach.outlook import Asked, Outlook, State, outlook
from backend.domains.blood.outreach.timing import answer_window
from backend.domains.blood.response import answered_within

HOUR = 3600.0
DEADLINE = 24 * HOUR
Alerts = Callable[..., Asked]


@pytest.fixture
def look(edges: np.ndarray) -> Callable[..., Outlook]:
    def make(asked: Asked, *, units: int = 1, hours: float = 0.0, sd: float = 0.5) -> Outlook:
        return outlook(asked, units=units, deadline=DEADLINE, now=hours * HOUR, edges=edges, sd=sd)

    return make


def test_nobody_asked_gives_nothing(asked: Alerts, look: Callable[..., Outlook]) -> None:
    nobody = look(asked())
    assert (nobody.probability, nobody.expected, nobody.overshoot) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("hours", [0.0, 1.5, 6.0, 20.0])
def test_a_silent_donor_keeps_p_less_the_answers_that_would_have_come(
    asked: Alerts, look: Callable[..., Outlook], edges: np.ndarray, hours: float
) -> None:
    alert = asked([State.SILENT])
    window = answer_window(24.0, alert.distance_km)
    by_now, in_all = (answered_within(alert.hazards, edges, np.array([h])) for h in (hours, window[0]))
    expected = 0.2 * (1.0 - by_now / in_all) / (1.0 - by_now)
    assert look(alert, hours=hours, sd=0.0).probability == pytest.approx(expected[0])
    assert look(alert, hours=hours, sd=0.8).probability == pytest.approx(expected[0], abs=1e-5)


def test_silence_counts_less_from_hour_to_hour_and_nothing_in_the_end(
    asked: Alerts, look: Callable[..., Outlook]
) -> None:
    chances = [look(asked([State.SILENT] * 9), hours=hours).probability for hours in (0, 1, 2, 4, 8, 12, 20, 23.2)]
    assert (np.diff(chances) < 0.0).all()
    assert chances[-1] == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("state", "chance"),
    [(State.ACCEPTED, 0.7), (State.DECLINED, 0.0), (State.DONATED, 1.0), (State.OUT, 0.0)],
)
def test_an_answer_counts_whatever_the_luck(
    asked: Alerts, look: Callable[..., Outlook], state: State, chance: float
) -> None:
    assert look(asked([state]), hours=2.0).probability == pytest.approx(chance)
    assert look(asked([state]), hours=2.0, sd=0.0).expected == pytest.approx(chance)


def test_after_the_deadline_only_donations_count(asked: Alerts, look: Callable[..., Outlook]) -> None:
    over = look(asked([State.ACCEPTED, State.SILENT, State.DONATED]), units=2, hours=24.0)
    assert (over.probability, over.expected) == pytest.approx((0.0, 1.0))


def test_a_yes_that_left_no_time_for_the_way_does_not_count(asked: Alerts, look: Callable[..., Outlook]) -> None:
    late = asked([State.ACCEPTED], answered_at=23.5 * HOUR)
    assert look(late, hours=23.6).probability == pytest.approx(0.0)


def test_what_others_answered_says_how_lucky_the_request_is(asked: Alerts, look: Callable[..., Outlook]) -> None:
    newcomers = np.full(5, 0.2)

    def chance_of(state: State) -> float:
        seen = look(asked([state] * 6), hours=3.0, sd=0.8)
        return float((seen.chances(newcomers) @ seen.weight).mean())

    assert chance_of(State.ACCEPTED) > 0.3
    assert chance_of(State.DECLINED) < chance_of(State.SILENT) < 0.2


def test_without_shared_luck_answers_of_others_say_nothing(asked: Alerts, look: Callable[..., Outlook]) -> None:
    seen = look(asked([State.ACCEPTED] * 6), hours=3.0, sd=0.0)
    assert seen.chances(np.array([0.2])) @ seen.weight == pytest.approx([0.2])


@given(states=st.lists(st.sampled_from(State), max_size=8), hours=st.floats(0.0, 30.0), sd=st.floats(0.0, 2.0))
def test_probabilities_stay_probabilities_and_overshoot_is_what_exceeds_the_need(
    states: list[State], hours: float, sd: float
) -> None:
    alerts = _alerts(states)
    seen = outlook(alerts, units=2, deadline=DEADLINE, now=hours * HOUR, edges=_EDGES, sd=sd)
    assert 0.0 <= seen.probability <= 1.0
    assert seen.weight.sum() == pytest.approx(1.0)
    assert max(seen.expected - 2.0, 0.0) - 1e-9 <= seen.overshoot <= seen.expected + 1e-9
    assert seen.plus(seen.chances(np.array([0.5]))).probability >= seen.probability - 1e-12


def test_the_probability_is_that_of_worlds_in_which_the_same_was_answered() -> None:
    """Draw luck, answers and donations; keep the worlds in which, 3 h on, the same donors answered the same."""
    random, worlds, sd, units = np.random.default_rng(5), 1_000_000, 0.9, 2
    p, keep = np.array([0.30, 0.25, 0.2, 0.2, 0.15, 0.1]), np.array([0.8, 0.7, 0.6, 0.7, 0.9, 0.5])
    state = np.array([State.ACCEPTED, State.DECLINED, *[State.SILENT] * 4])
    alerts = _alerts(state, p=p, keep=keep)
    window = answer_window(24.0, alerts.distance_km)
    share = answered_within(alerts.hazards, _EDGES, np.full(6, 3.0)) / answered_within(alerts.hazards, _EDGES, window)
    answers = answered_within(alerts.hazards, _EDGES, window)

    given_luck, weight = by_luck(p, sd)
    at = random.choice(len(weight), size=worlds, p=weight)  # the nodes are the luck there is
    accepts = random.random((worlds, 6)) < (given_luck / keep[:, None]).T[at]
    declines = ~accepts & (random.random((worlds, 6)) < (answers - p / keep) / (1.0 - p / keep))
    early = random.random((worlds, 6)) < share  # an answer that can still help comes within 3 h
    donates = accepts & (random.random((worlds, 6)) < keep)
    seen = np.select([accepts & early, declines & early], [State.ACCEPTED, State.DECLINED], State.SILENT)
    alike = (seen == state).all(axis=1)
    assert alike.sum() > 3_000

    found = outlook(alerts, units=units, deadline=DEADLINE, now=3 * HOUR, edges=_EDGES, sd=sd)
    gave = donates[alike].sum(axis=1)
    assert found.probability == pytest.approx((gave >= units).mean(), abs=0.02)
    assert found.expected == pytest.approx(gave.mean(), abs=0.03)
    assert found.overshoot == pytest.approx(np.maximum(gave - units, 0).mean(), abs=0.02)
    assert found.weight == pytest.approx(np.bincount(at[alike], minlength=len(weight)) / alike.sum(), abs=0.02)


_EDGES = np.array([0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 24.0, 96.0])


def _alerts(states: list[State] | np.ndarray, *, p: np.ndarray | float = 0.2, keep: np.ndarray | float = 0.7) -> Asked:
    n = len(states)
    return Asked(
        donor=np.arange(n),
        asked_at=np.zeros(n),
        p=np.broadcast_to(p, n),
        keep=np.broadcast_to(keep, n),
        hazards=np.tile([0.06, 0.06, 0.1, 0.15, 0.2, 0.2, 0.1], (n, 1)),
        distance_km=np.full(n, 3.0),
        state=np.array(states, dtype=np.int8),
        answered_at=np.where(np.array(states) == State.SILENT, np.nan, HOUR),
    )
