"""A process stays with what is to be served."""

import gc
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.errors import ArtifactError, NotServed, Unavailable
from backend.inference import client as client_module
from backend.inference import slots
from backend.inference.catalogue import Catalogue
from backend.inference.client import ModelClient
from backend.inference.following import FollowingThread
from backend.inference.source import Artifact, Served

ROW = np.array([[1.0, 2.0]])
ENSURE = FollowingThread.ensure  # as it is: no thread follows in the other tests


class Decided(Catalogue):
    """A folder of models with a decision what is to be served, as a registry makes it."""

    follows = True
    away = False
    unloaded = False

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.generation = 0
        self.reports: list[list[Served]] = []

    def generations(self) -> Mapping[str, int]:
        if self.away:
            raise Unavailable("the database does not answer")
        return {"adder": self.generation}

    def read(self, model: str) -> Artifact:
        if self.unloaded:
            raise NotServed("the model was unloaded")
        return replace(super().read(model), generation=self.generation)

    def report(self, served: list[Served]) -> None:
        self.reports.append(served)

    def wait(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.01))


@pytest.fixture
def source(root: Path) -> Decided:
    return Decided(root)


@pytest.fixture
def client(source: Decided) -> ModelClient:
    return ModelClient(source)


@pytest.fixture
def release(source: Decided, write: Callable[..., Path]) -> Callable[..., Path]:
    """Decide that a version is to be served."""

    def _release(version: str, **changes: object) -> Path:
        folder = write("adder", version=version, **changes)
        source.generation += 1
        return folder

    return _release


def test_a_new_decision_takes_the_place_of_the_old_one(client: ModelClient, release) -> None:
    release("1")
    assert client.predict("adder", ROW).tolist() == [3.5]
    assert not client.look(), "nothing changed"
    release("2", offset=10.0)
    assert client.predict("adder", ROW).tolist() == [3.5], "until somebody looked"
    assert client.look()
    assert client.predict("adder", ROW).tolist() == [13.0]
    assert client.manifest("adder").version == "2"


def test_a_model_that_nobody_used_is_not_loaded(client: ModelClient, release, loads: list[str]) -> None:
    release("1")
    client.look()
    assert loads == []


def test_the_same_version_is_loaded_anew_when_that_was_decided(
    client: ModelClient, release, source: Decided, loads
) -> None:
    release("1")
    client.predict("adder", ROW)
    source.generation += 1
    client.look()
    assert len(loads) == 2


def test_one_answer_is_of_one_version(client: ModelClient, release) -> None:
    release("1")
    pinned = client.pin("adder")
    release("2", offset=10.0)
    client.look()
    assert (pinned.predict(ROW).tolist(), pinned.manifest.version) == ([3.5], "1")
    assert client.pin("adder").predict(ROW).tolist() == [13.0]


def test_what_was_replaced_is_freed_with_its_last_use(client: ModelClient, release) -> None:
    release("1")
    pinned = client.pin("adder")
    old = weakref.ref(pinned._model)
    release("2", offset=10.0)
    client.look()
    assert old() is not None
    del pinned
    gc.collect()
    assert old() is None


def test_a_version_that_cannot_be_loaded_leaves_the_one_before_and_says_why(
    client: ModelClient, release, source: Decided, loads
) -> None:
    release("1")
    client.predict("adder", ROW)
    (release("2", offset=10.0) / "weights.txt").write_bytes(b"9.9")
    assert client.look(), "there is an error to tell"
    assert client.predict("adder", ROW).tolist() == [3.5]
    client.tell()
    (served,) = source.reports[-1]
    assert (served.generation, served.version) == (1, "1")
    assert "truncated or altered" in (served.error or "")
    assert not client.look()
    assert len(loads) == 1, "it is not tried again for a while"


def test_it_is_tried_again_after_a_while_and_at_once_for_another_decision(
    client: ModelClient, release, monkeypatch: pytest.MonkeyPatch
) -> None:
    release("1")
    client.predict("adder", ROW)
    weights = release("2", offset=10.0) / "weights.txt"
    weights.write_bytes(b"9.9")
    client.look()
    weights.write_bytes(b"10.0")
    later = slots.time.monotonic() + slots.RETRY_SECONDS
    monkeypatch.setattr(slots.time, "monotonic", lambda: later)
    client.look()
    assert client.predict("adder", ROW).tolist() == [13.0]
    (release("3", offset=20.0) / "weights.txt").write_bytes(b"9.9")
    client.look()
    release("4", offset=30.0)
    client.look()
    assert client.predict("adder", ROW).tolist() == [33.0]
    assert client.describe()[0].error is None


