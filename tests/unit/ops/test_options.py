from pathlib import Path

import pytest

from backend.errors import SettingsError
from backend.ops.options import read_options, temporary_options
from backend.settings import PROJECT, Environment


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # away from any .env
    for name in ("ENVIRONMENT", "HOST", "PORT", "FLOWER_PORT", "DONORS", "DATA_DIR", "DATABASE_URL", "BROKER_URL"):
        monkeypatch.delenv(f"SANGUINE_{name}", raising=False)


def test_without_options_the_defaults_are_local() -> None:
    options = read_options()
    assert (options.url, options.flower_url) == ("http://127.0.0.1:8000", "http://127.0.0.1:5555")
    assert (options.data_dir, options.donors) == (PROJECT / "var", 2000)


def test_the_environment_counts_where_no_option_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANGUINE_PORT", "8100")
    monkeypatch.setenv("SANGUINE_FLOWER_PORT", "5600")
    options = read_options(port=8200)
    assert (options.port, options.flower_port) == (8200, 5600)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("port", 0, r"--port \(SANGUINE_PORT\)"),
        ("port", 65536, r"--port \(SANGUINE_PORT\)"),
        ("flower_port", -1, r"--flower-port \(SANGUINE_FLOWER_PORT\)"),
        ("donors", 0, r"--donors \(SANGUINE_DONORS\)"),
        ("data_dir", "100%", r"--data-dir \(SANGUINE_DATA_DIR\): .*%"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_option_and_variable(name: str, value: object, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_options(**{name: value})


def test_a_relative_data_folder_is_the_callers(tmp_path: Path) -> None:
    assert read_options(data_dir="data").data_dir == tmp_path / "data"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8000"),  # noqa: S104 - nothing listens
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("sanguine.example", "http://sanguine.example:8000"),
    ],
)
def test_the_url_is_one_that_this_machine_can_open(host: str, url: str) -> None:
    assert read_options(host=host).url == url


def test_a_temporary_stack_shares_nothing_with_the_one_that_the_environment_describes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SANGUINE_ENVIRONMENT", "production")
    monkeypatch.setenv("SANGUINE_DATABASE_URL", "postgresql://db.example/live")
    monkeypatch.setenv("SANGUINE_BROKER_URL", "redis://broker.example/0")
    options = temporary_options(data_dir=tmp_path, port=1024, flower_port=1025, donors=10)
    assert options.environment is Environment.DEVELOPMENT
    assert (options.database_url, options.broker_url) == ("", "")
    assert options.sqlalchemy_url == f"sqlite:///{tmp_path}/sanguine.sqlite"
