from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domains.blood.donor_index import CELL_DEGREES, Candidates, CoolDown, DonorIndex, Exclusion, RecentAsks
from backend.domains.blood.eligibility_windows import eligible_mask
from backend.domains.blood.policies import INDIA
from backend.domains.blood.records import BLOOD_GROUPS, GROUP_CODE, Component, Donors, Flags, Floats
from backend.domains.blood.rules import compatible_groups

NOW = 1_800_000_000.0
DAY = 86_400.0
O_NEGATIVE = GROUP_CODE["O-"]
MakeDonors = Callable[..., Donors]


def haversine_km(latitude: float, longitude: float, latitudes: Floats, longitudes: Floats) -> Floats:
    phi, phis = np.radians(latitude), np.radians(latitudes)
    half = (phis - phi) / 2.0, np.radians(longitudes - longitude) / 2.0
    squared = np.sin(half[0]) ** 2 + np.cos(phi) * np.cos(phis) * np.sin(half[1]) ** 2
    return 2.0 * 6371.0 * np.arcsin(np.sqrt(np.clip(squared, 0.0, 1.0)))


def search(index: DonorIndex, *, radius_km: float = 25.0, recent: RecentAsks | None = None) -> Candidates:
    return index.candidates(
        latitude=10.0,
        longitude=76.5,
        radius_km=radius_km,
        blood_group=O_NEGATIVE,
        component=Component.RED_CELLS,
        as_of=NOW,
        recent=recent,
    )


def index_of(donors: Donors, last: Floats | None = None) -> DonorIndex:
    return DonorIndex.build(donors, np.full(len(donors), np.nan) if last is None else last, policy=INDIA)


# Kerala, the same on a grid of cell edges, the date line, and the poles.
places = st.one_of(
    st.tuples(st.floats(8.0, 13.0), st.floats(75.0, 77.5)),
    st.tuples(
        st.integers(160, 260).map(lambda step: step * CELL_DEGREES),
        st.integers(1500, 1550).map(lambda step: step * CELL_DEGREES),
    ),
    st.tuples(st.floats(-20.0, 20.0), st.one_of(st.floats(179.0, 180.0), st.floats(-180.0, -179.0))),
    st.tuples(st.one_of(st.floats(89.0, 90.0), st.floats(-90.0, -89.0)), st.floats(-180.0, 180.0)),
    st.tuples(st.floats(-90.0, 90.0), st.floats(-180.0, 180.0)),
)
radii = st.one_of(st.floats(0.1, 60.0), st.floats(60.0, 25_000.0))


@given(
    seed=st.integers(0, 2**32 - 1),
    spots=st.lists(places, max_size=8),
    centre=places,
    radius_km=radii,
    blood_group=st.integers(0, len(BLOOD_GROUPS) - 1),
    component=st.sampled_from(list(Component)),
    asked=st.booleans(),
)
def test_the_index_finds_what_a_look_at_every_donor_finds(
    *,
    make_donors: MakeDonors,
    seed: int,
    spots: list[tuple[float, float]],
    centre: tuple[float, float],
    radius_km: float,
    blood_group: int,
    component: Component,
    asked: bool,
) -> None:
    random = np.random.default_rng(seed)
    scattered = [(lat + random.normal(0.0, 0.3), lon) for lat, lon in spots for _ in range(4)]
    spots = [*spots, *((float(np.clip(lat, -90.0, 90.0)), lon) for lat, lon in scattered), centre]
    count = len(spots)
    donors = make_donors(
        count,
        latitude=[lat for lat, _ in spots],
        longitude=[lon for _, lon in spots],
        blood_group=random.integers(0, len(BLOOD_GROUPS), count),
        sex=random.integers(0, 3, count),
        born_at=NOW - random.uniform(16.0, 70.0, count) * 365.25 * DAY,
        weight_kg=random.choice([44.0, 48.0, 70.0, np.nan], count),
        consented=random.random(count) < 0.8,
        deferred_until=np.where(random.random(count) < 0.2, NOW + random.normal(0.0, 30.0, count) * DAY, np.nan),
    )
    last = np.where(random.random(count) < 0.6, NOW - random.uniform(0.0, 200.0, count) * DAY, np.nan)
    recent = RecentAsks(
        last_at=np.where(random.random(count) < 0.5, NOW - random.uniform(0.0, 20.0, count) * DAY, np.nan),
        in_30_days=random.integers(0, 5, count),
    )

    found = DonorIndex.build(donors, last, policy=INDIA).candidates(
        latitude=centre[0],
        longitude=centre[1],
        radius_km=radius_km,
        blood_group=blood_group,
        component=component,
        as_of=NOW,
        recent=recent if asked else None,
    )

    distance = haversine_km(*centre, donors.latitude, donors.longitude)
    clear = np.abs(distance - radius_km) > 1e-6  # on the rim itself, two formulas may round to either side
    fits = compatible_groups(blood_group, component)[donors.blood_group]
    eligible = eligible_mask(INDIA, donors, last, as_of=NOW, component=component)
    resting = (NOW - recent.last_at < 7.0 * DAY) | (recent.in_30_days >= 3) if asked else np.zeros(count, dtype=bool)
    expected = (distance <= radius_km) & fits & eligible & ~resting
    assert set(found.rows[clear[found.rows]]) == set(np.flatnonzero(expected & clear))
    assert found.distance_km == pytest.approx(distance[found.rows], abs=1e-3, rel=1e-6)
    assert len(found.rows) + sum(found.excluded.values()) == found.within_radius
    if clear.all():
        assert found.excluded == expected_exclusions(distance <= radius_km, fits, donors.consented, eligible, ~resting)


