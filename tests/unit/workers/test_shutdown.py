import os
import time

import pytest

from workers import shutdown
from workers.shutdown import StopWish


def test_without_being_asked_it_is_never_due():
    assert not StopWish().is_due()


def test_what_runs_has_time_to_finish(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutdown, "FINISH_SECONDS", 0.05)
    wish = StopWish()
    wish.ask()
    assert not wish.is_due()
    time.sleep(0.06)
    assert wish.is_due()


def test_a_child_that_was_forked_before_sees_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutdown, "FINISH_SECONDS", 0.0)
    wish = StopWish()
    asked, ask = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(asked, 1)
        os._exit(0 if wish.is_due() else 1)
    wish.ask()
    os.write(ask, b".")
    assert os.waitpid(child, 0) == (child, 0)
    os.close(asked)
    os.close(ask)
