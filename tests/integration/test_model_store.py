"""Model versions in a bucket: a real S3 server, in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs

from backend.errors import Unavailable
from backend.inference.catalogue import read_artifact
from backend.inference.manifest import MANIFEST, CatalogueEntry, digest
from backend.registry.candidate import check_folder
from backend.registry.registry import make_registry
from backend.registry.remote import RemoteStore
from backend.settings import Settings
from tests.contract.model_examples import onnx_example, release
from tests.contract.store_contract import MODEL, VERSION, StoreContract, write
from tests.integration.stack import free_port, wait_until

URL = "s3://models/sanguine"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 server."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            s3fs.S3FileSystem(key="test", secret="test", endpoint_url=address).ls("")  # noqa: S106 - moto takes any
        except Exception:  # noqa: BLE001 - whatever says that it is not up yet
            return False
        return True

    wait_until(answers, seconds=30)
    yield address
    process.kill()
    process.wait()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[s3fs.S3FileSystem]:
    """An empty bucket, which the usual variables lead to."""
    variables = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    files = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
    files.mkdir("models")
    yield files
    files.rm("models", recursive=True)


@pytest.fixture
def store(bucket: s3fs.S3FileSystem, tmp_path: Path) -> RemoteStore:
    return RemoteStore(URL, tmp_path / "cache")


@pytest.fixture
def entry(store: RemoteStore, tmp_path: Path) -> CatalogueEntry:
    entry = write(tmp_path / "new")
    store.publish(MODEL, VERSION, tmp_path / "new")
    return entry


class TestS3(StoreContract):
    """What every store promises."""


def test_another_machine_reads_what_this_one_published(bucket, entry: CatalogueEntry, tmp_path: Path):
    assert f"models/sanguine/{MODEL}/{VERSION}/{MANIFEST}" in bucket.find("models")
    other = RemoteStore(URL, tmp_path / "cache of another machine")
    assert read_artifact(other, MODEL, entry).weights == b"0.5"


def test_the_settings_lead_to_the_bucket_and_a_version_there_is_tried_out(bucket, tmp_path: Path):
    registry = make_registry(Settings(model_store=URL, data_dir=tmp_path / "data", _env_file=None))
    example = onnx_example()
    folder = release(tmp_path / "models", example)
    registry.store.publish(example.name, "1", folder)
    sha256 = digest((folder / MANIFEST).read_bytes())
    entry = CatalogueEntry(version="1", manifest_sha256=sha256)
    root = registry.store.on_disk(example.name, entry)
    assert root.is_relative_to(tmp_path / "data")
    assert check_folder(root, example.name, entry, trust=registry.trust, threads=1).load_seconds > 0.0


def test_a_forked_child_reads_with_connections_of_its_own(store: RemoteStore, entry: CatalogueEntry, tmp_path: Path):
    assert store.find(MODEL, VERSION, MANIFEST)  # connections are open in this process
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if store.find(MODEL, VERSION, MANIFEST) else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.find(MODEL, VERSION, MANIFEST)


def test_a_bucket_that_does_not_exist_or_a_server_that_is_away_is_unavailable_soon(
    store: RemoteStore, entry: CatalogueEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    read_artifact(store, MODEL, entry)
    with pytest.raises(Unavailable, match="the model store s3://nowhere"):
        RemoteStore("s3://nowhere", tmp_path / "c").publish(MODEL, "2", tmp_path / "new")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    started = time.monotonic()
    with pytest.raises(Unavailable, match="does not answer"):
        read_artifact(RemoteStore(URL, tmp_path / "empty"), MODEL, entry)
    assert time.monotonic() - started < 20.0
    assert read_artifact(RemoteStore(URL, tmp_path / "cache"), MODEL, entry).weights == b"0.5"