def expected_exclusions(within: Flags, *passes: Flags) -> dict[Exclusion, int]:
    counts = {}
    for reason, passed in zip(Exclusion, passes, strict=True):
        counts[reason] = int((within & ~passed).sum())
        within = within & passed
    return counts


@given(bearing=st.floats(0.0, 2.0 * np.pi), distance_km=st.floats(0.0, 200.0))
def test_distances_within_200_km_are_right_to_a_millimetre(
    *, make_donors: MakeDonors, bearing: float, distance_km: float
) -> None:
    angle, phi = distance_km / 6371.0, np.radians(10.0)
    there = np.arcsin(np.sin(phi) * np.cos(angle) + np.cos(phi) * np.sin(angle) * np.cos(bearing))
    east = np.arctan2(np.sin(bearing) * np.sin(angle) * np.cos(phi), np.cos(angle) - np.sin(phi) * np.sin(there))
    donors = make_donors(1, latitude=np.degrees(there), longitude=76.5 + np.degrees(east))
    assert search(index_of(donors), radius_km=201.0).distance_km[0] == pytest.approx(distance_km, abs=1e-6)


def test_candidates_are_named_by_their_row_among_all_donors(make_donors: MakeDonors) -> None:
    donors = make_donors(4, latitude=[12.0, 10.1, 8.5, 10.05])
    found = search(index_of(donors))
    assert sorted(found.rows) == [1, 3]
    assert dict(zip(found.rows.tolist(), found.distance_km.round(2).tolist(), strict=True)) == {1: 11.12, 3: 5.56}


def test_everyone_within_reach_is_a_candidate_or_counted_once_by_the_first_reason(make_donors: MakeDonors) -> None:
    donors = make_donors(
        6,
        latitude=[10.0, 10.0, 10.0, 10.0, 10.0, 13.0],
        blood_group=[O_NEGATIVE, GROUP_CODE["A+"], *[O_NEGATIVE] * 4],
        consented=[True, False, False, True, True, True],
        weight_kg=[70.0, 40.0, 40.0, 40.0, 70.0, 70.0],
    )
    last_asked = np.array([np.nan, np.nan, np.nan, NOW, NOW - DAY, np.nan])
    found = search(index_of(donors), recent=RecentAsks(last_asked, np.zeros(6, dtype=np.int64)))
    assert found.rows.tolist() == [0]
    assert found.within_radius == 5
    assert found.excluded == dict.fromkeys(Exclusion, 1)


@pytest.mark.parametrize(
    ("days_ago", "asks", "may_be_asked"),
    [(7.0, 0, True), (6.9, 0, False), (np.nan, 2, True), (np.nan, 3, False), (8.0, 4, False)],
)
def test_donors_rest_seven_days_and_hear_from_us_three_times_a_month(
    make_donors: MakeDonors, days_ago: float, asks: int, *, may_be_asked: bool
) -> None:
    recent = RecentAsks(np.array([NOW - days_ago * DAY]), np.array([asks]))
    found = search(index_of(make_donors(1)), recent=recent)
    assert (len(found.rows) == 1) is may_be_asked
    assert len(search(index_of(make_donors(1)), recent=None).rows) == 1


def test_the_cool_down_is_the_callers_to_set(make_donors: MakeDonors) -> None:
    recent = RecentAsks(np.array([NOW - 2.0 * DAY]), np.array([5]))
    cool_down = CoolDown(gap_days=1.0, asks_in_30_days=6)
    assert not recent.cooling_down(np.array([0], dtype=np.int32), as_of=NOW, cool_down=cool_down).any()
    found = index_of(make_donors(1)).candidates(
        latitude=10.0,
        longitude=76.5,
        radius_km=1.0,
        blood_group=O_NEGATIVE,
        component=Component.RED_CELLS,
        as_of=NOW,
        recent=recent,
        cool_down=cool_down,
    )
    assert found.rows.tolist() == [0]


def test_a_donor_becomes_a_candidate_when_the_interval_ends_without_a_new_index(make_donors: MakeDonors) -> None:
    index = index_of(make_donors(1), np.array([NOW - 60.0 * DAY]))
    candidates = [
        len(
            index.candidates(
                latitude=10.0,
                longitude=76.5,
                radius_km=1.0,
                blood_group=O_NEGATIVE,
                component=component,
                as_of=NOW + days * DAY,
            ).rows
        )
        for component, days in ((Component.RED_CELLS, 0.0), (Component.PLATELETS, 0.0), (Component.RED_CELLS, 31.0))
    ]
    assert candidates == [0, 1, 1]


def test_no_donors_give_no_candidates(make_donors: MakeDonors) -> None:
    found = search(index_of(make_donors(0)), radius_km=20_100.0)
    assert len(found.rows) == len(found.distance_km) == found.within_radius == 0
    assert found.excluded == dict.fromkeys(Exclusion, 0)
