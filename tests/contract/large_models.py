"""Models of 30 to 40 MB, made of the examples by repeating what they consist of; what they predict means nothing."""

import json
import re
from io import BytesIO
from itertools import cycle, islice

import numpy as np
import onnx
import pytest
import skops.io
import xgboost
from onnx import TensorProto, helper, numpy_helper

from tests.contract.model_examples import lightgbm_example, sklearn_example, xgboost_example

TREES = 20_000
HIDDEN = 800_000  # numbers between the columns and the output of a network


def large_lightgbm() -> bytes:
    """Return the trees of the example a thousand times."""
    text = lightgbm_example().content.decode()
    head, *trees = re.split(r"^Tree=\d+\n", text, flags=re.MULTILINE)
    trees[-1], end, rest = trees[-1].partition("end of trees")
    many = [f"Tree={i}\n{tree}" for i, tree in enumerate(islice(cycle(trees), TREES))]
    sizes = " ".join(str(len(tree)) for tree in many)
    head = re.sub(r"^tree_sizes=.*$", f"tree_sizes={sizes}", head, flags=re.MULTILINE)
    return "".join([head, *many, end, rest]).encode()


def large_xgboost() -> bytes:
    """Return the trees of the example a thousand times."""
    content = xgboost_example().content
    model = json.loads(bytes(xgboost.Booster(model_file=bytearray(content)).save_raw("json")))
    forest = model["learner"]["gradient_booster"]["model"]
    forest["trees"] = [tree | {"id": i} for i, tree in enumerate(islice(cycle(forest["trees"]), TREES))]
    forest["tree_info"] = [0] * TREES
    forest["iteration_indptr"] = list(range(TREES + 1))
    forest["gbtree_model_param"]["num_trees"] = str(TREES)
    return bytes(xgboost.Booster(model_file=bytearray(json.dumps(model).encode())).save_raw("ubj"))


def large_sklearn() -> bytes:
    """Return the example with nodes in its trees that nothing leads to."""
    model = skops.io.loads(
        sklearn_example().content, trusted=skops.io.get_untrusted_types(data=sklearn_example().content)
    )
    for (tree,) in model._predictors:
        tree.nodes = np.tile(tree.nodes, 1_000)
    return skops.io.dumps(model)


def large_onnx() -> bytes:
    """Return a network with one wide layer."""
    constants = {"wide": np.full((4, HIDDEN), 1e-6), "narrow": np.full((HIDDEN, 1), 1e-6)}
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["rows", "wide"], ["hidden"]),
            helper.make_node("MatMul", ["hidden", "narrow"], ["y"]),
        ],
        "network",
        [helper.make_tensor_value_info("rows", TensorProto.DOUBLE, [None, 4])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, [None, 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def large_torch() -> bytes:
    """Return a network with one wide layer."""
    torch = pytest.importorskip("torch", reason="torch is optional: pip install -r requirements-torch.txt")
    layers = torch.nn.Linear(4, HIDDEN, dtype=torch.float64), torch.nn.Linear(HIDDEN, 1, dtype=torch.float64)
    rows, content = torch.zeros(2, 4, dtype=torch.float64), BytesIO()
    program = torch.export.export(
        torch.nn.Sequential(*layers), (rows,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)
    )
    torch.export.save(program, content)
    return content.getvalue()


LARGE = {
    "lightgbm": large_lightgbm,
    "onnx": large_onnx,
    "sklearn": large_sklearn,
    "torch": large_torch,
    "xgboost": large_xgboost,
}
