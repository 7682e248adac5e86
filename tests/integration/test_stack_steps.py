import io
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from backend.errors import SettingsError, StackError
from backend.ops.options import StackSettings, temporary_options
from backend.ops.ports import find_free
from backend.ops.stack import build_environment, run_step, running_stack, socket_folder


@pytest.fixture
def temporary_root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def options(data_dir: Path) -> StackSettings:
    return temporary_options(data_dir=data_dir, port=8000, flower_port=5555, donors=10)


def long_folder(root: Path) -> Path:
    return root / ("x" * 120)


def test_sockets_live_in_the_data_folder() -> None:
    data_dir = Path("/srv/sanguine")
    with socket_folder(data_dir) as folder:
        assert folder == data_dir


def test_sockets_of_a_data_folder_with_a_long_path_live_in_a_private_temporary_folder(temporary_root: Path) -> None:
    with socket_folder(long_folder(temporary_root)) as folder:
        assert folder.parent == temporary_root
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()
    with socket_folder(long_folder(temporary_root)) as again:
        assert again == folder


def test_a_temporary_folder_in_which_another_stack_listens_is_left_alone(temporary_root: Path) -> None:
    with socket_folder(long_folder(temporary_root)) as folder:
        folder.joinpath("valkey.sock").touch()
    assert folder.joinpath("valkey.sock").exists()


def test_a_temporary_folder_that_others_can_enter_is_refused(temporary_root: Path) -> None:
    with socket_folder(long_folder(temporary_root)) as folder:
        name = folder.name
    temporary_root.joinpath(name).mkdir(mode=0o755)
    with pytest.raises(SettingsError, match="not a private folder"), socket_folder(long_folder(temporary_root)):
        pass


def test_a_path_that_is_too_long_everywhere_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("y" * 90)))
    with pytest.raises(SettingsError, match="--data-dir"), socket_folder(long_folder(tmp_path)):
        pass


def test_processes_get_the_embedded_broker_unless_the_settings_name_one(tmp_path: Path) -> None:
    settings = options(tmp_path)
    sockets = Path("/run/sanguine")
    assert build_environment(settings, sockets=sockets)["SANGUINE_BROKER_URL"] == (
        "redis+socket:///run/sanguine/valkey.sock?virtual_host=0"
    )
    external = settings.model_copy(update={"broker_url": "redis://broker.example/0"})
    assert build_environment(external, sockets=sockets)["SANGUINE_BROKER_URL"] == "redis://broker.example/0"


def test_a_data_folder_that_cannot_be_made_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    settings = temporary_options(
        data_dir=file / "data", port=find_free("127.0.0.1"), flower_port=find_free("127.0.0.1"), donors=10
    )
    stack = running_stack(settings, console=Console(file=io.StringIO()))
    with pytest.raises(SettingsError, match=r"cannot use .*file/data.*--data-dir"), stack:
        pass


def test_a_failed_step_says_what_it_wrote_last(tmp_path: Path) -> None:
    environment = build_environment(options(tmp_path), sockets=tmp_path)
    with pytest.raises(StackError, match=r"flask no-such-command failed \(exit status 2\)(.|\n)*No such command"):
        run_step("no-such-command", environment=environment, log=tmp_path / "step.log")
