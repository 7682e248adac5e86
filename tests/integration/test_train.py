import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from backend.domains.blood import train as training
from backend.domains.blood.availability import own_interval
from backend.domains.blood.drift_rows import WATCHED
from backend.domains.blood.features import MATCH_FEATURES, RELIABILITY_FEATURES, availability_features
from backend.domains.blood.horizons import DAY, HORIZON_HOURS, HOUR
from backend.domains.blood.parameters import AvailabilityParameters, ReliabilityParameters
from backend.domains.blood.records import Outcome
from backend.domains.blood.train import Configuration
from backend.domains.blood.training.candidates import Sample, fit_beta_binomial, fit_boosting, fit_logistic
from backend.domains.blood.training.dataset import Dataset
from backend.domains.blood.training.models import (
    NOISE,
    PRODUCT,
    WorseThanProductError,
    refuse_worse_than_product,
)
from backend.domains.blood.training.reference import MOST_ASKS
from backend.domains.blood.training.tasks import Trained
from backend.inference.catalogue import Catalogue
from backend.inference.client import ModelClient
from backend.inference.manifest import Manifest
from backend.inference.runtimes import runtime_class
from backend.ml.drift import measure_shift
from backend.ml.metrics import auc, coverage

TINY = Configuration(donors=2000, seed=7, years=1.5)
NAMES = ("donor_availability", "donor_response_time", "donor_reliability", "donor_seeker_match")
Run = tuple[Dataset, dict[str, Trained]]


def run_tiny() -> Run:
    data, models = training.train(TINY, progress=lambda _fraction, _stage: None)
    return data, {trained.name: trained for trained in models}


@pytest.fixture(scope="module")
def run() -> Run:
    return run_tiny()


