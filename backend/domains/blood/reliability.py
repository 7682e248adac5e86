"""How reliable a donor is: the empirical-Bayes posterior of coming after accepting, its mean and its lower end.

A donor is taken for an average one until commitments say otherwise: the prior is Beta(kept, broken), fitted by
training, and each commitment kept or broken adds one, a year-old one half. Medical deferrals and cancelled requests
add nothing (`history.index_commitments`).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import betaincinv

from backend.domains.blood.features import commitment_features
from backend.domains.blood.history import EventIndex
from backend.domains.blood.records import Floats, Ints

LOWER: Final = 0.10


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the commitments of donors (n,) say as of one moment."""

    features: Floats  # (n, 5), what the model of reliability sees
    kept: Floats  # decayed
    broken: Floats  # decayed
    commitments: Ints

    @property
    def n(self) -> Floats:
        """The decayed number of commitments (n,)."""
        return self.kept + self.broken


def gather(outcomes: EventIndex, *, donors: int, as_of: float) -> Evidence:
    """Return what the commitments of all `donors` of an index say; an end at or after `as_of` is not seen."""
    donor = np.arange(donors, dtype=np.int32)
    moment = np.full(donors, as_of)
    position = outcomes.position(donor, moment)
    kept, absent, excused = outcomes.sums(donor, position, moment).T
    return Evidence(
        features=commitment_features(outcomes, donor, moment).values,
        kept=kept,
        broken=absent + excused,
        commitments=outcomes.count(donor, position),
    )


def posterior_quantile(evidence: Evidence, *, prior: tuple[float, float], quantile: float = LOWER) -> Floats:
    """Return a quantile (n,) of each donor's posterior Beta(prior kept + kept, prior broken + broken)."""
    kept, broken = prior
    return np.asarray(betaincinv(kept + evidence.kept, broken + evidence.broken, quantile))
