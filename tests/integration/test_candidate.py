"""Versions nobody has loaded yet, in a process that may be lost."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from backend.errors import ArtifactError
from backend.inference.catalogue import Catalogue
from backend.inference.trust import OPEN
from backend.registry import candidate
from backend.registry.candidate import check_folder
from backend.registry.checked import Checked
from tests.contract.model_examples import COLUMNS, Example, lightgbm_example, make_rows, onnx_example, release
from tests.contract.versions import release_of


def check(root: Path, model: str) -> Checked:
    return check_folder(root, model, Catalogue(root).entry(model), trust=OPEN, threads=1)


def check_odd(root: Path, behaviour: str) -> Checked:
    entry = release_of(root / "odd" / "1", "odd", "1", weights=behaviour.encode(), runtime="odd")
    return check_folder(root, "odd", entry, trust=OPEN, threads=1)


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process knows the runtime `odd`."""
    monkeypatch.setattr(candidate, "PROGRAM", ("-m", "tests.integration.odd_candidates"))


@pytest.mark.parametrize("example", [lightgbm_example(), onnx_example()], ids=["lightgbm", "onnx"])
def test_a_good_version_passes_and_its_size_is_known(tmp_path: Path, example: Example):
    release(tmp_path, example)
    checked = check(tmp_path, example.name)
    assert 0 <= checked.memory_bytes < 50_000_000
    assert 0.0 < checked.load_seconds < 30.0


@pytest.mark.parametrize("part", [0.3, 0.5])
def test_a_truncated_lightgbm_model_whose_digest_is_right_ends_another_process_than_this(tmp_path: Path, part: float):
    example = lightgbm_example()
    content = example.content[: int(len(example.content) * part)]
    release(tmp_path, Example("lightgbm", "model.txt", content, example.expected))
    with pytest.raises(ArtifactError, match=r"model lightgbm_example: version 1 ends the process .*\(SIG(ABRT|SEGV)\)"):
        check(tmp_path, "lightgbm_example")


def test_a_graph_of_unknown_operations_is_refused(tmp_path: Path):
    node = helper.make_node("Divine", ["rows"], ["probability"], domain="org.example")
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("rows", TensorProto.DOUBLE, [None, len(COLUMNS)])],
        [helper.make_tensor_value_info("probability", TensorProto.DOUBLE, [None, 1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("org.example", 1)]
    content = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    assert onnx.load_from_string(content).graph.node[0].op_type == "Divine"
    release(tmp_path, Example("onnx", "model.onnx", content, lambda rows: np.zeros(len(rows))))
    with pytest.raises(ArtifactError, match="not a graph that onnxruntime can load"):
        check(tmp_path, "onnx_example")


def test_a_version_that_predicts_something_else_is_refused(tmp_path: Path):
    example = onnx_example()
    release(tmp_path, example, outputs=example.expected(make_rows(5)) + 0.01)
    with pytest.raises(ArtifactError, match="does not reproduce its golden outputs"):
        check(tmp_path, example.name)


def test_altered_files_are_refused_before_they_are_parsed(tmp_path: Path):
    example = lightgbm_example()
    (release(tmp_path, example) / example.file).write_bytes(example.content[:-1_000])
    with pytest.raises(ArtifactError, match=r"model\.txt of version 1 is truncated or altered"):
        check(tmp_path, example.name)


def test_a_version_that_takes_for_ever_is_ended(tmp_path: Path, odd: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(candidate, "SECONDS", 3.0)
    with pytest.raises(ArtifactError, match="model odd: version 1 was not loaded within 3 s"):
        check_odd(tmp_path, "sleep")


def test_a_version_that_computes_for_ever_is_ended_by_the_kernel(tmp_path, odd, monkeypatch):
    monkeypatch.setattr(candidate, "CPU_SECONDS", 3)
    entry = release_of(tmp_path / "odd" / "1", "odd", "1", weights=b"spin", runtime="odd")
    with pytest.raises(ArtifactError, match=r"ends the process that loads it \(SIG(XCPU|KILL)\)"):
        check_folder(tmp_path, "odd", entry, trust=OPEN, threads=1)


def test_a_version_that_eats_memory_is_stopped_at_the_limit(tmp_path: Path, odd: None):
    with pytest.raises(ArtifactError, match=r"loading version 1 needs more memory than 4\.0 GiB"):
        check_odd(tmp_path, "eat")


def test_what_a_version_keeps_in_memory_is_measured(tmp_path: Path, odd: None):
    assert 45_000_000 < check_odd(tmp_path, "keep").memory_bytes < 60_000_000


def test_a_version_can_write_next_to_nothing(tmp_path: Path, odd: None):
    with pytest.raises(ArtifactError, match="File too large"):
        check_odd(tmp_path, "write")
    Path("/tmp/sanguine-candidate-was-here").unlink()  # noqa: S108 - as far as it came


def test_what_a_version_prints_is_no_answer(tmp_path: Path, odd: None):
    assert check_odd(tmp_path, "chat").load_seconds > 0.0


def test_a_process_that_leaves_without_an_answer_is_told(tmp_path: Path, odd: None):
    with pytest.raises(ArtifactError, match=r"said nothing \(exit status 7\)"):
        check_odd(tmp_path, "leave")


def test_a_version_sees_no_secrets_and_its_limits_hold(tmp_path: Path, odd: None, monkeypatch: pytest.MonkeyPatch):
    for name in ("SANGUINE_SECRET_KEY", "SANGUINE_DATABASE_URL", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "secret")
    with pytest.raises(ArtifactError) as raised:
        check_odd(tmp_path, "look")
    names, limits = json.loads(str(raised.value)[str(raised.value).index("[[") :])
    assert not [name for name in names if name.startswith(("SANGUINE", "AWS"))]
    assert "PATH" in names
    assert limits == [0, 4096]


CHECK_AND_WAIT = """
import sys
from pathlib import Path
from backend.inference.manifest import CatalogueEntry
from backend.inference.trust import OPEN
from backend.registry import candidate
candidate.PROGRAM = ("-m", "tests.integration.odd_candidates")
entry = CatalogueEntry(version="1", manifest_sha256=sys.argv[2])
candidate.check_folder(Path(sys.argv[1]), "odd", entry, trust=OPEN, threads=1)
"""


def test_the_process_ends_with_the_one_that_started_it(tmp_path: Path):
    entry = release_of(tmp_path / "odd" / "1", "odd", "1", weights=b"sleep", runtime="odd")
    parent = subprocess.Popen([sys.executable, "-c", CHECK_AND_WAIT, str(tmp_path), entry.manifest_sha256])
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    child = wait_for(lambda: children.read_text().split())[0]
    wait_for(lambda: "tether.py" not in Path(f"/proc/{child}/cmdline").read_text())
    parent.kill()
    parent.wait()
    wait_for(lambda: not Path(f"/proc/{child}").exists() or " Z " in Path(f"/proc/{child}/stat").read_text())


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found
