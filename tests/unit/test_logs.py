import sys
import threading

import pytest
from gunicorn.config import Config

from backend import gunicorn_log, logs
from backend.gunicorn_log import GunicornLog
from backend.settings import Settings
from tests.said import said_by


@pytest.fixture
def owned(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process as if its standard error were a log; all as before afterwards."""
    for module, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(logs, "configure_logging", lambda _: None)
    monkeypatch.setattr(logs.logging, "captureWarnings", lambda **_: None)
    logs.own_standard_error(Settings(_env_file=None))


def test_the_end_of_a_thread_is_logged_with_its_error(owned: None) -> None:
    error = LookupError("on purpose")

    def fail() -> None:
        raise error

    with said_by(logs) as said:
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
    assert said == [{"event": "thread_ended", "reason": error}]


def test_the_end_of_a_process_is_logged_with_its_error(
    owned: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = LookupError("on purpose")
    with said_by(logs) as said:
        logs.log.critical = logs.log.error
        sys.excepthook(LookupError, error, None)
    assert said == [{"event": "process_ended", "reason": error}]
    assert capsys.readouterr().err == ""


def test_an_error_that_python_ignores_is_logged(owned: None) -> None:
    class Careless:
        def __del__(self) -> None:
            raise LookupError("on purpose")

    with said_by(logs) as said:
        Careless()
    ((event, reason),) = (entry.values() for entry in said)
    assert (event, type(reason)) == ("error_ignored", LookupError)


def test_gunicorn_s_records_go_where_all_go(monkeypatch: pytest.MonkeyPatch) -> None:
    configured: list[Settings] = []
    monkeypatch.setattr(gunicorn_log, "own_standard_error", configured.append)
    config = Config()
    config.set("accesslog", "-")
    log = GunicornLog(config)
    assert log.error_log.handlers == log.access_log.handlers == []
    assert log.error_log.propagate
    assert log.access_log.propagate
    assert len(configured) == 1
