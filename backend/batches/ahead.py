"""Doing the next thing while the current one is in use."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

Item = TypeVar("Item")

_END: Final = object()


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield `items`, each made by another thread while the one before it is in use; their errors come in their place.

    Parsing and predicting both leave Python for most of their time, so that two cores do twice the work.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead") as thread:
        made = thread.submit(next, items, _END)
        while (item := made.result()) is not _END:
            made = thread.submit(next, items, _END)
            yield item  # type: ignore[misc] # what is not the end is an item
