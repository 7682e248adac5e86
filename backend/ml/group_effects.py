"""How much groups and periods differ beyond what a probability says: used in training only."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_expit, logsumexp

from backend.ml.calibration import Flags, Floats, Groups, logit


def fit_group_sd(*, probability: Floats, outcome: Flags, group: Groups, nodes: int = 15) -> float:
    """Return the standard deviation, in logits, of what the rows of one group share and `probability` does not know.

    Maximises the marginal likelihood of logit P = a + b logit(p) + sd u_group, u ~ N(0, 1) (Gauss-Hermite).
    """
    x = logit(probability)
    _, member = np.unique(group, return_inverse=True)
    groups = int(member.max()) + 1
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    log_weights = np.log(weights / weights.sum())
    sign = np.where(outcome, 1.0, -1.0)

    def negative_log_likelihood(theta: Floats) -> float:
        intercept, slope, log_sd = theta
        by_node = np.empty((groups, nodes))
        for j, point in enumerate(points):
            eta = intercept + slope * x + np.exp(log_sd) * point
            by_node[:, j] = np.bincount(member, weights=log_expit(sign * eta), minlength=groups)
        return -float(logsumexp(by_node + log_weights, axis=1).sum()) / groups

    start = np.array([0.0, 1.0, np.log(0.3)])
    bounds = [(-5.0, 5.0), (0.1, 5.0), (np.log(1e-3), np.log(5.0))]
    found = minimize(negative_log_likelihood, start, method="L-BFGS-B", bounds=bounds)
    return float(np.exp(found.x[2]))


def fit_period_sd(*, probability: Floats, outcome: Flags, group: Groups, period: Groups) -> float:
    """Return by how much, in logits (root mean square), periods miss what `probability` (n,) says of them.

    Moments after DerSimonian and Laird (1986): the spread of the periods' shifts less what chance alone would give,
    with the rows of one `group` (n,) counted as one observation.
    """
    _, period_of = np.unique(period, return_inverse=True)
    information = np.bincount(period_of, weights=probability * (1.0 - probability))
    shift = np.bincount(period_of, weights=outcome - probability) / information
    # A group that crosses the border of two periods counts in each.
    cells, cell_of = np.unique(np.stack((period_of, group)), axis=1, return_inverse=True)
    residual = np.bincount(cell_of, weights=outcome - probability)
    by_chance = np.bincount(cells[0], weights=residual**2) / information**2
    return float(np.sqrt(max(float(np.mean(shift**2) - np.mean(by_chance)), 0.0)))
