"""How evenly asking is spread over donors."""

import numpy as np

from backend.domains.blood.records import Floats, Ints


def gini(counts: Ints | Floats) -> float:
    """Return the Gini coefficient of `counts` (n,), none negative: 0 all equal, near 1 one has all; 0 without any.

    Half the relative mean absolute difference (Gini 1912), from the sorted counts.

    Raises:
        ValueError: a count is negative or not a number.
    """
    ordered = np.sort(np.asarray(counts, dtype=np.float64))
    if not (ordered >= 0.0).all():
        raise ValueError("counts must be numbers and not negative")
    total, n = ordered.sum(), len(ordered)
    if total == 0.0:
        return 0.0
    rank = np.arange(1, n + 1)
    return float(((2 * rank - n - 1) @ ordered) / (n * total))
