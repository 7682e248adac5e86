from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit

from backend.errors import ArtifactError, NotServed
from backend.inference.catalogue import Catalogue
from backend.inference.manifest import Calibration, Golden
from backend.inference.model import LoadedModel

PROBABILITIES = np.array([[0.1, 0.2], [0.4, 0.3]])


def load(catalogue: Catalogue) -> LoadedModel:
    return LoadedModel.load(catalogue.read("adder"), threads=1)


def test_without_calibration_the_runtimes_output_is_the_prediction(
    write: Callable[..., Path], catalogue: Catalogue
) -> None:
    write(offset=0.0)
    np.testing.assert_allclose(load(catalogue).predict(PROBABILITIES), [0.3, 0.7])


def test_calibration_is_applied_on_the_logit(write: Callable[..., Path], catalogue: Catalogue) -> None:
    write(offset=0.0, calibration=Calibration(slope=0.5, intercept=-1.0))
    np.testing.assert_allclose(load(catalogue).predict(PROBABILITIES), expit(0.5 * logit([0.3, 0.7]) - 1.0))


def test_a_certain_output_is_calibrated_to_a_finite_probability(
    write: Callable[..., Path], catalogue: Catalogue
) -> None:
    write(offset=0.0, calibration=Calibration(slope=2.0, intercept=0.0))
    impossible, certain = load(catalogue).predict(np.array([[0.0, 0.0], [0.5, 0.5]]))
    assert 0.0 < impossible < 1e-12
    assert 1.0 - 1e-12 < certain <= 1.0


def test_golden_rows_are_compared_before_calibration(write: Callable[..., Path], catalogue: Catalogue) -> None:
    write(offset=0.0, calibration=Calibration(slope=3.0, intercept=1.0))
    assert load(catalogue).manifest.name == "adder"


def test_contributions_sum_to_the_calibrated_logit(write: Callable[..., Path], catalogue: Catalogue) -> None:
    write(runtime="explained_sum", calibration=Calibration(slope=2.0, intercept=-1.0))
    contributions = load(catalogue).explain(PROBABILITIES)
    np.testing.assert_allclose(contributions.sum(axis=1), 2.0 * (PROBABILITIES.sum(axis=1) + 0.5) - 1.0)
    np.testing.assert_allclose(contributions[:, 0], 2.0 * PROBABILITIES[:, 0])


def test_a_runtime_that_cannot_explain_says_so(write: Callable[..., Path], catalogue: Catalogue) -> None:
    write()
    with pytest.raises(NotServed, match="model adder: the runtime sum cannot explain"):
        load(catalogue).explain(PROBABILITIES)


def test_no_rows_give_no_predictions_and_no_contributions(write: Callable[..., Path], catalogue: Catalogue) -> None:
    write(runtime="explained_sum")
    model = load(catalogue)
    assert model.predict(np.empty((0, 2))).shape == (0,)
    assert model.explain(np.empty((0, 2))).shape == (0, 3)


def test_an_output_beyond_the_tolerance_refuses_the_model(write: Callable[..., Path], catalogue: Catalogue) -> None:
    write(golden=Golden(rows=((1.0, 2.0),), outputs=(3.6,), tolerance=0.05))
    with pytest.raises(ArtifactError, match=r"model adder: weights\.txt of 1: .*difference 0\.1, allowed 0\.05"):
        load(catalogue)


def test_an_output_that_is_not_a_number_refuses_the_model(write: Callable[..., Path], catalogue: Catalogue) -> None:
    write(golden=Golden(rows=((None, 2.0),), outputs=(3.5,), tolerance=1e9))
    with pytest.raises(ArtifactError, match="does not reproduce its golden outputs"):
        load(catalogue)


def test_golden_rows_of_another_width_refuse_the_model(write: Callable[..., Path], catalogue: Catalogue) -> None:
    write(golden=Golden(rows=((1.0, 2.0, 3.0),), outputs=(6.5,)))
    with pytest.raises(ArtifactError, match="golden rows have 3 columns, the manifest has 2"):
        load(catalogue)


def test_an_unknown_runtime_is_told_the_valid_ones(write: Callable[..., Path], catalogue: Catalogue) -> None:
    write(runtime="pickle")
    with pytest.raises(ArtifactError, match=r"model adder: .*unknown runtime 'pickle'; the valid ones are .*lightgbm"):
        load(catalogue)
