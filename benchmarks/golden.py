"""The model and the rows that every system is asked about."""

from functools import cache
from itertools import cycle, islice

from backend.inference.catalogue import Artifact, Catalogue
from backend.settings import load_settings

Values = list[float | None]


@cache
def artifact() -> Artifact:
    """Return the model that is asked, the first of the catalogue, a LightGBM one."""
    catalogue = Catalogue(load_settings().models_dir)
    return catalogue.read(catalogue.names()[0])


def golden_row() -> Values:
    """Return the row of the round trips: the first golden row of the model."""
    return golden_rows(1)[0]


def golden_rows(count: int) -> list[Values]:
    """Return `count` rows: the golden rows of the model, again and again."""
    return [list(row) for row in islice(cycle(artifact().golden.rows), count)]


def golden_outputs(count: int) -> list[float]:
    """Return what the model's library says of `golden_rows(count)`, before the calibration that Sanguine adds."""
    return list(islice(cycle(artifact().golden.outputs), count))
