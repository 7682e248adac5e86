"""Clients of the job engine that do what they like, in any order, and what must come of it."""

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from sqlalchemy import Row, delete, select

from backend.errors import Conflict, KeyReused, ValidationFailed
from backend.extensions import transaction
from backend.jobs.bulk import cancel_bulk, submit_bulk
from backend.jobs.dead_letters import DEAD, discard, replay
from backend.jobs.keys import KEPT_FOR
from backend.jobs.states import FINAL, Priority, Resolution
from backend.jobs.submit import cancel, submit
from backend.jobs.tables import ATTEMPT, JOB, KEY
from backend.jobs.terms import Terms
from tests.unit.jobs.engine_model import Expected, Model
from tests.unit.jobs.engine_promises import Seen, check_promises
from tests.unit.jobs.engine_stage import REFUSED, START, Call, Effect, Engine, Mood, Number

T = TypeVar("T")

WHICH = st.integers(0, 1_000)  # counted from the newest, round and round
NAMES = st.sampled_from(("test.single", "test.many", "test.whole", "test.alone", "test.once"))
MANY_NAMES = st.sampled_from(("test.single", *("test.many",) * 4, "test.whole") * 2 + ("test.alone",))
VALUES = st.sampled_from((0, 1, 2) * 5 + (REFUSED,))
KEYS = st.sampled_from((None, None, "k"))
CLIENTS = st.sampled_from(("a", "a", "b"))
DEADLINES = st.sampled_from(  # seconds left to begin and to end; the last pair is refused
    ((None, None), (None, None), (None, 5), (5, None), (5, 20), (20, 45), (None, 20), (45, 20))
)
MOST = 15  # jobs, about: more of them make each step slower and not richer
JOBS, ATTEMPTS, EFFECTS = select(JOB), select(ATTEMPT).order_by(ATTEMPT.c.number), select(Effect.__table__)


def newest(items: Sequence[T], which: int) -> T:
    return items[-1 - which % len(items)]


def refused_with(error: type[Exception] | None) -> AbstractContextManager[object]:
    return pytest.raises(error) if error else nullcontext()


