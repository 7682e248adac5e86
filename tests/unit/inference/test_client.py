import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest

from backend.errors import ArtifactError, ColumnsMismatch, NotServed, UnknownModel
from backend.inference import slots
from backend.inference.catalogue import Catalogue
from backend.inference.client import ModelClient
from backend.inference.manifest import Golden, Manifest
from backend.inference.slots import ModelStats

ROW = np.array([[1.0, 2.0]])


def test_a_prediction_loads_the_model_and_later_ones_use_it(
    write: Callable[..., Path], client: ModelClient, loads: list[str]
) -> None:
    write("adder")
    assert loads == []
    assert [client.predict("adder", ROW).tolist() for _ in range(3)] == [[3.5]] * 3
    assert loads == ["adder with 1"]


def test_the_runtime_gets_the_clients_threads(
    write: Callable[..., Path], catalogue: Catalogue, loads: list[str]
) -> None:
    write("adder")
    ModelClient(catalogue, threads=3).predict("adder", ROW)
    assert loads == ["adder with 3"]


def test_threads_that_ask_at_once_load_a_model_once(
    write: Callable[..., Path], client: ModelClient, loads: list[str], gate: threading.Event
) -> None:
    write("adder")
    with ThreadPoolExecutor(max_workers=8) as pool:
        waiting = [pool.submit(client.predict, "adder", ROW) for _ in range(8)]
        gate.set()
        assert [future.result().tolist() for future in waiting] == [[3.5]] * 8
    assert loads == ["adder with 1"]


def test_a_model_that_is_loading_does_not_hold_up_another(
    write: Callable[..., Path], client: ModelClient, gate: threading.Event
) -> None:
    write("slow")
    write("ready")
    gate.set()
    client.preload(["ready"])
    gate.clear()
    with ThreadPoolExecutor(max_workers=1) as pool:
        slow = pool.submit(client.predict, "slow", ROW)
        assert client.predict("ready", ROW).tolist() == [3.5]
        assert not slow.done()
        gate.set()
        assert slow.result(5.0).tolist() == [3.5]


def test_an_unknown_model_is_refused_and_leaves_no_trace(write: Callable[..., Path], client: ModelClient) -> None:
    write("adder")
    with pytest.raises(UnknownModel, match="the catalogue has adder"):
        client.predict("subtractor", ROW)
    assert client.stats() == {}


def test_a_failed_load_is_remembered_and_tried_again_after_a_while(
    write: Callable[..., Path], client: ModelClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = write("adder") / "weights.txt"
    weights.write_bytes(b"9.9")
    with pytest.raises(ArtifactError, match="truncated or altered"):
        client.predict("adder", ROW)
    weights.write_bytes(b"0.5")
    with pytest.raises(ArtifactError, match="truncated or altered"):
        client.predict("adder", ROW)
    later = slots.time.monotonic() + slots.RETRY_SECONDS
    monkeypatch.setattr(slots.time, "monotonic", lambda: later)
    assert client.predict("adder", ROW).tolist() == [3.5]
    assert client.describe()[0].error is None


def test_preload_tells_each_models_fate_and_tries_failed_ones_at_once(
    write: Callable[..., Path], client: ModelClient
) -> None:
    write("good")
    broken = write("broken") / "weights.txt"
    broken.unlink()
    outcome = client.preload(["good", "broken", "absent"])
    assert outcome["good"] is None
    assert isinstance(outcome["broken"], ArtifactError)
    assert isinstance(outcome["absent"], UnknownModel)
    assert client.predict("good", ROW).tolist() == [3.5]
    broken.write_bytes(b"0.5")
    assert client.preload(["broken"]) == {"broken": None}


def test_preload_without_a_catalogue_reports_it_for_every_model(client: ModelClient) -> None:
    outcome = client.preload(["one", "two"])
    assert [type(error) for error in outcome.values()] == [ArtifactError, ArtifactError]


def test_the_manifest_is_that_of_the_loaded_version_even_when_a_newer_one_is_released(
    write: Callable[..., Path], client: ModelClient
) -> None:
    write("adder")
    client.preload(["adder"])
    write("adder", version="2", offset=9.0)
    assert client.manifest("adder").version == "1"
    assert client.describe()[0].version == "1"
    assert client.predict("adder", ROW).tolist() == [3.5]


def test_calls_rows_errors_and_time_are_counted_per_model(write: Callable[..., Path], client: ModelClient) -> None:
    write("adder")
    write("explained", runtime="explained_sum")
    client.predict("adder", np.zeros((5, 2)))
    client.predict("adder", np.zeros((0, 2)))
    client.explain("explained", np.zeros((2, 2)))
    with pytest.raises(ColumnsMismatch):
        client.predict("adder", np.zeros((1, 3)))
    with pytest.raises(NotServed):
        client.explain("adder", ROW)
    adder, explained = client.stats()["adder"], client.stats()["explained"]
    assert (adder.calls, adder.rows, adder.errors) == (4, 5, 2)
    assert (explained.calls, explained.rows, explained.errors) == (1, 2, 0)
    assert adder.load_seconds is not None
    assert adder.seconds >= adder.load_seconds > 0.0


def test_no_call_is_lost_when_threads_count_at_once(write: Callable[..., Path], client: ModelClient) -> None:
    write("adder")
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(lambda _: client.predict("adder", ROW), range(800)))
    assert (client.stats()["adder"].calls, client.stats()["adder"].rows) == (800, 800)


