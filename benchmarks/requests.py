"""The requests for blood that every measurement of matching uses."""

from typing import Any

import numpy as np

from backend.domains.blood.geography import DISTRICTS, KILOMETRES_PER_DEGREE
from backend.domains.blood.records import BLOOD_GROUPS

SPREAD_KM = 8.0


def match_bodies(count: int, *, seed: int) -> list[dict[str, Any]]:
    """Return bodies of POST /match: all common groups and urgencies alike often, places where people live."""
    rng = np.random.default_rng(seed)
    people = np.array([district.population_thousands for district in DISTRICTS], dtype=np.float64)
    places = rng.choice(len(DISTRICTS), size=count, p=people / people.sum())
    offsets = rng.normal(scale=SPREAD_KM / KILOMETRES_PER_DEGREE, size=(count, 2))
    return [
        {
            "request": {
                "blood_group": BLOOD_GROUPS[number % 8],
                "latitude": DISTRICTS[place].latitude + offset[0],
                "longitude": DISTRICTS[place].longitude + offset[1],
                "urgency": 1 + number // 8 % 4,
                "units_required": int(rng.integers(1, 5)),
            }
        }
        for number, (place, offset) in enumerate(zip(places.tolist(), offsets.tolist(), strict=True))
    ]