class Clients(RuleBasedStateMachine):
    """Submit, cancel and deal with dead letters; what must come of it is the model's to say."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine, self.model = engine, Model()
        self.error_around = sys.exc_info()[1]  # hypothesis may be dealing with the failure of an earlier run
        self.calls: list[Call] = []  # functions of jobs that run, also of those who lost their lease
        self.keys: dict[tuple[str, str], tuple[object, UUID, datetime]] = {}
        self.seen = Seen({}, {}, [])
        engine.clock.moment, engine.doorbell.mood = START, Mood.ARRIVES
        engine.doorbell.messages.clear()
        with transaction() as session:
            for table in (Effect.__table__, ATTEMPT, KEY, JOB):
                session.execute(delete(table))

    @property
    def now(self) -> datetime:
        return self.engine.now

    def look(self) -> dict[UUID, Row[Any]]:
        with transaction(read_only=True) as session:
            jobs = {row.id: row for row in session.execute(JOBS)}
            attempts: dict[UUID, list[Row[Any]]] = {job_id: [] for job_id in jobs}
            for row in session.execute(ATTEMPTS):
                attempts[row.job_id].append(row)
            before, self.seen = self.seen, Seen(jobs, attempts, session.execute(EFFECTS).all())
        check_promises(before, self.seen)
        return jobs

    @initialize(finish=st.sampled_from((None, 20, 45)))
    def start_with_a_few_jobs(self, finish):
        """Store what most of the rules need: jobs that are claimed together, and one in parts."""
        usual = {"client": "a", "key": None, "priority": Priority.NORMAL}
        self.submit_bulk(work=[("test.many", 1)] * 3, **usual)
        self.submit(name="test.whole", value=2, deadlines=(None, finish), **usual)

    @precondition(lambda self: len(self.model.jobs) < MOST)
    @rule(
        name=NAMES,
        value=VALUES,
        client=CLIENTS,
        key=KEYS,
        priority=st.sampled_from(Priority),
        deadlines=DEADLINES,
    )
    def submit(self, *, name, value, client, key, priority, deadlines):
        start_by, finish_by = (None if left is None else self.now + timedelta(seconds=left) for left in deadlines)
        terms = Terms(client=client, key=key, priority=priority, start_by=start_by, finish_by=finish_by)
        kind, asked, earlier = self.engine.kinds[name], (name, value), self._earlier(terms)
        same = None if kind.unique is None else self.model.unfinished_like(kind, value)
        error = None
        if earlier:
            error = None if earlier[0] == asked else KeyReused
        elif value == REFUSED or (start_by and finish_by and start_by > finish_by):
            error = ValidationFailed
        elif same and self.model.jobs[same].value != value:
            error = Conflict
        with refused_with(error):
            job_id = submit(kind, Number(value=value), terms=terms).id
        self.look()
        if error:
            return
        if earlier or same:
            assert job_id == (earlier[1] if earlier else same)
        else:
            self._expect(job_id, name, value, terms)
        self._enter_key(terms, asked, job_id)
        if key:
            assert submit(kind, Number(value=value), terms=terms).id == job_id

    @precondition(lambda self: len(self.model.jobs) < MOST)
    @rule(
        work=st.lists(st.tuples(MANY_NAMES, VALUES), min_size=1, max_size=4),
        client=CLIENTS,
        key=KEYS,
        priority=st.sampled_from(Priority),
    )
    def submit_bulk(self, *, work, client, key, priority):
        terms, asked = Terms(client=client, key=key, priority=priority), ("bulk", work)
        earlier = self._earlier(terms)
        error = None
        if earlier:
            error = None if earlier[0] == asked else KeyReused
        elif any(value == REFUSED or self.engine.kinds[name].unique for name, value in work):
            error = ValidationFailed
        with refused_with(error):
            bulk = submit_bulk([(self.engine.kinds[name], Number(value=value)) for name, value in work], terms=terms)
        rows = self.look()
        if error:
            return
        if earlier:
            assert bulk == earlier[1]
        else:
            stored = sorted((row for row in rows.values() if row.bulk_id == bulk), key=lambda row: row.part)
            for place, ((name, value), row) in enumerate(zip(work, stored, strict=True)):
                assert row.part == place
                self._expect(row.id, name, value, terms, bulk=bulk)
        self._enter_key(terms, asked, bulk)

    def _expect(self, job_id: UUID, name: str, value: int, terms: Terms, **more: Any) -> None:
        terms_of_job = {"priority": terms.priority, "start_by": terms.start_by, "finish_by": terms.finish_by} | more
        kind = self.engine.kinds[name]
        self.model.jobs[job_id] = Expected(kind, value, available_at=self.now, rung_at=self.now, **terms_of_job)

    def _earlier(self, terms: Terms) -> tuple[object, UUID, datetime] | None:
        entry = self.keys.get((terms.client, terms.key))
        return entry if entry and entry[2] > self.now - KEPT_FOR else None

    def _enter_key(self, terms: Terms, asked: object, subject: UUID) -> None:
        if terms.key and not self._earlier(terms):
            self.keys[terms.client, terms.key] = (asked, subject, self.now)

    @precondition(lambda self: self.model.jobs)
    @rule(which=WHICH, its_bulk=st.booleans())
    def cancel(self, which, *, its_bulk):
        job_id = newest(list(self.model.jobs), which)
        if its_bulk and self.model.jobs[job_id].bulk:
            self._cancel_bulk(self.model.jobs[job_id].bulk)
        else:
            self._cancel_one(job_id)

    def _cancel_one(self, job_id: UUID) -> None:
        final = self.model.jobs[job_id].state in FINAL
        with refused_with(Conflict if final else None):
            cancel(job_id)
        rows = self.look()
        if not final:
            self.model.cancel(job_id)
            self.model.advance(job_id, rows, self.now)

    def _cancel_bulk(self, bulk: UUID) -> None:
        cancel_bulk(bulk)
        self.look()
        for job_id, job in self.model.jobs.items():
            if job.bulk == bulk and job.state not in FINAL:
                self.model.cancel(job_id)

    @precondition(lambda self: any(job.state in FINAL for job in self.model.jobs.values()))
    @rule(which=WHICH, again=st.booleans())
    def deal_with_a_dead_letter(self, which, *, again):
        job_id = newest([job_id for job_id, job in self.model.jobs.items() if job.state in FINAL], which)
        letter = self.model.jobs[job_id]
        is_none = letter.state not in DEAD or letter.resolution is not None or letter.parent is not None
        refused = is_none or (again and letter.kind.unique and self.model.unfinished_like(letter.kind, letter.value))
        with refused_with(Conflict if refused else None):
            new = replay(job_id).id if again else discard(job_id, reason="seen")
        self.look()
        if refused:
            return
        letter.resolution = Resolution.REPLAYED if again else Resolution.DISCARDED
        if again:
            self._expect(new, letter.kind.name, letter.value, Terms(priority=letter.priority), replay_of=job_id)
