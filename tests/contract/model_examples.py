"""Tiny real models, one for each runtime, and how to write them as a released version."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import lightgbm
import numpy as np
import onnx
import pytest
import skops.io
import xgboost
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from backend.inference.interfaces import Floats
from backend.inference.manifest import MANIFEST, Column, Golden, Manifest, Training, write_version
from backend.inference.runtimes import onnx as ours  # whose onnxruntime reports nothing to anyone
from backend.inference.trust import SIGNATURE, Trust, sign

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
TRUST = Trust([KEY.public_key()], executable=True)

COLUMNS = ("age", "distance", "interval", "count")
MEANS = np.array([40.0, 10.0, 90.0, 3.0])
SPREADS = np.array([10.0, 5.0, 30.0, 2.0])
WEIGHTS = np.array([0.5, -1.0, 0.25, 0.75])
INTERCEPT = -0.3


@dataclass(frozen=True)
class Example:
    """The bytes of a model and what its own library predicts with them.

    A library that counts in 32 bits explains less exactly: contributions sum to the raw margin within `exact`.
    """

    runtime: str
    file: str
    content: bytes
    expected: Callable[[Floats], Floats]
    exact: float = 1e-12

    @property
    def name(self) -> str:
        return f"{self.runtime}_example"


def make_rows(count: int, *, seed: int = 1) -> Floats:
    """Return rows of shape (count, 4) around the columns' means, one value in ten missing."""
    random = np.random.default_rng(seed)
    rows = MEANS + SPREADS * random.normal(size=(count, len(COLUMNS)))
    rows[random.random(rows.shape) < 0.1] = np.nan
    return rows


def make_outcomes(rows: Floats) -> np.ndarray:
    """Return whether the event happened, shape (n,), with the probabilities of the logistic regression below."""
    signal = np.nan_to_num((rows - MEANS) / SPREADS) @ WEIGHTS
    return signal + np.random.default_rng(3).logistic(size=len(rows)) > 0.0


def lightgbm_example() -> Example:
    """Return a classifier of 20 trees."""
    rows = make_rows(2_000, seed=2)
    outcome = make_outcomes(rows)
    options = {"objective": "binary", "num_leaves": 15, "num_threads": 1, "verbosity": -1, "seed": 4}
    booster = lightgbm.train(options, lightgbm.Dataset(rows, outcome), num_boost_round=20)
    content = booster.model_to_string().encode()
    return Example("lightgbm", "model.txt", content, lambda x: booster.predict(x, num_threads=1))


