import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import run
from backend.errors import Unavailable
from backend.ops.options import StackSettings


@pytest.fixture(autouse=True)
def _keep_signal_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    return run.main()


def test_help_names_every_option_and_its_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command(monkeypatch, "--help")
    text = capsys.readouterr().out
    assert ended.value.code == 0
    options = ("--once", "--host", "--port", "--flower-port", "--data-dir", "--donors")
    defaults = ("127.0.0.1", "8000", "5555", "var/", "2000", "SANGUINE_PORT")
    assert [part for part in (*options, *defaults) if part not in text] == []


def test_a_port_in_use_ends_it_with_a_message_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        status = command(monkeypatch, "--port", str(port), "--data-dir", str(tmp_path / "data"))
    assert status == run.SETTINGS_STATUS
    assert f"port {port} is in use" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_value_out_of_range_ends_it_with_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "--donors", "0") == run.SETTINGS_STATUS
    assert "--donors" in capsys.readouterr().err


def test_options_that_were_given_reach_the_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[StackSettings] = []
    monkeypatch.setattr(run, "run_until_stopped", lambda settings, **_: seen.append(settings))
    arguments = ["--port", "8100", "--flower-port", "5600", "--data-dir", str(tmp_path), "--donors", "7"]
    assert command(monkeypatch, *arguments) == 0
    assert (seen[0].port, seen[0].flower_port, seen[0].data_dir, seen[0].donors) == (8100, 5600, tmp_path, 7)


def test_a_failure_is_status_1_and_an_interruption_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise Unavailable("the api did not answer")

    def interrupt(**_: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(run, "run_once", fail)
    assert command(monkeypatch, "--once") == run.FAILED_STATUS
    assert "the api did not answer" in capsys.readouterr().err
    monkeypatch.setattr(run, "run_once", interrupt)
    assert command(monkeypatch, "--once") == run.INTERRUPTED_STATUS
