"""Ways to learn a probability, each ending in bytes that a serving runtime reads and the same function in numpy."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import lightgbm
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from pydantic import JsonValue
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from backend.domains.blood.features import PRIOR_COMMITMENTS, PRIOR_KEPT, RELIABILITY_FEATURES
from backend.domains.blood.records import Flags, Floats, Ints
from backend.ml.metrics import log_loss

THREADS: Final = 1  # sums in another order differ in the last digit, and two threads on busy cores wait for each other
PATIENCE: Final = 20
OPSET: Final = 17


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows to learn from or to judge by: columns (n, k) and labels (n,)."""

    x: Floats
    y: Flags


@dataclass(frozen=True, slots=True)
class Candidate:
    """A learned model: what it is, its weights as a runtime reads them, and its raw output (n,) for rows (n, k)."""

    kind: str
    runtime: str
    file: str
    content: bytes
    raw: Callable[[Floats], Floats]
    parameters: dict[str, JsonValue] = field(default_factory=dict)
    """What was learnt besides the weights, as serving reads it from the manifest."""


def fit_boosting(
    train: Sample,
    validation: Sample,
    *,
    seed: int,
    trees: int,
    monotone: tuple[int, ...] | None = None,
    rate: float = 0.1,
    column_share: float = 0.8,
) -> Candidate:
    """Fit gradient-boosted trees of 15 leaves on the log-loss; `validation` ends the growth.

    `monotone` holds -1, 0 or 1 a column. Classes are not weighted: the output has to be a probability.
    """
    settings = {
        "objective": "binary",
        "learning_rate": rate,
        "num_leaves": 15,
        "min_data_in_leaf": max(20, len(train.y) // 1000),
        "lambda_l2": 10.0,
        "feature_fraction": column_share,
        "monotone_constraints": list(monotone) if monotone else None,
        "monotone_constraints_method": "basic",  # the others let violations through (seen with 4.7)
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": THREADS,
        "seed": seed,
        "verbosity": -1,
    }
    known = {name: value for name, value in settings.items() if value is not None}
    booster = lightgbm.train(
        known,
        lightgbm.Dataset(train.x, train.y, params=known),
        num_boost_round=trees,
        valid_sets=[lightgbm.Dataset(validation.x, validation.y, params=known)],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )
    text = booster.model_to_string(num_iteration=booster.best_iteration)
    served = lightgbm.Booster(model_str=text)

    def raw(x: Floats) -> Floats:
        return np.asarray(served.predict(x, num_threads=THREADS))

    return Candidate(
        f"LightGBM, learning rate {rate:g}, column share {column_share:g}", "lightgbm", "model.txt", text.encode(), raw
    )


def fit_logistic(train: Sample) -> Candidate:
    """Fit a logistic regression on standardised columns, missing values set to the median."""
    with np.errstate(all="ignore"):
        fill = np.nan_to_num(np.nanmedian(train.x, axis=0))
    filled = np.where(np.isnan(train.x), fill, train.x)
    centre, scale = filled.mean(axis=0), filled.std(axis=0)
    scale = np.where(scale > 0.0, scale, 1.0)
    fitted = LogisticRegression(C=1.0, max_iter=500).fit((filled - centre) / scale, train.y)
    weights = fitted.coef_[0] / scale
    bias = float(fitted.intercept_[0] - centre @ weights)

    def raw(x: Floats) -> Floats:
        return np.asarray(expit(np.where(np.isnan(x), fill, x) @ weights + bias))

    graph = _graph(
        train.x.shape[1],
        [
            helper.make_node("IsNaN", ["rows"], ["missing"]),
            helper.make_node("Where", ["missing", "fill", "rows"], ["filled"]),
            helper.make_node("MatMul", ["filled", "weights"], ["weighted"]),
            helper.make_node("Add", ["weighted", "bias"], ["logit"]),
            helper.make_node("Sigmoid", ["logit"], ["probability"]),
        ],
        {"fill": fill[None, :], "weights": weights[:, None], "bias": np.array([[bias]])},
    )
    return Candidate("logistic regression", "onnx", "model.onnx", graph, raw)


def fit_beta_binomial(train: Sample) -> Candidate:
    """Fit the empirical-Bayes beta-binomial: (a + commitments kept) / (a + b + commitments), a and b by likelihood.

    Works on the columns `RELIABILITY_FEATURES`, from which it takes the two counts back.
    """
    rate, count = (RELIABILITY_FEATURES.index(name) for name in ("completion_rate", "decayed_commitments"))

    def posterior(a: float, b: float, x: Floats) -> Floats:
        kept = x[:, rate] * (x[:, count] + PRIOR_COMMITMENTS) - PRIOR_COMMITMENTS * PRIOR_KEPT
        return np.asarray((a + kept) / (a + b + x[:, count]))

    def loss(theta: Floats) -> float:
        return log_loss(train.y, posterior(float(np.exp(theta[0])), float(np.exp(theta[1])), train.x))

    found = minimize(loss, np.log(np.array([3.0, 1.0])), method="Nelder-Mead")
    a, b = (float(value) for value in np.exp(found.x))

    def raw(x: Floats) -> Floats:
        return posterior(a, b, x)

    graph = _graph(
        train.x.shape[1],
        [
            helper.make_node("Gather", ["rows", "rate"], ["completion"], axis=1),
            helper.make_node("Gather", ["rows", "count"], ["commitments"], axis=1),
            helper.make_node("Add", ["commitments", "prior"], ["smoothed"]),
            helper.make_node("Mul", ["completion", "smoothed"], ["kept_and_prior"]),
            helper.make_node("Add", ["kept_and_prior", "a_less_prior"], ["for"]),
            helper.make_node("Add", ["commitments", "a_and_b"], ["all"]),
            helper.make_node("Div", ["for", "all"], ["probability"]),
        ],
        {
            "rate": np.array([rate]),
            "count": np.array([count]),
            "prior": np.array([[PRIOR_COMMITMENTS]]),
            "a_less_prior": np.array([[a - PRIOR_COMMITMENTS * PRIOR_KEPT]]),
            "a_and_b": np.array([[a + b]]),
        },
    )
    prior: dict[str, JsonValue] = {"prior": {"kept": a, "broken": b}}
    return Candidate("empirical-Bayes beta-binomial", "onnx", "model.onnx", graph, raw, prior)


def _graph(columns: int, nodes: list[onnx.NodeProto], constants: dict[str, Floats | Ints]) -> bytes:
    """Return an ONNX model from double `rows` (n, columns) to double `probability` (n, 1)."""
    graph = helper.make_graph(
        nodes,
        "probability",
        [helper.make_tensor_value_info("rows", TensorProto.DOUBLE, ["n", columns])],
        [helper.make_tensor_value_info("probability", TensorProto.DOUBLE, ["n", 1])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
