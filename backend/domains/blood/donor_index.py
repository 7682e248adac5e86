"""Finds the donors who may be asked, near a place, by reading only the part of the map around it.

Donors are stored in the order of a latitude/longitude grid, so that the cells of one latitude band within reach are one
contiguous slice. Distance is the great circle on a sphere of 6,371 km; inside the loop it is compared as a squared
chord, which needs no trigonometry. Eligibility is prepared as two moments per donor. An index never changes: build
another when donors or donations have changed.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, Self

import numpy as np

from backend.domains.blood.eligibility_windows import windows
from backend.domains.blood.geography import EARTH_RADIUS_KM, TIME_ZONE
from backend.domains.blood.policies import Criteria, Policy
from backend.domains.blood.records import Codes, Component, Donors, Flags, Floats, Ints, Rows
from backend.domains.blood.rules import compatible_groups

CELL_DEGREES: Final = 0.05  # about 5.5 km: a radius of 50 km reads 19 slices
_COLUMNS: Final = round(360.0 / CELL_DEGREES) + 1
_SECONDS_PER_DAY: Final = 86_400.0


class Exclusion(StrEnum):
    """Why a donor within reach may not be asked; each donor counts at the first that applies, in this order."""

    INCOMPATIBLE = "incompatible"
    NOT_CONSENTED = "not_consented"
    NOT_ELIGIBLE = "not_eligible"
    COOLING_DOWN = "cooling_down"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoolDown:
    """How often a donor may be asked: a minimum gap after the last ask, and at most so many asks in 30 days."""

    gap_days: float = 7.0
    asks_in_30_days: int = 3


DEFAULT_COOL_DOWN: Final = CoolDown()


@dataclass(frozen=True, slots=True)
class RecentAsks:
    """For each donor row (n,), when they were last asked for a request that was not critical, and how often lately."""

    last_at: Floats  # NaN never
    in_30_days: Ints

    def cooling_down(self, rows: Rows, *, as_of: float, cool_down: CoolDown) -> Flags:
        """Return which of the donors in `rows` (m,) must be left alone at `as_of`; one more ask counts as well."""
        too_soon = self.last_at[rows] > as_of - cool_down.gap_days * _SECONDS_PER_DAY
        too_often = self.in_30_days[rows] >= cool_down.asks_in_30_days
        return too_soon | too_often


@dataclass(frozen=True, slots=True)
class Candidates:
    """Donors who may be asked (m,), and how many others within reach may not, by reason."""

    rows: Rows  # positions in Donors, in no order of merit
    distance_km: Floats
    within_radius: int
    excluded: dict[Exclusion, int]


class _Eligible(NamedTuple):
    """When each donor, in index order, may give one component."""

    opens: Floats
    closes: Floats


@dataclass(frozen=True, slots=True)
class DonorIndex:
    """Donors in grid order: `rows` leads from a position here to the row in `Donors`."""

    rows: Rows
    cells: Ints
    directions: Floats  # (3, n): unit vectors from the centre of the Earth
    blood_group: Codes
    consented: Flags
    eligible: dict[Component, _Eligible]

    @classmethod
    def build(cls, donors: Donors, last_whole_blood_at: Floats, *, policy: Policy, time_zone: str = TIME_ZONE) -> Self:
        """Index all `donors`; `last_whole_blood_at` (n,) is NaN for those who never gave whole blood."""
        cells = _bands(donors.latitude) * _COLUMNS + _columns(donors.longitude)
        order = np.argsort(cells, kind="stable")
        prepared: dict[Criteria, _Eligible] = {}
        for component in Component:
            criteria = policy.criteria(component)
            if criteria not in prepared:  # components that come from the same kind of donation share their moments
                found = windows(policy, donors, last_whole_blood_at, component=component, time_zone=time_zone)
                prepared[criteria] = _Eligible(found.opens()[order], found.age_until[order])
        return cls(
            rows=order.astype(np.int32),
            cells=cells[order],
            directions=_directions(donors.latitude[order], donors.longitude[order]),
            blood_group=donors.blood_group[order],
            consented=donors.consented[order],
            eligible={component: prepared[policy.criteria(component)] for component in Component},
        )

    def __len__(self) -> int:
        return len(self.rows)

    def candidates(
        self,
        *,
        latitude: float,
        longitude: float,
        radius_km: float,
        blood_group: int,
        component: Component,
        as_of: float,
        recent: RecentAsks | None = None,
        cool_down: CoolDown = DEFAULT_COOL_DOWN,
    ) -> Candidates:
        """Find who may be asked at `as_of` to give `component` to the group code `blood_group` within `radius_km`.

        `recent` None leaves nobody alone for having been asked, as a critical request does.
        """
        fits = compatible_groups(blood_group, component)
        opens, closes = self.eligible[component]
        checks: dict[Exclusion, Callable[[Ints], Flags]] = {
            Exclusion.INCOMPATIBLE: lambda at: fits[self.blood_group[at]],
            Exclusion.NOT_CONSENTED: lambda at: self.consented[at],
            Exclusion.NOT_ELIGIBLE: lambda at: (opens[at] <= as_of) & (as_of < closes[at]),
        }
        if recent is not None:
            checks[Exclusion.COOLING_DOWN] = lambda at: (
                ~recent.cooling_down(self.rows[at], as_of=as_of, cool_down=cool_down)
            )
        position, squared_chord = self._within(latitude, longitude, radius_km)
        within, excluded = len(position), dict.fromkeys(Exclusion, 0)
        for reason, passes in checks.items():
            kept = passes(position)
            excluded[reason] = len(position) - int(np.count_nonzero(kept))
            position, squared_chord = position[kept], squared_chord[kept]
        distance_km = 2.0 * EARTH_RADIUS_KM * np.arcsin(np.minimum(np.sqrt(squared_chord) / 2.0, 1.0))
        return Candidates(self.rows[position], distance_km, within, excluded)

    def _within(self, latitude: float, longitude: float, radius_km: float) -> tuple[Ints, Floats]:
        """Return the positions within reach and the squares of their chords through the unit sphere."""
        centre = _directions(np.array([latitude]), np.array([longitude]))
        limit = 4.0 * math.sin(min(radius_km / EARTH_RADIUS_KM, math.pi) / 2.0) ** 2
        positions, squares = [np.empty(0, dtype=np.int64)], [np.empty(0)]
        for start, stop in self._slices(latitude, longitude, radius_km):
            offset = self.directions[:, start:stop] - centre
            squared = np.einsum("ij,ij->j", offset, offset)
            near = np.flatnonzero(squared <= limit)
            positions.append(near + start)
            squares.append(squared[near])
        return np.concatenate(positions), np.concatenate(squares)

    def _slices(self, latitude: float, longitude: float, radius_km: float) -> Iterator[tuple[int, int]]:
        """Return where the cells lie that a circle on the map can touch, one slice for each latitude band."""
        south, north, west, east = _bounds(latitude, longitude, radius_km)
        bottom, top = _bands(np.array([south, north])).tolist()
        left, right = _columns(np.array([west, east])).tolist()
        first_cell = np.arange(bottom, top + 1) * _COLUMNS
        starts = np.searchsorted(self.cells, first_cell + left, side="left")
        stops = np.searchsorted(self.cells, first_cell + right, side="right")
        occupied = starts < stops
        return zip(starts[occupied].tolist(), stops[occupied].tolist(), strict=True)


def _bounds(latitude: float, longitude: float, radius_km: float) -> tuple[float, float, float, float]:
    """Return the south, north, west and east of a circle in degrees; all longitudes at a pole or the date line."""
    margin = 1e-9  # a donor on the rim must not be lost to rounding
    reach = math.degrees(radius_km / EARTH_RADIUS_KM) + margin
    south, north = latitude - reach, latitude + reach
    if south > -90.0 and north < 90.0:
        ratio = math.sin(math.radians(reach)) / math.cos(math.radians(latitude))
        width = math.degrees(math.asin(min(ratio, 1.0))) + margin
        if longitude - width >= -180.0 and longitude + width <= 180.0:
            return south, north, longitude - width, longitude + width
    return max(south, -90.0), min(north, 90.0), -180.0, 180.0


def _bands(latitude: Floats) -> Ints:
    return np.floor((latitude + 90.0) / CELL_DEGREES).astype(np.int64)


def _columns(longitude: Floats) -> Ints:
    return np.floor((longitude + 180.0) / CELL_DEGREES).astype(np.int64)


def _directions(latitude: Floats, longitude: Floats) -> Floats:
    phi, theta = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(phi) * np.cos(theta), np.cos(phi) * np.sin(theta), np.sin(phi)])
