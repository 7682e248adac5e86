"""Daily series side by side, the one form in which history reaches the forecasting mathematics."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from backend.domains.blood.records import Flags, Floats
from backend.errors import InputError

Days = NDArray[np.datetime64]
Key = tuple[str, ...]

ONE_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True, slots=True)
class Panel:
    """Daily values of many series over the same days; a series is NaN before its first day and known from then on."""

    days: Days  # (days,) datetime64[D], each one day after the other
    names: tuple[str, ...]  # what the parts of a key are, for example district and blood group
    keys: tuple[Key, ...]  # (series,)
    values: Floats  # (series, days), >= 0

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def whole(self) -> bool:
        """Whether all values are whole numbers, as counts are."""
        return bool(np.all(np.isnan(self.values) | (self.values == np.rint(self.values))))

    @classmethod
    def of(cls, *, days: Days, names: tuple[str, ...], keys: tuple[Key, ...], values: Floats) -> Self:
        """Return the panel of `values` (series, days), checked.

        Raises:
            InputError: a day is missing or repeated, or a value is negative, infinite or missing after the first one;
                the message names the series and the date.
        """
        days = np.asarray(days, dtype="datetime64[D]")
        if values.shape != (len(keys), len(days)) or not values.size:
            raise InputError(f"{values.shape} values do not fit {len(keys)} series of {len(days)} days")
        wrong = np.flatnonzero(np.diff(days) != ONE_DAY)
        if wrong.size:
            raise InputError(f"the day after {days[wrong[0]]} is {days[wrong[0] + 1]}; days must follow one another")
        if len(set(keys)) != len(keys):
            raise InputError("two series have the same key")
        started = np.cumsum(~np.isnan(values), axis=1) > 0
        _refuse(started & ~(values >= 0.0), "is missing or negative", days, keys)
        _refuse(np.isinf(values), "is infinite", days, keys)
        _refuse(~started & (np.arange(len(days)) == len(days) - 1), "and all days before are missing", days, keys)
        return cls(days=days, names=names, keys=keys, values=np.asarray(values, dtype=np.float64))

    def since(self, first: int) -> "Panel":
        """Return the panel without its first `first` days."""
        return replace(self, days=self.days[first:], values=self.values[:, first:])


def _refuse(wrong: Flags, why: str, days: Days, keys: tuple[Key, ...]) -> None:
    if wrong.any():
        series, day = np.argwhere(wrong)[0]
        raise InputError(f"series {' / '.join(keys[series])}: the value of {days[day]} {why}")
