"""The blood service's facts as columns: equally long arrays that the simulator, the features and the matcher share.

Times are float64 seconds since 1970-01-01 UTC, NaN where something has not happened. A donor's *row* is its position
in `Donors`; event tables refer to donors by row.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Ints = NDArray[np.int64]
Rows = NDArray[np.int32]
Codes = NDArray[np.int8]
Flags = NDArray[np.bool_]

BLOOD_GROUPS = ("O-", "O+", "A-", "A+", "B-", "B+", "AB-", "AB+", "Oh")
"""Group names by code, `Oh` being the Bombay phenotype."""

GROUP_CODE = {name: code for code, name in enumerate(BLOOD_GROUPS)}


class Sex(IntEnum):
    """Sex as eligibility policies use it."""

    FEMALE = 0
    MALE = 1
    UNKNOWN = 2


class Answer(IntEnum):
    """What a donor said when asked."""

    NONE = 0
    ACCEPTED = 1
    DECLINED = 2


class Outcome(IntEnum):
    """How an accepted commitment ended."""

    PENDING = 0
    DONATED = 1
    DEFERRED = 2
    NO_SHOW = 3
    LATE_CANCEL = 4
    REQUEST_CANCELLED = 5


class Component(IntEnum):
    """What is asked for or was given."""

    RED_CELLS = 0
    PLASMA = 1
    PLATELETS = 2


@dataclass(frozen=True, slots=True)
class Donors:
    """Registered donors, one row each, ordered by `id`."""

    id: Ints
    latitude: Floats  # degrees north
    longitude: Floats  # degrees east
    district: Codes  # position in geography.DISTRICTS
    blood_group: Codes  # position in BLOOD_GROUPS
    sex: Codes  # Sex
    born_at: Floats
    weight_kg: Floats32  # NaN unknown
    hemoglobin_g_dl: Floats32  # NaN unknown
    registered_at: Floats
    consented: Flags  # agreed to be contacted
    deferred_until: Floats  # NaN: not deferred by the blood centre

    def __len__(self) -> int:
        return len(self.id)


@dataclass(frozen=True, slots=True)
class Donations:
    """Completed donations, in any order."""

    donor: Rows
    at: Floats
    component: Codes  # Component

    def __len__(self) -> int:
        return len(self.donor)


@dataclass(frozen=True, slots=True)
class Contacts:
    """Each time a donor was asked, in any order; a column with a time is known from that time on and not before."""

    donor: Rows
    request: Ints  # id of the blood request
    asked_at: Floats
    distance_km: Floats32  # donor to the place of donation
    answer: Codes  # Answer, known from answered_at
    answered_at: Floats
    arrived_at: Floats
    outcome: Codes  # Outcome, known from ended_at
    ended_at: Floats

    def __len__(self) -> int:
        return len(self.donor)


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests for blood, one row each, ordered by `id`."""

    id: Ints
    created_at: Floats
    latitude: Floats
    longitude: Floats
    district: Codes
    blood_group: Codes
    component: Codes
    units: NDArray[np.int16]
    urgency: Codes  # 1 routine … 4 critical
    needed_by: Floats  # NaN: not stated, the urgency's horizon applies
    cancelled_at: Floats  # NaN: not cancelled

    def __len__(self) -> int:
        return len(self.id)
