"""Making the next item while the current one is in use."""

import threading
from collections.abc import Iterator
from contextvars import ContextVar
from itertools import count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.batches.ahead import one_ahead


def ahead_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


@given(st.lists(st.none() | st.integers() | st.just(...)))
def test_every_item_comes_once_and_in_order(items):
    assert list(one_ahead(iter(items))) == items


def test_the_next_item_is_made_while_the_current_one_is_in_use():
    made = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        made.set()
        yield 2

    first = one_ahead(items())
    assert next(first) == 1
    assert made.wait(5.0)
    first.close()


def test_no_more_than_one_item_is_made_ahead():
    made = []

    def items() -> Iterator[int]:
        for number in count():
            made.append(number)
            yield number

    for number in islice(one_ahead(items()), 5):
        assert len(made) <= number + 2
    assert not ahead_threads()


@pytest.mark.parametrize("good", [0, 1, 3])
def test_an_error_comes_in_its_place(good):
    def items() -> Iterator[int]:
        yield from range(good)
        raise OSError("the disk is gone")

    ahead = one_ahead(items())
    assert list(islice(ahead, good)) == list(range(good))
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)
    assert not ahead_threads()


def test_items_are_made_in_the_context_of_their_user():
    current = ContextVar("current", default="nothing")
    current.set("the application")
    assert list(one_ahead(current.get() for _ in range(3))) == ["the application"] * 3


def test_leaving_early_ends_the_thread_and_closes_what_was_read():
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from count()
        finally:
            closed.set()

    ahead = one_ahead(items())
    assert next(ahead) == 0
    ahead.close()
    assert not ahead_threads()
    assert closed.is_set()
