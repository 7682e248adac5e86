"""What the tests of work in a process of its own let it do."""

import os
import signal
import time

from backend.errors import NotServed


def add(a, b, *, progress):
    progress(0.5, "half")
    print("this must not come between the messages")  # noqa: T201 - that is what is tested
    return a + b, os.getpid()


def refuse(*, progress):
    raise NotServed("there is nothing to learn from")


class Unsendable(Exception):
    def __init__(self, first, second):
        super().__init__(first, second)
        self.hidden = lambda: None


def fail_in_a_way_that_cannot_be_sent(*, progress):
    raise Unsendable(1, 2)


def end_by_itself(*, progress):
    os.kill(os.getpid(), signal.SIGKILL)


class Unreadable:
    def __reduce__(self):
        return int, ("not a number",)


def return_what_cannot_be_read(*, progress):
    return Unreadable()


def close_the_output_and_compute(path, *, progress):
    os.closerange(3, 100)
    compute_for_ever(path, progress=progress)


def compute_for_ever(path, *, progress):
    path.write_text(str(os.getpid()))
    while True:
        time.sleep(60)
