"""What every model runtime promises, shown with a small real model of each technology."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from backend.errors import ArtifactError, ColumnsMismatch, NotServed
from backend.inference.catalogue import Catalogue
from backend.inference.client import ModelClient
from backend.inference.interfaces import ExplainingRuntime, ModelRuntime
from backend.inference.manifest import Manifest
from backend.inference.runtimes import runtime_class
from backend.inference.trust import EXECUTABLE
from tests.contract.model_examples import (
    COLUMNS,
    INTERCEPT,
    MEANS,
    SPREADS,
    TRUST,
    WEIGHTS,
    Example,
    make_rows,
    onnx_example,
    release,
    stump_example,
)


@pytest.fixture
def parsed(example: Example, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bytes that reached the runtime's parser."""
    seen: list[bytes] = []
    runtime = runtime_class(example.runtime)
    original = runtime.load

    def load(content: bytes, manifest: Manifest, *, threads: int) -> ModelRuntime:
        seen.append(content)
        return original(content, manifest, threads=threads)

    monkeypatch.setattr(runtime, "load", load)
    return seen


def shortened(content: bytes) -> bytes:
    return content[: len(content) // 2]


def with_one_bit_flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def emptied(_: bytes) -> bytes:
    return b""


# --- what it predicts


def test_predicts_what_the_library_itself_predicts(client: ModelClient, example: Example) -> None:
    rows = make_rows(500)
    np.testing.assert_array_equal(client.predict(example.name, rows), example.expected(rows))


def test_the_onnx_example_is_the_formula_it_was_built_from() -> None:
    rows = make_rows(100)
    scaled = (np.where(np.isnan(rows), MEANS, rows) - MEANS) / SPREADS
    np.testing.assert_allclose(onnx_example().expected(rows), expit(scaled @ WEIGHTS + INTERCEPT), rtol=1e-12)


def test_one_row_predicts_the_same_alone_as_among_others(client: ModelClient, example: Example) -> None:
    rows = make_rows(20)
    alone = [client.predict(example.name, rows[i : i + 1]) for i in range(len(rows))]
    np.testing.assert_allclose(np.concatenate(alone), client.predict(example.name, rows), rtol=1e-15)


def test_a_frame_in_another_column_order_predicts_the_same(client: ModelClient, example: Example) -> None:
    rows = make_rows(50)
    frame = pd.DataFrame(rows, columns=list(COLUMNS))[sorted(COLUMNS, reverse=True)]
    np.testing.assert_array_equal(client.predict(example.name, frame), example.expected(rows))


def test_rows_with_nothing_but_missing_values_are_predicted(client: ModelClient, example: Example) -> None:
    (output,) = client.predict(example.name, np.full((1, 4), np.nan))
    assert 0.0 < output < 1.0


def test_no_rows_give_no_predictions(client: ModelClient, example: Example) -> None:
    assert client.predict(example.name, np.empty((0, 4))).shape == (0,)


def test_other_columns_are_refused(client: ModelClient, example: Example) -> None:
    with pytest.raises(ColumnsMismatch, match=r"\(n, 4\)"):
        client.predict(example.name, make_rows(2)[:, :3])
    with pytest.raises(ColumnsMismatch, match="missing: age; not known to the model: height"):
        client.predict(example.name, pd.DataFrame(make_rows(2), columns=["height", *COLUMNS[1:]]))


def test_eight_threads_get_bit_identical_predictions(client: ModelClient, example: Example) -> None:
    rows = make_rows(300)
    expected = {count: example.expected(rows[:count]) for count in (1, 10, 300)}

    def predict(count: int) -> bool:
        return np.array_equal(client.predict(example.name, rows[:count]), expected[count])

    with ThreadPoolExecutor(max_workers=8) as pool:
        assert all(pool.map(predict, [1, 10, 300] * 100))


def test_nothing_is_printed(client: ModelClient, example: Example, capfd: pytest.CaptureFixture[str]) -> None:
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(client.predict, example.name, make_rows(5)).result()
    client.predict(example.name, make_rows(5))
    assert capfd.readouterr() == ("", "")


# --- what it explains


def test_contributions_sum_to_the_logit_of_the_prediction_or_are_not_offered(
    client: ModelClient, example: Example
) -> None:
    rows = make_rows(200)
    if not issubclass(runtime_class(example.runtime), ExplainingRuntime):
        with pytest.raises(NotServed, match=f"the runtime {example.runtime} cannot explain"):
            client.explain(example.name, rows)
        return
    contributions = client.explain(example.name, rows)
    assert contributions.shape == (200, 5)
    assert np.ptp(contributions[:, -1]) == 0.0
    np.testing.assert_allclose(contributions.sum(axis=1), logit(client.predict(example.name, rows)), atol=example.exact)


def test_threads_that_explain_and_predict_at_once_get_bit_identical_results(
    client: ModelClient, example: Example
) -> None:
    if not issubclass(runtime_class(example.runtime), ExplainingRuntime):
        pytest.skip(f"the runtime {example.runtime} cannot explain")
    rows = make_rows(20)
    operations = [client.explain, client.predict]
    expected = [operation(example.name, rows) for operation in operations]

    def agrees(which: int) -> bool:
        return np.array_equal(operations[which](example.name, rows), expected[which])

    with ThreadPoolExecutor(max_workers=8) as pool:
        assert all(pool.map(agrees, [0, 1] * 200))


# --- what it refuses to load


@pytest.mark.parametrize("damage", [shortened, with_one_bit_flipped, emptied])
def test_damaged_weights_are_refused_before_any_parser_sees_them(
    client: ModelClient, example: Example, weights: Path, parsed: list[bytes], damage: Callable[[bytes], bytes]
) -> None:
    weights.write_bytes(damage(example.content))
    with pytest.raises(
        ArtifactError, match=f"model {example.name}: {weights.name} of version 1 is truncated or altered"
    ):
        client.predict(example.name, make_rows(1))
    assert parsed == []
    weights.write_bytes(example.content)
    assert client.preload([example.name]) == {example.name: None}
    assert parsed == [example.content]


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\xff\xfe\x00"])
def test_released_bytes_that_are_no_model_are_refused(root: Path, example: Example, content: bytes) -> None:
    release(root, replace(example, content=content))
    with pytest.raises(ArtifactError, match=rf"model {example.name}: {example.file} of 1: not a"):
        ModelClient(Catalogue(root, trust=TRUST)).predict(example.name, make_rows(1))


def test_a_model_that_does_not_reproduce_its_golden_outputs_is_refused(root: Path, example: Example) -> None:
    release(root, example, outputs=example.expected(make_rows(5)) + np.array([0.0, 0.0, 0.01, 0.0, 0.0]))
    with pytest.raises(ArtifactError, match=r"does not reproduce its golden outputs \(largest difference 0\.01,"):
        ModelClient(Catalogue(root, trust=TRUST)).predict(example.name, make_rows(1))


def test_a_model_of_other_columns_than_its_manifest_is_refused(root: Path, example: Example) -> None:
    release(root, example, columns=COLUMNS[:3], outputs=np.zeros(5))
    with pytest.raises(ArtifactError, match=r"4 columns, the manifest has 3"):
        ModelClient(Catalogue(root, trust=TRUST)).predict(example.name, make_rows(1)[:, :3])


def test_what_executes_code_when_it_is_read_is_not_parsed_unless_that_is_allowed(
    root: Path, example: Example, weights: Path, parsed: list[bytes]
) -> None:
    assert weights.exists()
    client = ModelClient(Catalogue(root))
    if not example.file.endswith(EXECUTABLE):
        client.predict(example.name, make_rows(1))
        assert parsed == [example.content]
        return
    with pytest.raises(ArtifactError, match="would execute code of whoever wrote it"):
        client.predict(example.name, make_rows(1))
    assert parsed == []


# --- what 32 bits do to trees


def test_trees_converted_to_32_bits_are_refused_if_a_golden_row_lies_where_that_changes_the_branch(root: Path) -> None:
    converted, threshold = stump_example()
    elsewhere = MEANS[:1] + SPREADS[:1] * np.array([[-2.0], [-1.0], [1.0], [2.0]])
    release(root, converted, rows=elsewhere, columns=COLUMNS[:1])
    ModelClient(Catalogue(root)).predict(converted.name, elsewhere)

    just_above = np.nextafter(threshold, np.inf)  # goes right in 64 bits and left in 32
    release(root, converted, rows=np.vstack((elsewhere, [[just_above]])), columns=COLUMNS[:1])
    with pytest.raises(ArtifactError, match="does not reproduce its golden outputs"):
        ModelClient(Catalogue(root)).predict(converted.name, elsewhere)
