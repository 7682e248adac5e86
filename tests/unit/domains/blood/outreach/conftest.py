"""A small pool of donors, and alerts that were sent to some of them."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from backend.domains.blood.outreach.outlook import Asked, State
from backend.domains.blood.outreach.plans import Prospects

HOUR = 3600.0
EDGES = np.array([0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 24.0, 96.0])
HAZARDS = np.array([0.06, 0.06, 0.1, 0.15, 0.2, 0.2, 0.1])


@pytest.fixture
def edges() -> np.ndarray:
    return EDGES


@pytest.fixture
def asked() -> Callable[..., Asked]:
    """Make alerts; a number stands for all of them. An answer came an hour after its ask unless it says otherwise."""

    def make(states: Sequence[State] = (), *, p=0.2, keep=0.7, at=0.0, km=3.0, answered_at=None) -> Asked:
        n = len(states)
        state = np.array(states, dtype=np.int8)
        asked_at = np.broadcast_to(np.asarray(at, dtype=np.float64), n)
        answered = asked_at + HOUR if answered_at is None else np.full(n, answered_at)
        return Asked(
            donor=np.arange(1, n + 1),
            asked_at=asked_at,
            p=np.broadcast_to(np.asarray(p, dtype=np.float64), n),
            keep=np.broadcast_to(np.asarray(keep, dtype=np.float64), n),
            hazards=np.tile(HAZARDS, (n, 1)),
            distance_km=np.full(n, float(km)),
            state=state,
            answered_at=np.where(state == State.SILENT, np.nan, answered),
        )

    return make


@pytest.fixture
def pool() -> Callable[..., Callable[[float, float], Prospects]]:
    """Make the callback that scores a pool of equal donors, one each 0.3 km; it keeps no donor for late asks."""

    def make(donors: int, *, p=0.2, resting: int = 0) -> Callable[[float, float], Prospects]:
        km = 0.3 * np.arange(1, donors + 1)

        def score(radius_km: float, _at: float) -> Prospects:
            n = int((km <= radius_km).sum())
            return Prospects(
                donor=100 + np.arange(n),
                p=np.full(n, p),
                hazards=np.tile(HAZARDS, (n, 1)),
                distance_km=km[:n],
                scarcity=np.zeros(n),
                recent_asks=np.zeros(n, dtype=np.int64),
                resting_asks=np.full(resting, 3),
            )

        return score

    return make
