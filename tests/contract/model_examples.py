"""Tiny real models, one for each runtime, and how to write them as a released version."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lightgbm
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from backend.inference.interfaces import Floats
from backend.inference.manifest import Column, Golden, Manifest, Training, write_version
from backend.inference.runtimes import onnx as ours  # whose onnxruntime reports nothing to anyone

COLUMNS = ("age", "distance", "interval", "count")
MEANS = np.array([40.0, 10.0, 90.0, 3.0])
SPREADS = np.array([10.0, 5.0, 30.0, 2.0])
WEIGHTS = np.array([0.5, -1.0, 0.25, 0.75])
INTERCEPT = -0.3


@dataclass(frozen=True)
class Example:
    """The bytes of a model and what its own library predicts with them."""

    runtime: str
    file: str
    content: bytes
    expected: Callable[[Floats], Floats]

    @property
    def name(self) -> str:
        return f"{self.runtime}_example"


def make_rows(count: int, *, seed: int = 1) -> Floats:
    """Return rows of shape (count, 4) around the columns' means, one value in ten missing."""
    random = np.random.default_rng(seed)
    rows = MEANS + SPREADS * random.normal(size=(count, len(COLUMNS)))
    rows[random.random(rows.shape) < 0.1] = np.nan
    return rows


def lightgbm_example() -> Example:
    """Return a classifier of 20 trees."""
    rows = make_rows(2_000, seed=2)
    signal = np.nan_to_num((rows - MEANS) / SPREADS) @ WEIGHTS
    outcome = signal + np.random.default_rng(3).logistic(size=len(rows)) > 0.0
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


def release(root: Path, example: Example, *, outputs: Floats | None = None, columns: tuple[str, ...] = COLUMNS) -> Path:
    """Write `example` as version 1 with five golden rows; `outputs` in place of the right ones."""
    rows = make_rows(5)[:, : len(columns)]
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
    return write_version(root, manifest, contents)
