"""Where columns and outputs lay on what a model learnt from, kept in its manifest to see later how far they moved."""

from typing import Final

import numpy as np

from backend.domains.blood.drift_rows import WATCHED
from backend.domains.blood.training.dataset import Dataset
from backend.domains.blood.training.tasks import Trained
from backend.inference.manifest import Reference

MOST_ASKS: Final = 50_000  # spread evenly over the slice, so that all its seasons count


def reference_of(trained: Trained, data: Dataset) -> Reference:
    """Return the reference of a model: all asks of the slice it learnt from, whatever came of them.

    Not the later slices, though they are more like what comes next: what the model never learnt from is what a
    measurement of drift has to find.
    """
    rows = data.slices["train"].rows
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_ASKS)).astype(np.int64)]
    values = WATCHED[trained.name](data.history, data.asks_at(rows))
    names = tuple(column.name for column in trained.columns)
    return Reference.fit(names, values, trained.calibration.apply(trained.candidate.raw(values)))
