"""What many threads submit at the same moment is stored together, and each hears of its own row alone."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from backend.errors import Unavailable
from backend.extensions import transaction
from backend.jobs import intake
from backend.jobs.intake import Intake
from backend.jobs.submit import NO_TERMS, new_row
from backend.jobs.tables import JOB
from tests.unit.conftest import Number

THREADS = 12


class Gate:
    """Transactions that wait until the test lets them go, and may find the database away."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.entered = threading.Semaphore(0)
        self.count = 0
        self.away = False

    @contextmanager
    def transaction(self):
        self.count += 1
        self.entered.release()
        assert self.opened.wait(10)
        if self.away:
            raise Unavailable("the database does not answer")
        with transaction() as session:
            yield session


@pytest.fixture
def gate(monkeypatch) -> Gate:
    gate = Gate()
    monkeypatch.setattr(intake, "transaction", gate.transaction)
    return gate


def stored() -> set:
    with transaction(read_only=True) as session:
        return set(session.scalars(select(JOB.c.id)))


def bring(app: Flask, gate: Gate, rows: list[dict]) -> list:
    """Bring all rows while the first one's transaction is open; returns what each thread raised."""
    store, began = Intake(), threading.Barrier(len(rows))  # all but the first, and the test

    def one(row):
        with app.app_context():
            if row is not rows[0]:
                began.wait(10)
            store.store(row)

    with ThreadPoolExecutor(len(rows)) as pool:
        first = pool.submit(one, rows[0])
        assert gate.entered.acquire(timeout=10)
        others = [pool.submit(one, row) for row in rows[1:]]
        began.wait(10)
        deadline = threading.Event()
        while len(store._waiting) < len(rows) - 1:
            deadline.wait(0.01)
        gate.opened.set()
        return [future.exception() for future in (first, *others)]


def test_those_that_come_while_one_is_stored_are_stored_in_one_transaction(app: Flask, kind, gate: Gate):
    rows = [new_row(kind, Number(value=n), NO_TERMS, job_id=uuid4()) for n in range(THREADS)]
    assert bring(app, gate, rows) == [None] * THREADS
    assert gate.count == 2, "the first by itself, the others together"
    assert stored() == {row["id"] for row in rows}


def test_a_row_that_cannot_be_stored_keeps_no_other_back(app: Flask, kind, gate: Gate):
    rows = [new_row(kind, Number(value=n), NO_TERMS, job_id=uuid4()) for n in range(4)]
    rows[2]["kind"] = None
    errors = bring(app, gate, rows)
    assert [type(error) for error in errors] == [type(None), type(None), IntegrityError, type(None)]
    assert stored() == {row["id"] for row in rows} - {rows[2]["id"]}


def test_a_database_that_is_away_is_told_to_all_and_asked_once(app: Flask, kind, gate: Gate):
    gate.away = True
    rows = [new_row(kind, Number(value=n), NO_TERMS, job_id=uuid4()) for n in range(4)]
    assert [type(error) for error in bring(app, gate, rows)] == [Unavailable] * 4
    assert (gate.count, stored()) == (2, set())


def test_one_that_comes_alone_is_stored_at_once(app: Flask, kind):
    row = new_row(kind, Number(), NO_TERMS, job_id=uuid4())
    Intake().store(row)
    assert stored() == {row["id"]}
