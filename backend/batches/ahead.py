"""Doing the next thing while the current one is in use."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Final, TypeVar, cast

Item = TypeVar("Item")

_END: Final = object()


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield `items`, each made by another thread while the one before it is in use; their errors come in their place.

    Parsing and predicting both leave Python for most of their time, so that two cores do twice the work. The other
    thread works in the context of this one: what makes items may ask the current application.
    """
    make: Callable[[], object] = partial(next, items, _END)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead") as thread:
        made = thread.submit(copy_context().run, make)
        while (item := made.result()) is not _END:
            made = thread.submit(copy_context().run, make)
            yield cast("Item", item)