@pytest.fixture(scope="module")
def root(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    data, models = run
    training.write(folder, data, list(models.values()), seed=TINY.seed)
    return folder


def test_two_runs_write_the_same_bytes(root: Path, tmp_path: Path) -> None:
    data, models = run_tiny()
    training.write(tmp_path, data, list(models.values()), seed=TINY.seed)
    again = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.*")}
    assert again == {path.relative_to(root): path.read_bytes() for path in root.rglob("*.*")}


def test_serving_loads_what_training_wrote_and_reproduces_its_golden_rows(root: Path) -> None:
    client = ModelClient(Catalogue(root))
    assert client.preload(NAMES) == dict.fromkeys(NAMES)


def test_serving_and_training_predict_the_same(root: Path, run: Run) -> None:
    client = ModelClient(Catalogue(root))
    for name, trained in run[1].items():
        expected = trained.calibration.apply(trained.candidate.raw(trained.golden))
        np.testing.assert_allclose(client.predict(name, trained.golden), expected, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_golden_rows_include_missing_values_where_the_data_has_them(root: Path, name: str) -> None:
    golden = json.loads((root / name / "1" / "golden.json").read_text())
    assert len(golden["rows"]) >= 8
    assert any(value is None for row in golden["rows"] for value in row)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_that_the_data_is_simulated_and_names_every_column(root: Path, name: str) -> None:
    card = (root / name / "1" / "CARD.md").read_text()
    manifest = Manifest.model_validate_json((root / name / "1" / "manifest.json").read_text())
    assert "Simulated data" in card
    for column in manifest.column_names:
        assert f"| {column} |" in card


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_keeps_where_every_column_lay_when_it_was_learnt(root: Path, run: Run, name: str) -> None:
    manifest = Manifest.model_validate_json((root / name / "1" / "manifest.json").read_text())
    reference, asks = manifest.reference, run[0].slices["train"].rows
    assert reference is not None
    assert tuple(reference.columns) == manifest.column_names
    assert reference.rows == len(asks) < MOST_ASKS


def test_the_slice_that_was_learnt_from_has_not_drifted_from_its_reference(root: Path, run: Run) -> None:
    data, models = run
    rows = data.slices["train"].rows
    request, asks = data.world.contacts.request[rows], data.asks_at(rows)
    for name, trained in models.items():
        reference = Manifest.model_validate_json((root / name / "1" / "manifest.json").read_text()).reference
        assert reference is not None
        values = WATCHED[name](data.history, asks)
        output = trained.calibration.apply(trained.candidate.raw(values))
        for bins, column in zip((*reference.columns.values(), reference.output), (*values.T, output), strict=True):
            shift = measure_shift(bins, rows=reference.rows, values=column, group=request)
            assert shift is not None
            assert (shift.effect, shift.p) == pytest.approx((0.0, 1.0), abs=1e-4)


def test_no_model_beats_the_oracle(run: Run) -> None:
    for name in ("donor_availability", "donor_reliability", "donor_seeker_match"):
        test = run[1][name].test
        assert test["model"]["auc"] < test["oracle"]["auc"]
        assert test["model"]["log_loss"] > test["oracle"]["log_loss"]


def test_the_match_model_tells_the_matcher_its_interval_spread_and_horizons(root: Path) -> None:
    manifest = Manifest.model_validate_json((root / "donor_seeker_match" / "1" / "manifest.json").read_text())
    interval = manifest.parameters["interval"]
    assert isinstance(interval, dict)
    assert set(interval) == {"level", "scores", "low", "high"}
    assert manifest.parameters["request_sd"] > 0.0
    assert manifest.parameters["horizon_hours"] == {str(level): hours for level, hours in HORIZON_HOURS.items()}


def test_the_availability_model_tells_its_interval_and_how_much_donors_and_requests_differ(run: Run) -> None:
    parameters = run[1]["donor_availability"].parameters
    assert set(parameters) == {"interval", "request_sd", "period_sd", "donor_sd"}
    assert 0.2 < parameters["donor_sd"] < 1.5, "the world's willingness has a spread of .75"


def test_a_donor_s_own_probability_lies_in_the_interval_where_the_rate_s_interval_misses_it(run: Run) -> None:
    data, trained = run[0], run[1]["donor_availability"]
    rows = np.concatenate([data.slices[name].rows for name in ("calibration", "test")])
    asks, parameters = data.asks_at(rows), AvailabilityParameters.model_validate(trained.parameters)
    score = trained.calibration.apply(trained.candidate.raw(availability_features(data.history, asks).values))
    position = data.history.asks.position(asks.donor, asks.as_of)
    low, high = own_interval(
        score,
        asks=data.history.asks.sums(asks.donor, position, asks.as_of)[:, 0],
        rate=parameters.interval,
        donor_sd=parameters.donor_sd,
        request_sd=parameters.request_sd,
    )
    truth = data.world.truth.accept[rows].astype(np.float64)
    never = data.history.asks.count(asks.donor, position) == 0
    assert coverage(truth, *parameters.interval.at(score)) < 0.5
    assert coverage(truth, low, high) > 0.7
    assert coverage(truth[never], low[never], high[never]) > 0.7


def test_the_reliability_model_tells_its_prior(run: Run) -> None:
    trained = run[1]["donor_reliability"]
    prior = ReliabilityParameters.model_validate(trained.parameters).prior
    assert 0.6 < prior.kept / (prior.kept + prior.broken) < 0.95


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("distance_km", np.linspace(60.0, 0.0, 30)),
        ("urgency", np.array([1.0, 2.0, 3.0, 4.0])),
        ("hours_until_needed", np.linspace(1.0, 140.0, 30)),
        ("completion_rate", np.linspace(0.0, 1.0, 30)),
    ],
)
def test_the_match_score_moves_one_way_with(run: Run, column: str, values: np.ndarray) -> None:
    trained = run[1]["donor_seeker_match"]
    for row in trained.golden:
        rows = np.tile(row, (len(values), 1))
        rows[:, MATCH_FEATURES.index(column)] = values
        assert (np.diff(trained.candidate.raw(rows)) >= -1e-12).all()


