import subprocess
import sys

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from backend.errors import ArtifactError
from backend.inference.manifest import Column, Manifest, Training
from backend.inference.runtimes.onnx import OnnxRuntime

ROWS = np.array([[0.1, 0.2], [3.0, -4.0]])
MANIFEST = Manifest(
    name="graph",
    version="1",
    runtime="onnx",
    file="model.onnx",
    files={},
    columns=tuple(Column(name=name, unit="1", description=name) for name in ("a", "b")),
    output="number",
    training=Training(data="made up", fingerprint="0", seed=1, rows=1, since="2025-01-01", until="2025-01-02"),
)
FLOAT, DOUBLE, INT64 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64


def graph(*nodes: object, inputs: list[object], outputs: list[object], weights: np.ndarray | None = None) -> bytes:
    initializers = [] if weights is None else [numpy_helper.from_array(weights, "weights")]
    made = helper.make_graph(list(nodes), "graph", inputs, outputs, initializers)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString()


def tensor(name: str, *shape: int | str | None, kind: int = DOUBLE) -> object:
    return helper.make_tensor_value_info(name, kind, list(shape))


def linear(*shape: int | str | None, output: str = "y", kind: int = DOUBLE, width: int | str | None = 2) -> bytes:
    """Return a graph that multiplies rows with a matrix of as many columns as the last of `shape`."""
    columns = shape[-1] if len(shape) == 2 and isinstance(shape[-1], int) else 1
    weights = np.arange(1, 2 * columns + 1).reshape(2, columns).astype(helper.tensor_dtype_to_np_dtype(kind))
    product = "product" if len(shape) == 1 else output
    nodes = [helper.make_node("MatMul", ["x", "weights"], [product])]
    if len(shape) == 1:
        nodes.append(helper.make_node("Flatten", [product], ["flat"], axis=0))
        nodes.append(helper.make_node("Squeeze", ["flat"], [output]))
    inputs, outputs = [tensor("x", None, width, kind=kind)], [tensor(output, *shape, kind=kind)]
    return graph(*nodes, inputs=inputs, outputs=outputs, weights=weights)


def predict(content: bytes) -> np.ndarray:
    return OnnxRuntime.load(content, MANIFEST, threads=1).predict(ROWS)


def test_one_column_of_output_becomes_one_number_per_row() -> None:
    np.testing.assert_allclose(predict(linear(None, 1)), ROWS @ [1.0, 2.0], rtol=1e-15)


def test_an_output_without_columns_is_taken_as_it_is() -> None:
    np.testing.assert_allclose(predict(linear(None)), ROWS @ [1.0, 2.0], rtol=1e-15)


def test_of_two_probabilities_the_second_is_that_of_the_event() -> None:
    np.testing.assert_allclose(predict(linear(None, 2, output="probabilities")), ROWS @ [2.0, 4.0], rtol=1e-15)


def test_a_float32_graph_gets_rounded_rows_and_gives_float64() -> None:
    outputs = predict(linear(None, 1, kind=FLOAT))
    assert outputs.dtype == np.float64
    np.testing.assert_array_equal(outputs, (ROWS.astype(np.float32) @ np.float32([1.0, 2.0])).astype(np.float64))


def test_the_label_beside_the_probabilities_is_not_used() -> None:
    label = helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0)
    product = helper.make_node("MatMul", ["x", "weights"], ["probabilities"])
    content = graph(
        product,
        label,
        inputs=[tensor("x", None, 2)],
        outputs=[tensor("label", None, kind=INT64), tensor("probabilities", None, 2)],
        weights=np.array([[1.0, 2.0], [3.0, 4.0]]),
    )
    np.testing.assert_allclose(predict(content), ROWS @ [2.0, 4.0], rtol=1e-15)


@pytest.mark.parametrize(
    "content",
    [linear(None, 2), linear(None, 3, output="probabilities")],
    ids=["two unnamed columns", "three classes"],
)
def test_an_output_that_could_mean_several_things_is_refused(content: bytes) -> None:
    with pytest.raises(ArtifactError, match="one float output of shape"):
        predict(content)


def test_a_graph_of_another_number_of_columns_is_refused() -> None:
    weights = np.ones((5, 1))
    node = helper.make_node("MatMul", ["x", "weights"], ["y"])
    content = graph(node, inputs=[tensor("x", None, 5)], outputs=[tensor("y", None, 1)], weights=weights)
    with pytest.raises(ArtifactError, match="takes 5 columns, the manifest has 2"):
        predict(content)


@pytest.mark.parametrize(
    "inputs",
    [
        [tensor("x", None, 2, kind=INT64)],
        [tensor("x", None)],
        [tensor("x", None, 2), tensor("z", None, 2)],
    ],
    ids=["whole numbers", "one dimension", "two inputs"],
)
def test_an_input_that_is_not_one_float_matrix_is_refused(inputs: list[object]) -> None:
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=DOUBLE)]
    with pytest.raises(ArtifactError, match="must have one input"):
        predict(graph(*nodes, inputs=inputs, outputs=[tensor("y", None, 1)]))


def test_a_graph_of_an_operation_that_onnxruntime_does_not_know_is_refused() -> None:
    node = helper.make_node("NoSuchOperation", ["x"], ["y"])
    with pytest.raises(ArtifactError, match=r"not a graph that onnxruntime can load: .*NoSuchOperation"):
        predict(graph(node, inputs=[tensor("x", None, 2)], outputs=[tensor("y", None, 1)]))


def test_a_graph_may_not_read_weights_from_another_file() -> None:
    node = helper.make_node("MatMul", ["x", "weights"], ["y"])
    outside = helper.make_tensor("weights", DOUBLE, [2, 1], [1.0, 2.0])
    outside.ClearField("double_data")
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="/etc/hostname")
    made = helper.make_graph([node], "graph", [tensor("x", None, 2)], [tensor("y", None, 1)], [outside])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    with pytest.raises(ArtifactError, match="not a graph that onnxruntime can load"):
        predict(model.SerializeToString())


def test_importing_onnxruntime_starts_no_thread_that_reports_its_use() -> None:
    script = (
        "import os, numpy, scipy.special; count = lambda: len(os.listdir('/proc/self/task')); before = count();"
        "import backend.inference.runtimes.onnx; print(count() - before)"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "0"
