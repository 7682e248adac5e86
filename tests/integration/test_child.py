"""Work in a process of its own, which ends with the attempt."""

import os
import threading
import time
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from backend.errors import Cancelled, ChildLost, LeaseLost, NotServed, TimedOut
from backend.inference.catalogue import Catalogue
from backend.inference.client import ModelClient
from backend.jobs.child import in_child
from backend.jobs.context import JobContext, RecordingModels
from tests.integration import child_functions as functions


@pytest.fixture
def context(tmp_path: Path) -> JobContext:
    context = JobContext(job_id=uuid4(), models=RecordingModels(ModelClient(Catalogue(tmp_path))))
    context.begin(timeout=30)
    return context


def wait_for_pid(path: Path) -> int:
    deadline = time.monotonic() + 10
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(path.read_text())


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_function_runs_in_another_process_and_its_progress_is_the_jobs(context: JobContext):
    total, pid = in_child(context, functions.add, np.arange(3), 1)
    assert total.tolist() == [1, 2, 3]
    assert pid != os.getpid()
    assert (context.fraction, context.note) == (0.5, "half")


def test_an_error_of_the_function_is_raised_here(context: JobContext):
    with pytest.raises(NotServed, match="nothing to learn from"):
        in_child(context, functions.refuse)


def test_an_error_that_cannot_be_sent_is_known_by_its_type(context: JobContext):
    with pytest.raises(RuntimeError, match="Unsendable"):
        in_child(context, functions.fail_in_a_way_that_cannot_be_sent)


def test_a_process_that_is_killed_leaves_an_error_that_says_so(context: JobContext):
    with pytest.raises(ChildLost, match="-9"):
        in_child(context, functions.end_by_itself)


def test_an_answer_that_cannot_be_read_is_an_error_at_once(context: JobContext):
    with pytest.raises(ChildLost, match="cannot be read"):
        in_child(context, functions.return_what_cannot_be_read)


def test_a_process_that_can_no_longer_answer_is_ended(context: JobContext, tmp_path: Path):
    with pytest.raises(ChildLost, match="-9"):
        in_child(context, functions.close_the_output_and_compute, tmp_path / "pid")
    assert not lives(wait_for_pid(tmp_path / "pid"))


@pytest.mark.parametrize("reason", [Cancelled("on request"), LeaseLost("another worker has it")])
def test_a_cancel_or_a_lost_lease_kills_the_process_whatever_it_computes(context: JobContext, tmp_path: Path, reason):
    path = tmp_path / "pid"

    def end():
        wait_for_pid(path)
        context.end(reason)

    threading.Thread(target=end).start()
    began = time.monotonic()
    with pytest.raises(type(reason)):
        in_child(context, functions.compute_for_ever, path)
    assert time.monotonic() - began < 10
    assert not lives(wait_for_pid(path))


def test_a_used_up_time_kills_the_process(context: JobContext, tmp_path: Path):
    context.begin(timeout=3)
    with pytest.raises(TimedOut):
        in_child(context, functions.compute_for_ever, tmp_path / "pid")
    assert not lives(wait_for_pid(tmp_path / "pid"))
