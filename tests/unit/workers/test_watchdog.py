import threading
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.exceptions import OperationalError
from redis.exceptions import BusyLoadingError

from workers import watchdog
from workers.watchdog import PATIENCE, Watchdog


class Worker:
    """A worker as its watchdog sees it: it answers echoes, or not."""

    def __init__(self) -> None:
        self.hears = True
        self.working = False
        self.broker: Exception | None = None
        self.overdue: list[str] = []
        self.echoes = 0
        self.ended = 0
        self.watchdog = Watchdog(
            echo=self.echo, at_work=lambda: self.working, overdue=lambda: self.overdue, end=self.end, every=0.001
        )

    def echo(self) -> None:
        if self.broker is not None:
            raise self.broker
        self.echoes += 1
        if self.hears:
            self.watchdog.heard()

    def end(self) -> None:
        self.ended += 1
        if threading.current_thread() is not threading.main_thread():
            threading.Event().wait()  # as the real one, it does not return

    def look(self, times: int) -> None:
        for _ in range(times):
            self.watchdog.look()


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_a_worker_that_answers_is_left_alone(worker: Worker):
    before = worker.watchdog.heard_at
    worker.look(20)
    assert (worker.echoes, worker.ended) == (20, 0)
    assert worker.watchdog.heard_at > before


def test_an_idle_worker_that_misses_three_echoes_in_a_row_is_ended_at_the_next_look(worker: Worker):
    worker.hears = False
    worker.look(PATIENCE)
    assert (worker.echoes, worker.ended) == (PATIENCE, 0)
    worker.look(1)
    assert worker.ended == 1


def test_whatever_is_received_starts_the_count_anew(worker: Worker):
    worker.hears = False
    for _ in range(10):
        worker.look(PATIENCE)
        worker.watchdog.heard()
    assert worker.ended == 0


def test_a_worker_at_work_is_sent_nothing_and_is_not_deaf(worker: Worker):
    worker.hears, worker.working = False, True
    before = worker.watchdog.heard_at
    worker.look(20)
    assert (worker.echoes, worker.ended) == (0, 0)
    assert worker.watchdog.heard_at > before


@pytest.mark.parametrize("error", [OperationalError("gone"), BusyLoadingError("loading"), ConnectionRefusedError()])
def test_nobody_is_deaf_while_the_broker_does_not_answer(worker: Worker, error: Exception):
    worker.hears, worker.broker = False, error
    worker.look(20)
    assert worker.ended == 0
    worker.broker = None
    worker.look(PATIENCE)
    assert worker.ended == 0, "the worker has time to reconnect"
    worker.look(1)
    assert worker.ended == 1


@given(st.lists(st.sampled_from(["hears", "misses", "works", "no broker"]), max_size=40))
def test_it_ends_exactly_when_the_last_three_echoes_were_missed(days: list[str]):
    worker, missed = Worker(), 0
    for state in days:
        worker.hears, worker.working = state == "hears", state == "works"
        worker.broker = OperationalError() if state == "no broker" else None
        deaf = missed >= PATIENCE and not worker.working
        ended = worker.ended
        worker.look(1)
        assert worker.ended - ended == deaf
        if not deaf:
            missed = missed + 1 if state == "misses" else 0


def test_an_attempt_long_past_its_time_stops_the_worker_and_ends_it(worker: Worker, monkeypatch: pytest.MonkeyPatch):
    done = []
    monkeypatch.setattr(watchdog.os, "kill", lambda _pid, number: done.append(number.name))
    # Its own time alone: threads of other tests may sleep at this moment.
    monkeypatch.setattr(watchdog, "time", SimpleNamespace(sleep=lambda _seconds: done.append("time to leave")))
    worker.overdue, worker.working = ["a/1"], True
    worker.look(PATIENCE)
    assert done == []
    worker.look(1)
    assert done == ["SIGTERM", "time to leave"]
    assert worker.ended == 1


def test_attempts_that_are_past_their_time_one_after_the_other_are_not_stuck(worker: Worker):
    worker.working = True
    for number in range(5 * PATIENCE):
        worker.overdue = [f"job/{number // PATIENCE}"]
        worker.look(1)
    assert worker.ended == 0


def test_a_worker_that_was_asked_to_stop_is_left_to_it(worker: Worker):
    worker.hears, worker.overdue = False, ["a/1"]
    worker.watchdog.rest()
    worker.look(20)
    assert (worker.echoes, worker.ended) == (0, 0)


def test_it_goes_on_after_any_error(worker: Worker):
    worker.broker = ZeroDivisionError("an error nobody thought of")
    worker.watchdog.start()
    time.sleep(0.05)
    worker.broker = None
    worker.hears = False
    deadline = time.monotonic() + 5
    while not worker.ended:
        assert time.monotonic() < deadline
        time.sleep(0.005)