def test_stats_are_a_snapshot_that_nobody_can_change(write: Callable[..., Path], client: ModelClient) -> None:
    write("adder")
    client.predict("adder", ROW)
    before = client.stats()
    client.predict("adder", ROW)
    assert before["adder"].calls == 1
    with pytest.raises(FrozenInstanceError):
        before["adder"].calls = 7
    with pytest.raises(TypeError):
        before["adder"] = ModelStats()


def test_the_list_of_models_shows_good_and_broken_ones_without_loading_any(
    write: Callable[..., Path], client: ModelClient, loads: list[str]
) -> None:
    folder = write("adder")
    (write("broken") / "manifest.json").write_bytes(b"{}")
    adder, broken = client.describe()
    assert loads == []
    assert (adder.name, adder.version, adder.runtime, adder.columns) == ("adder", "1", "sum", ("a", "b"))
    assert (adder.loaded, adder.error, adder.metrics, adder.stats.calls) == (False, None, {"error": 0.0}, 0)
    assert adder.sha256 == Manifest.model_validate_json((folder / "manifest.json").read_bytes()).files["weights.txt"]
    assert (broken.name, broken.version, broken.loaded) == ("broken", None, False)
    assert "manifest.json of version 1 is truncated or altered" in (broken.error or "")


def test_the_list_of_models_shows_damaged_weights_that_nobody_has_loaded_yet(
    write: Callable[..., Path], client: ModelClient
) -> None:
    (write("adder") / "weights.txt").write_bytes(b"9.9")
    (adder,) = client.describe()
    assert (adder.version, adder.loaded) == ("1", False)
    assert "weights.txt of version 1 is truncated or altered" in (adder.error or "")


def test_the_list_of_models_shows_what_is_loaded_and_what_failed_to_load(
    write: Callable[..., Path], client: ModelClient
) -> None:
    write("adder")
    write("broken", golden=Golden(rows=((1.0, 2.0),), outputs=(9.0,)))
    client.preload(["adder", "broken"])
    adder, broken = client.describe()
    assert (adder.loaded, adder.error) == (True, None)
    assert broken.loaded is False
    assert "does not reproduce its golden outputs" in (broken.error or "")


def test_a_client_nobody_uses_is_freed_with_its_models(write: Callable[..., Path], catalogue: Catalogue) -> None:
    write("adder")
    client = ModelClient(catalogue)
    client.predict("adder", ROW)
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None


def test_a_forked_child_starts_with_nothing_loaded_and_one_thread(
    write: Callable[..., Path], catalogue: Catalogue, loads: list[str]
) -> None:
    write("adder")
    client = ModelClient(catalogue, threads=2)
    client.predict("adder", ROW)
    client._start_anew()  # what os.fork calls in the child; the contract suite forks for real
    assert client.stats() == {}
    assert client.predict("adder", ROW).tolist() == [3.5]
    assert loads == ["adder with 2", "adder with 1"]


def test_a_child_forked_before_anything_was_loaded_keeps_its_threads(
    write: Callable[..., Path], catalogue: Catalogue, loads: list[str]
) -> None:
    write("adder")
    client = ModelClient(catalogue, threads=2)
    client._start_anew()
    client.predict("adder", ROW)
    assert loads == ["adder with 2"]