def test_slices_follow_one_another_and_share_no_donor_with_the_test(run: Run) -> None:
    data, _ = run
    contacts, slices = data.world.contacts, list(data.slices.values())
    for earlier, later in pairwise(slices):
        assert contacts.asked_at[earlier.rows].max() < contacts.asked_at[later.rows].min()
    test = set(contacts.donor[data.slices["test"].rows].tolist())
    for name in ("train", "validation", "calibration"):
        assert not test & set(contacts.donor[data.slices[name].rows].tolist())


def test_every_label_is_settled_before_its_slice_ends(run: Run) -> None:
    data, _ = run
    for part in data.slices.values():
        deadline = data.asks.as_of[part.rows] + HOUR * data.hours[part.rows]
        assert deadline.max() < part.until


def test_a_lost_outcome_does_not_lose_the_donation(run: Run) -> None:
    data, _ = run
    lost = data.accepted & (data.world.contacts.outcome == Outcome.PENDING)
    lost &= data.asks.as_of < training.END - 30 * DAY
    assert data.donated_in_time[lost].mean() > 0.3
    assert not data.settled[lost].any()


def test_shuffled_labels_teach_nothing(run: Run) -> None:
    data, _ = run
    rng = np.random.default_rng(0)
    x = rng.permutation(run[1]["donor_availability"].golden.repeat(300, axis=0)) + rng.normal(size=(3600, 1))
    labels = rng.permutation(data.accepted)[: len(x)]
    train, validation, test = (
        Sample(x[rows], labels[rows]) for rows in (slice(2000), slice(2000, 2800), slice(2800, None))
    )
    fitted = fit_boosting(train, validation, seed=0, trees=50)
    assert auc(test.y, fitted.raw(test.x)) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("fit", [fit_logistic, fit_beta_binomial])
def test_a_graph_computes_what_the_formula_says(fit: type) -> None:
    rng = np.random.default_rng(1)
    commitments = rng.exponential(2.0, 500)
    x = np.column_stack((rng.uniform(0.3, 1.0, 500), rng.random(500), rng.random(500), commitments, rng.random(500)))
    x[::7, RELIABILITY_FEATURES.index("months_since_last_outcome")] = np.nan
    fitted = fit(Sample(x, rng.random(500) < x[:, 0]))
    manifest = Manifest.model_validate(
        {
            "name": "graph",
            "version": "1",
            "runtime": fitted.runtime,
            "file": fitted.file,
            "files": {},
            "columns": [{"name": n, "unit": "1", "description": "x"} for n in RELIABILITY_FEATURES],
            "output": "probability",
            "training": {"data": "none", "fingerprint": "0", "seed": 0, "rows": 500, "since": "", "until": ""},
        }
    )
    runtime = runtime_class("onnx").load(fitted.content, manifest, threads=1)
    np.testing.assert_allclose(runtime.predict(x), fitted.raw(x), atol=1e-12)


def test_the_beta_binomial_trusts_many_commitments_more_than_few() -> None:
    rng = np.random.default_rng(2)
    x = np.column_stack((rng.uniform(0.3, 1.0, 900), *rng.random((2, 900)), rng.exponential(5.0, 900), rng.random(900)))
    fitted = fit_beta_binomial(Sample(x, rng.random(900) < x[:, 0]))
    few, many = (fitted.raw(np.array([[0.4, 0.3, 0.3, n, 1.0]]))[0] for n in (0.1, 20.0))
    assert abs(many - 0.4) < abs(few - 0.4)


def test_a_match_model_worse_than_the_funnel_is_refused(run: Run) -> None:
    match = run[1]["donor_seeker_match"]
    direct = match.validation[match.candidate.kind]
    refuse_worse_than_product(replace(match, validation={**match.validation, PRODUCT: direct + 0.01}))
    tied = direct - 0.9 * match.validation[NOISE]
    refuse_worse_than_product(replace(match, validation={**match.validation, PRODUCT: tied}))
    with pytest.raises(WorseThanProductError, match="nothing was written"):
        refuse_worse_than_product(replace(match, validation={**match.validation, PRODUCT: direct - 0.01}))