def test_an_unloaded_model_is_served_no_more_until_one_is_decided_on(
    client: ModelClient, release, source: Decided
) -> None:
    release("1")
    client.predict("adder", ROW)
    source.unloaded = True
    source.generation += 1
    client.look()
    with pytest.raises(NotServed, match="unloaded"):
        client.predict("adder", ROW)
    client.tell()
    assert source.reports[-1] == [Served("adder", 2, None, None, "the model was unloaded")]
    source.unloaded = False
    release("2", offset=10.0)
    client.look()
    assert client.predict("adder", ROW).tolist() == [13.0]


def test_what_is_loaded_serves_on_while_nobody_can_say_what_is_to_be_served(
    client: ModelClient, release, source: Decided, monkeypatch: pytest.MonkeyPatch
) -> None:
    release("1")
    client.predict("adder", ROW)
    client.look()
    source.away = True
    monkeypatch.setattr(client_module, "STALE_SECONDS", 0.0)
    assert client.predict("adder", ROW).tolist() == [3.5]
    with pytest.raises(Unavailable):
        client.look()


def test_a_use_looks_itself_where_no_thread_does(client: ModelClient, release, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FollowingThread, "ensure", lambda *_: None)
    release("1")
    client.predict("adder", ROW)
    client.look()
    release("2", offset=10.0)
    monkeypatch.setattr(client_module, "STALE_SECONDS", 0.0)
    assert client.predict("adder", ROW).tolist() == [13.0]


def test_what_is_served_is_told_when_it_changed_or_again(client: ModelClient, release, source: Decided) -> None:
    release("1")
    client.tell(again=False)
    assert source.reports == [], "nothing is loaded"
    client.predict("adder", ROW)
    for _ in range(2):
        client.tell(again=False)
    assert [[one.version for one in report] for report in source.reports] == [["1"]]
    client.tell()
    assert len(source.reports) == 2


def test_a_thread_follows_tells_and_ends_with_its_client(source: Decided, release) -> None:
    thread, client = FollowingThread(), ModelClient(source)
    release("1")
    client.pin("adder")
    before = threading.active_count()
    ENSURE(thread, client)
    ENSURE(thread, client)
    assert threading.active_count() == before + 1
    release("2", offset=10.0)
    wait_until(lambda: source.reports and source.reports[-1][0].version == "2")
    assert client.predict("adder", ROW).tolist() == [13.0]
    del client
    wait_until(lambda: threading.active_count() == before)


def test_no_prediction_fails_or_mixes_versions_while_they_change(client: ModelClient, release) -> None:
    offsets = {"1": 0.5, "2": 10.0}
    release("1")
    client.predict("adder", ROW)
    done = threading.Event()

    def ask() -> int:
        asked = 0
        while not done.is_set():
            pinned = client.pin("adder")
            assert pinned.predict(ROW).tolist() == [3.0 + offsets[pinned.manifest.version]]
            asked += 1
        return asked

    with ThreadPoolExecutor(max_workers=2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        for turn in range(10):
            version = "12"[turn % 2]
            release(version, offset=offsets[version])
            client.look()
        done.set()
        assert all(future.result(10) for future in asking)


def test_a_version_is_had_by_its_weights_as_long_as_it_is_there(client: ModelClient, release, loads) -> None:
    release("1")
    pinned = client.pin("adder")
    assert client.pin("adder", identity=pinned.manifest.identity)._model is pinned._model
    release("2", offset=10.0)
    client.look()
    before = pinned.manifest.identity
    assert client.pin("adder", identity=before)._model is pinned._model, "somebody still uses it"
    del pinned
    gc.collect()
    with pytest.raises(ArtifactError, match="not there any more"):
        client.pin("adder", identity=before)


def test_a_version_that_is_not_served_is_loaded_once_for_all_who_want_it(client: ModelClient, release) -> None:
    release("1")
    client.predict("adder", ROW)
    release("2", offset=10.0)
    with ThreadPoolExecutor(max_workers=4) as pool:
        newer = client._source.manifest("adder").identity
        others = list(pool.map(lambda _: client.pin("adder", identity=newer), range(4)))
    assert {id(one._model) for one in others} == {id(others[0]._model)}, "loaded once, and shared"
    assert others[0].predict(ROW).tolist() == [13.0]


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        gc.collect()
        time.sleep(0.01)