def onnx_graph(*, kind: int = TensorProto.DOUBLE, output: list[int | None] | None = None, columns: int = 4) -> bytes:
    """Return a graph that imputes, scales and applies a logistic regression; `kind` is the type of its numbers."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    constants = {
        "means": MEANS[:columns],
        "spreads": SPREADS[:columns],
        "weights": WEIGHTS[:columns, None],
        "intercept": np.array([INTERCEPT]),
    }
    graph = helper.make_graph(
        [
            helper.make_node("IsNaN", ["rows"], ["missing"]),
            helper.make_node("Where", ["missing", "means", "rows"], ["complete"]),
            helper.make_node("Sub", ["complete", "means"], ["centred"]),
            helper.make_node("Div", ["centred", "spreads"], ["scaled"]),
            helper.make_node("MatMul", ["scaled", "weights"], ["linear"]),
            helper.make_node("Add", ["linear", "intercept"], ["margin"]),
            helper.make_node("Sigmoid", ["margin"], ["probability"]),
        ],
        "logistic_regression",
        [helper.make_tensor_value_info("rows", kind, [None, columns])],
        [helper.make_tensor_value_info("probability", kind, output or [None, 1])],
        [numpy_helper.from_array(value.astype(dtype), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def onnx_example() -> Example:
    """Return a logistic regression in double precision."""
    content = onnx_graph()
    session = ours.onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return Example("onnx", "model.onnx", content, lambda x: session.run(None, {"rows": x})[0][:, 0])


def stump_example() -> tuple[Example, float]:
    """Return one split of a LightGBM tree as a graph that compares in 32 bits, and the threshold of the split.

    What is expected of it is what LightGBM predicts.
    """
    rows = make_rows(500, seed=2)
    options = {"objective": "regression", "num_leaves": 2, "num_threads": 1, "verbosity": -1}
    booster = lightgbm.train(options, lightgbm.Dataset(rows[:, :1], rows[:, 0] > MEANS[0]), num_boost_round=1)
    split = booster.dump_model()["tree_info"][0]["tree_structure"]
    leaves = [split[f"{side}_child"]["leaf_value"] for side in ("left", "right")]
    threshold = split["threshold"]
    values = dict(zip(("threshold", "left", "right"), (threshold, *leaves), strict=True))
    graph = helper.make_graph(
        [
            helper.make_node("LessOrEqual", ["rows", "threshold"], ["goes_left"]),
            helper.make_node("Where", ["goes_left", "left", "right"], ["output"]),
        ],
        "stump",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(np.float32([value]), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    return Example("onnx", "model.onnx", content, lambda x: booster.predict(x, num_threads=1)), threshold


def sklearn_example() -> Example:
    """Return a classifier of 20 trees, which OpenMP shares between threads and missing values do not disturb."""
    rows = make_rows(2_000, seed=2)
    model = HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=15, random_state=4)
    with threadpool_limits(1):  # for 2,000 rows, other threads are only in the way
        model.fit(rows, make_outcomes(rows))
    return Example("sklearn", "model.skops", skops.io.dumps(model), lambda x: model.predict_proba(x)[:, 1])


def torch_program() -> tuple[bytes, Callable[[Floats], Floats]]:
    """Return the logistic regression as an exported program, and what PyTorch predicts with it."""
    torch = pytest.importorskip("torch", reason="torch is optional: pip install -r requirements-torch.txt")

    class Regression(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.means, self.spreads = torch.from_numpy(MEANS), torch.from_numpy(SPREADS)
            self.linear = torch.nn.Linear(len(WEIGHTS), 1, dtype=torch.float64)
            self.linear.load_state_dict({"weight": torch.from_numpy(WEIGHTS)[None], "bias": torch.tensor([INTERCEPT])})

        def forward(self, rows: object) -> object:
            complete = torch.where(torch.isnan(rows), self.means, rows)
            return torch.sigmoid(self.linear((complete - self.means) / self.spreads))

    rows = torch.export.Dim.DYNAMIC
    program = torch.export.export(Regression(), (torch.zeros(2, 4, dtype=torch.float64),), dynamic_shapes=({0: rows},))
    content = BytesIO()
    torch.export.save(program, content)
    run = program.module()
    return content.getvalue(), lambda x: run(torch.from_numpy(x)).detach().numpy()[:, 0]


def torch_example() -> Example:
    """Return the logistic regression in double precision; torch is not in the lock, so this may skip the test."""
    return Example("torch", "model.pt2", *torch_program())


def xgboost_example() -> Example:
    """Return a classifier of 20 trees."""
    rows = make_rows(2_000, seed=2)
    options = {"objective": "binary:logistic", "max_depth": 4, "nthread": 1, "seed": 4}
    booster = xgboost.train(options, xgboost.DMatrix(rows, make_outcomes(rows), nthread=1), num_boost_round=20)
    content = bytes(booster.save_raw("ubj"))
    return Example(
        "xgboost", "model.ubj", content, lambda x: booster.predict(xgboost.DMatrix(x, nthread=1)), exact=1e-5
    )


EXAMPLES = {
    "lightgbm": lightgbm_example,
    "onnx": onnx_example,
    "sklearn": sklearn_example,
    "torch": torch_example,
    "xgboost": xgboost_example,
}


def release(
    root: Path,
    example: Example,
    *,
    rows: Floats | None = None,
    outputs: Floats | None = None,
    columns: tuple[str, ...] = COLUMNS,
) -> Path:
    """Write `example` as version 1, signed, with golden rows; `outputs` in place of the right ones."""
    rows = (make_rows(5) if rows is None else rows)[:, : len(columns)]
    outputs = example.expected(rows) if outputs is None else outputs
    golden = Golden(rows=[[None if np.isnan(v) else v for v in row] for row in rows.tolist()], outputs=outputs.tolist())
    manifest = Manifest(
        name=example.name,
        version="1",
        runtime=example.runtime,
        file=example.file,
        files={},
        columns=tuple(Column(name=name, unit="1", description=name) for name in columns),
        output="probability",
        training=Training(data="made up", fingerprint="0", seed=1, rows=1, since="2025-01-01", until="2025-01-02"),
    )
    contents = {example.file: example.content, "golden.json": golden.model_dump_json().encode()}
    folder = write_version(root, manifest, contents)
    (folder / SIGNATURE).write_bytes(sign((folder / MANIFEST).read_bytes(), KEY))
    return folder
