"""How far a column has moved from where it was learnt: bins with shares, an effect size, and a test beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEW_VALUES: Final = 10
"""A column with at most so many values has a bin for each, others a bin between deciles."""

DRIFTED: Final = 0.2
"""Population stability index from which a shift matters. Scorecard practice calls 0.1 little and 0.25 much, without a
regard to chance (Yurdakul 2018, "Statistical properties of population stability index"); hence the test beside it."""

FALSE_DISCOVERIES: Final = 0.05
FEWEST_ROWS: Final = 200
FEWEST_GROUPS: Final = 50  # fewer say little about how groups vary (Cameron and Miller 2015: 20 to 50 are few)
FEWEST_IN_BIN: Final = 5.0  # of a chi-square test (Cochran 1954), here groups


class Verdict(StrEnum):
    """What is said of a column; `too_few` is no number that looks sure."""

    STABLE = "stable"
    DRIFTED = "drifted"
    TOO_FEW = "too_few"


@dataclass(frozen=True, slots=True)
class Bins:
    """Where a column's values lay: `shares` (k + 2,) of the bins that `cuts` (k,) make, the last of missing values.

    If `exact`, each cut is a value with a bin of its own, and one bin is for all others; otherwise a bin begins with
    each cut, and one is below the first. Values are compared as float32, so that rounding moves none across a cut.
    """

    cuts: tuple[float, ...]
    exact: bool
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.shares) != len(self.cuts) + 2:
            raise ValueError(f"{len(self.cuts)} cuts make {len(self.cuts) + 2} bins, not {len(self.shares)}")
        if not np.isfinite(self.cuts).all() or not (np.diff(np.array(self.cuts, dtype=np.float32)) > 0.0).all():
            raise ValueError("cuts must be finite and rise")
        if not (np.array(self.shares) >= 0.0).all() or abs(sum(self.shares) - 1.0) > 1e-3:
            raise ValueError("shares must not be negative, and add up to 1")

    @classmethod
    def fit(cls, values: Floats) -> Self:
        """Cut the values (n,), NaN where missing, and count.

        Raises:
            ValueError: there are none.
        """
        if not len(values):
            raise ValueError("a reference needs rows")
        known = values[~np.isnan(values)].astype(np.float32)
        distinct = np.unique(known)
        exact = len(distinct) <= FEW_VALUES
        # Observed values, so that one which many rows have begins a bin.
        deciles = np.linspace(0.1, 0.9, 9)
        found = distinct if exact else np.unique(np.quantile(known, deciles, method="inverted_cdf"))
        cuts = tuple(float(str(cut)) for cut in found)
        count = np.bincount(_places(cuts, values, exact=exact), minlength=len(cuts) + 2)
        return cls(cuts, exact, tuple((count / len(values)).round(6).tolist()))

    def places(self, values: Floats) -> Ints:
        """Return the bin of each value (n,), 0 … k + 1."""
        return _places(self.cuts, values, exact=self.exact)


def _places(cuts: tuple[float, ...], values: Floats, *, exact: bool) -> Ints:
    edges, coarse = np.array(cuts, dtype=np.float32), values.astype(np.float32)
    if exact:
        place = np.searchsorted(edges, coarse)
        known = np.append(edges, np.float32(np.nan))[place] == coarse
        place = np.where(known, place, len(edges))
    else:
        place = np.searchsorted(edges, coarse, side="right")
    return np.where(np.isnan(values), len(edges) + 1, place)


@dataclass(frozen=True, slots=True)
class Shift:
    """How far a column lies from its reference: the population stability index, and the chance of it without one."""

    effect: float
    p: float


def measure_shift(reference: Bins, *, rows: int, values: Floats, group: Ints) -> Shift | None:
    """Compare `values` (n,) with a reference of `rows` rows; None if there are too few to say anything.

    The rows of one `group` (n,) share much of what they are, such as the donors asked for one request.
    """
    if len(values) < FEWEST_ROWS or len(np.unique(group)) < FEWEST_GROUPS:
        return None
    place = reference.places(values)
    shares = np.array(reference.shares) / sum(reference.shares)
    counts = np.bincount(place, minlength=len(shares))
    return Shift(
        effect=population_stability_index(shares, counts), p=_p_value(shares, rows=rows, place=place, group=group)
    )


def population_stability_index(reference: Floats, counts: Ints) -> float:
    """Return the sum of (a - e) ln(a / e) over bins, from reference shares (k,) and counts (k,) of now.

    Both are smoothed by half a row a bin, at the number of rows there are now: an empty bin says no more than they can.
    """
    n, bins = int(counts.sum()), len(counts)
    expected, actual = ((rows + 0.5) / (n + 0.5 * bins) for rows in (reference * n, counts))
    return float(((actual - expected) * np.log(actual / expected)).sum())


def _p_value(reference: Floats, *, rows: int, place: Ints, group: Ints) -> float:
    """Return the p-value of a chi-square test of homogeneity, corrected for groups (Rao and Scott 1981, second order).

    Bins that neither the reference nor now have enough groups in are counted with the smallest of the others.
    """
    names, member = np.unique(group, return_inverse=True)
    table = _table(member, place, groups=len(names), bins=len(reference))
    filled = np.maximum(np.count_nonzero(table, axis=0), len(names) * reference)
    few = filled < FEWEST_IN_BIN
    smallest = np.argmin(np.where(few, np.inf, filled))
    kept, merged = np.unique(np.where(few, smallest, np.arange(len(reference))), return_inverse=True)
    if len(kept) == 1:
        return 1.0
    table = _table(member, merged[place], groups=len(names), bins=len(kept))
    expected, actual = np.bincount(merged, weights=reference), table.sum(axis=0) / len(place)
    pooled = (len(place) * actual + rows * expected) / (len(place) + rows)
    statistic = float((np.square(actual - expected) / pooled).sum() / (1.0 / len(place) + 1.0 / rows))
    scale, freedom = _sharing(table)
    return float(chdtrc(freedom, statistic / scale))


def _table(member: Ints, place: Ints, *, groups: int, bins: int) -> Ints:
    return np.bincount(member * bins + place, minlength=groups * bins).reshape(groups, bins)


def _sharing(table: Ints) -> tuple[float, float]:
    """Return scale and degrees of freedom of the statistic's distribution, from rows by group and bin (g, k).

    They match the first two moments of the sum of chi-squares that it is when rows of a group are alike
    (Satterthwaite); as if rows were independent when groups differ less than that.
    """
    groups, independent = len(table), float(table.shape[1] - 1)
    table = table[:, table.any(axis=0)]
    n, shares = table.sum(), table.sum(axis=0) / table.sum()
    apart = (table - table.sum(axis=1, keepdims=True) * shares) / np.sqrt(shares)
    effects = apart.T @ apart * (groups / (groups - 1) / n)  # its eigenvalues are the design effects
    total, squares = float(np.trace(effects)), float(np.square(effects).sum())
    if total <= independent:
        return 1.0, independent
    return squares / total, total**2 / squares


def verdicts(shifts: Sequence[Shift | None]) -> list[Verdict]:
    """Judge columns that were looked at together: drifted if the shift matters and is no chance finding.

    Chance is held at `FALSE_DISCOVERIES` of what is found (Benjamini and Hochberg 1995).
    """
    known = [shift for shift in shifts if shift is not None]
    adjusted = iter(_adjusted(np.array([shift.p for shift in known])))
    return [
        Verdict.TOO_FEW
        if shift is None
        else Verdict.DRIFTED
        if next(adjusted) <= FALSE_DISCOVERIES and shift.effect >= DRIFTED
        else Verdict.STABLE
        for shift in shifts
    ]


def _adjusted(p: Floats) -> Floats:
    """Return p-values (n,) that can be held against the false discovery rate (Benjamini and Hochberg 1995)."""
    order = np.argsort(p)[::-1]
    stepped = p[order] * len(p) / np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum.accumulate(stepped)
    return adjusted
