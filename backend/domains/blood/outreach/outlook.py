"""What the answers so far say about a request: who may still donate in time, and how probable it is to be enough.

Notation, for one donor asked e hours ago: p = P(donates in time) when asked, k = P(donates in time | accepted),
q = p / k = P(accepts in time), A(t) = P(answers within t), W = the last hour at which a yes still helps, r = A(W), and
u = the luck of the request, with p(u) and q(u) = p(u) / k.

Assumptions: donors are independent given u; u moves whether a donor accepts, not when, nor whether a commitment is
kept; those who accept and those who decline answer at the same pace, so that G = A(min(e, W)) / r is the share of the
answers that can still help which have come in by now. Of those who do not accept, a share
d = max(r - q, 0) / (1 - q) declines in time, which makes the answers add up to r. Then

    P(silent by now | u) = 1 - G (q(u) + (1 - q(u)) d)
    P(donates in time | silent, u) = p(u) (1 - G) / P(silent by now | u)

Averaged over luck that is p (1 - G) / (1 - A(e)): it falls to 0 as the window passes. A donor who accepted counts
with k whatever the luck, who declined or dropped out with 0, who donated with 1. Silence, a decline 1 - q(u) and an
acceptance q(u) are also evidence about u: Bayes' rule at the nodes of its quadrature gives its posterior, with which
all who are not yet asked are averaged too. An acceptance later than W counts 0. Not modelled: that an accepted donor
who has not come near the deadline has become less likely to.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

import numpy as np

from backend.domains.blood.horizons import HOUR
from backend.domains.blood.outreach.counts import certainly_none, product, short_of
from backend.domains.blood.outreach.luck import by_luck
from backend.domains.blood.outreach.timing import answer_window
from backend.domains.blood.records import Codes, Floats, Ints
from backend.domains.blood.response import answered_within

_LEAST: Final = 1e-12  # keeps what was thought impossible, and happened, from ruling out every luck


class State(IntEnum):
    """What became of an alert so far."""

    SILENT = 0
    ACCEPTED = 1
    DECLINED = 2
    DONATED = 3
    OUT = 4
    """Accepted, and will not donate: cancelled, did not come, or was deferred."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Donors already asked for the request (n,), with what was expected of them at the ask."""

    donor: Ints
    asked_at: Floats
    p: Floats  # P(donates in time), as of the ask
    keep: Floats  # P(donates in time | accepted), in (0, 1]; see `timing.chance_kept`
    hazards: Floats  # (n, bins) of the time to an answer
    distance_km: Floats
    state: Codes  # State
    answered_at: Floats  # NaN: not yet

    def __len__(self) -> int:
        return len(self.donor)


@dataclass(frozen=True, slots=True)
class Outlook:
    """The number of donations in time, as far as it falls short of `units`, given luck."""

    units: int
    sd: float
    weight: Floats  # (nodes,), the posterior of luck
    short: Floats  # (units, nodes): P(exactly k donate in time | luck)
    expected: float  # donations in time

    @property
    def probability(self) -> float:
        """P(at least `units` donations in time)."""
        return self._enough(self.short)

    @property
    def overshoot(self) -> float:
        """The expected number of donations in time beyond `units`."""
        missing = np.arange(self.units, 0, -1) @ self.short @ self.weight
        return max(self.expected - self.units + float(missing), 0.0)

    def probability_with(self, chances: Floats) -> float:
        """Return `probability` if donors with chances (n, nodes) are asked as well."""
        return self._enough(product(self.units, self.short, short_of(self.units, chances)))

    def plus(self, chances: Floats) -> Self:
        """Return the outlook when donors with chances (n, nodes) are asked as well."""
        short = product(self.units, self.short, short_of(self.units, chances))
        expected = self.expected + float((chances @ self.weight).sum())
        return type(self)(self.units, self.sd, self.weight, short, expected)

    def chances(self, p: Floats) -> Floats:
        """Return the chances given luck (n, nodes) of donors not asked yet, `p` (n,) before anything was known."""
        return by_luck(p, self.sd)[0]

    def _enough(self, short: Floats) -> float:
        return min(max(1.0 - float(short.sum(axis=0) @ self.weight), 0.0), 1.0)


def outlook(asked: Asked, *, units: int, deadline: float, now: float, edges: Floats, sd: float) -> Outlook:
    """Return what `asked` give until epoch second `deadline`, as known at `now`; answers come at hours `edges`.

    `units` (1 or more) are wanted from donors; `sd` in [0, 2] is the standard deviation of luck in log-odds.
    """
    given_luck, prior = by_luck(asked.p, sd)
    accepts = np.minimum(given_luck / asked.keep[:, None], 1.0)
    hours = answer_window((deadline - asked.asked_at) / HOUR, asked.distance_km)
    so_far, declines = _answers(asked, now=now, edges=edges, window=hours)
    silent = 1.0 - so_far[:, None] * (accepts + (1.0 - accepts) * declines[:, None])
    likelihood = _choose(asked.state, silent, accepts, 1.0 - accepts, accepts, accepts)
    log_weight = np.log(np.maximum(likelihood, _LEAST)).sum(axis=0)
    weight = prior * np.exp(log_weight - log_weight.max())
    in_time = (asked.answered_at - asked.asked_at <= HOUR * hours) & (deadline > now)
    none = np.zeros_like(silent)
    chances = _choose(
        asked.state,
        given_luck * (1.0 - so_far)[:, None] / np.maximum(silent, _LEAST),
        none + (asked.keep * in_time)[:, None],
        none,
        none + 1.0,
        none,
    )
    nobody = Outlook(units, sd, weight / weight.sum(), certainly_none(units, len(weight)), 0.0)
    return nobody.plus(np.minimum(chances, 1.0))


def _answers(asked: Asked, *, now: float, edges: Floats, window: Floats) -> tuple[Floats, Floats]:
    """Return G (n,), the share of the helpful answers that are in, and d (n,), the declines; see the module."""
    elapsed = np.clip((now - asked.asked_at) / HOUR, 0.0, window)
    within = answered_within(asked.hazards, edges, window)
    by_now = answered_within(asked.hazards, edges, elapsed)
    so_far = np.where(elapsed < window, np.divide(by_now, within, out=np.ones_like(within), where=within > 0.0), 1.0)
    q = np.minimum(asked.p / asked.keep, 1.0)
    return so_far, np.maximum(within - q, 0.0) / np.maximum(1.0 - q, _LEAST)


def _choose(state: Codes, *by_state: Floats) -> Floats:
    """Return the rows (n, nodes) of the array that belongs to each donor's state, in the order of `State`."""
    return np.select([state[:, None] == one for one in State], list(by_state))
