import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domains.blood.matching import (
    DEFAULT_RANKING,
    MATCHES_PER_UNIT,
    MOST_MATCHES,
    RADIUS_KM,
    RankingPolicy,
    matches_to_return,
    rank,
)
from backend.domains.blood.records import Ints


def rank_of(
    p: list[float],
    *,
    distance_km: list[float] | None = None,
    scarcity: list[float] | None = None,
    recent_asks: list[int] | None = None,
    donor_id: list[int] | None = None,
    top_k: int | None = None,
    policy: RankingPolicy = DEFAULT_RANKING,
) -> list[int]:
    count = len(p)
    positions: Ints = rank(
        np.array(p, dtype=np.float64),
        distance_km=np.array(distance_km or [1.0] * count),
        scarcity=np.array(scarcity or [0.0] * count),
        recent_asks=np.array(recent_asks or [0] * count),
        donor_id=np.array(donor_id or range(count)),
        top_k=top_k,
        policy=policy,
    )
    return positions.tolist()


def test_the_most_likely_donor_comes_first() -> None:
    assert rank_of([0.1, 0.3, 0.2]) == [1, 2, 0]


def test_between_equals_the_nearer_and_then_the_lower_id_comes_first() -> None:
    assert rank_of([0.2, 0.2, 0.2], distance_km=[5.0, 5.0, 2.0], donor_id=[9, 4, 7]) == [2, 1, 0]


def test_scarce_blood_waits_behind_a_near_equal_but_not_behind_an_unlikely_donor() -> None:
    assert rank_of([0.20, 0.19], scarcity=[1.0, 0.0]) == [1, 0]
    assert rank_of([0.20, 0.17], scarcity=[1.0, 0.0]) == [0, 1]


def test_who_was_asked_lately_waits_behind_a_near_equal() -> None:
    assert rank_of([0.20, 0.19], recent_asks=[3, 0]) == [1, 0]
    assert rank_of([0.20, 0.18], recent_asks=[3, 0]) == [0, 1]


def test_charges_are_the_policys() -> None:
    free = RankingPolicy(per_scarcity=0.0, per_recent_ask=0.0)
    assert rank_of([0.20, 0.19], scarcity=[1.0, 0.0], recent_asks=[3, 0], policy=free) == [0, 1]


def test_by_default_3_5_points_of_probability_outweigh_every_charge() -> None:
    assert rank_of([0.236, 0.20], scarcity=[1.0, 0.0], recent_asks=[3, 0]) == [0, 1]


def test_a_donor_without_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="without a value"):
        rank_of([0.1, float("nan")])


def test_nobody_is_ranked_when_there_is_nobody() -> None:
    assert rank_of([], top_k=5) == []


@given(
    rows=st.lists(
        st.tuples(st.sampled_from([0.1, 0.2, 0.3]), st.sampled_from([1.0, 2.0]), st.integers(0, 3)), max_size=40
    ),
    top_k=st.integers(1, 50),
    seed=st.integers(0, 1000),
)
def test_the_top_is_the_beginning_of_the_whole_order_whatever_order_donors_arrive_in(
    rows: list[tuple[float, float, int]], top_k: int, seed: int
) -> None:
    p, distance, asks = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    ids = list(range(100, 100 + len(rows)))
    everyone = rank_of(p, distance_km=distance, recent_asks=asks, donor_id=ids)
    assert sorted(everyone) == list(range(len(rows)))

    shuffled = np.random.default_rng(seed).permutation(len(rows)).tolist()
    top = rank_of(
        [p[i] for i in shuffled],
        distance_km=[distance[i] for i in shuffled],
        recent_asks=[asks[i] for i in shuffled],
        donor_id=[ids[i] for i in shuffled],
        top_k=top_k,
    )
    assert [shuffled[position] for position in top] == everyone[:top_k]


def test_a_more_urgent_request_looks_at_least_as_far_and_shows_at_least_as_many() -> None:
    levels = [1, 2, 3, 4]
    assert list(RADIUS_KM) == list(MATCHES_PER_UNIT) == levels
    assert list(RADIUS_KM.values()) == sorted(RADIUS_KM.values())
    for units in (1, 2, 4, 20):
        shown = [matches_to_return(units, urgency) for urgency in levels]
        assert shown == sorted(shown)


def test_more_units_show_more_donors_up_to_a_limit() -> None:
    assert [matches_to_return(units, 2) for units in (1, 2, 4, 20)] == [15, 30, 60, MOST_MATCHES]
