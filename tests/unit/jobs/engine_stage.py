"""A stage for the job engine: a clock that is set, a broker that forgets, and workers that take turns.

The real `execute` runs on threads of which one goes on at a time: a job's function pauses until it is told how to end.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from queue import SimpleQueue
from typing import NamedTuple
from uuid import UUID

import pytest
from flask import Flask
from kombu.exceptions import OperationalError
from pydantic import BaseModel
from sqlalchemy import Uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from backend.app import create_app
from backend.domains.domain import Domain
from backend.errors import FieldError, ValidationFailed
from backend.extensions import Table, db
from backend.jobs.context import JobContext
from backend.jobs.execute import Worker, execute
from backend.jobs.kinds import JobKind, Unique
from backend.jobs.leases import LeaseKeeper
from backend.settings import Settings

START = datetime(2026, 3, 1, 10, tzinfo=UTC)
LEASE = timedelta(seconds=30)
TIMEOUT = 60.0  # seconds: an attempt may outlive a lease and half of another
REFUSED = 9  # no job may be asked this


class Number(BaseModel):
    value: int


class Own(DeclarativeBase):
    """Keeps the table below out of the migrations' sight."""


class Effect(Own):
    """What a job's function stores with its result."""

    __tablename__ = "test_effect"
    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(Uuid)
    attempt: Mapped[int]


class Clock:
    """Stands in for `datetime` and for `time` where the engine asks for the moment."""

    def __init__(self) -> None:
        self.moment = START

    def now(self, _zone: object) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return (self.moment - START).total_seconds()

    perf_counter = monotonic


class Mood(Enum):
    """What becomes of a ring."""

    ARRIVES = auto()
    IS_LOST = auto()  # and nobody notices
    IS_REFUSED = auto()  # the broker does not answer


class Message(NamedTuple):
    kind: str
    queue: str
    job_id: UUID
    priority: int


class FlakyDoorbell:
    """A doorbell and the broker behind it."""

    def __init__(self) -> None:
        self.mood = Mood.ARRIVES
        self.messages: list[Message] = []
        self.published: list[UUID] = []  # since somebody emptied it

    def ring(self, kind: str, queue: str, job_id: UUID, *, priority: int = 3) -> None:
        if self.mood is Mood.ARRIVES:
            self.messages.append(Message(kind, queue, job_id, priority))

    def publish(self, kind: str, queue: str, job_id: UUID, *, priority: int = 3) -> None:
        self._answer()
        self.published.append(job_id)
        self.ring(kind, queue, job_id, priority=priority)

    def waiting(self, queue: str) -> int:
        self._answer()
        return sum(message.queue == queue for message in self.messages)

    def _answer(self) -> None:
        if self.mood is Mood.IS_REFUSED:
            raise OperationalError("the broker does not answer")


class SilentNews:
    """Nobody waits for jobs here."""

    def tell(self, *job_ids: UUID) -> None:
        """Say nothing."""


class KeeperByHand(LeaseKeeper):
    """A lease keeper without a thread: it beats when it is told to."""

    stops = False

    def _ensure_thread(self) -> None:
        pass

    def held_contexts(self) -> list[JobContext]:
        return list(self._held.values())


class Killed(BaseException):
    """The worker is gone in the middle of a job; nothing catches this."""


Answer = Callable[[], object]


@dataclass(eq=False)
class Call:
    """A job's function, or `run_many`, that waits to be told how it ends."""

    requests: Sequence[Number]
    contexts: Sequence[JobContext]
    together: bool
    rest: Sequence[JobContext] = ()  # the attempts whose turn comes after this one
    answers: "SimpleQueue[Answer]" = field(default_factory=SimpleQueue)


class Stage:
    """Lets one worker's thread go on at a time."""

    def __init__(self) -> None:
        self._events: SimpleQueue[Call | BaseException | None] = SimpleQueue()

    def start(self, work: Callable[[], object]) -> Call | None:
        """Run `work` on a thread until it calls a job's function, or to its end."""

        def act() -> None:
            try:
                work()
            except Killed:
                self._events.put(None)
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
                self._events.put(error)
            else:
                self._events.put(None)

        threading.Thread(target=act, daemon=True).start()
        return self._next()

    def resume(self, call: Call, answer: Answer) -> Call | None:
        """Let a call end; returns the next one of its thread, if there is one."""
        call.answers.put(answer)
        return self._next()

    def run(self, request: Number, context: JobContext) -> object:
        return self._pause(Call([request], [context], together=False))

    def run_many(self, requests: Sequence[Number], contexts: Sequence[JobContext]) -> object:
        return self._pause(Call(requests, contexts, together=True))

    def _pause(self, call: Call) -> object:
        self._events.put(call)
        return call.answers.get()()

    def _next(self) -> Call | None:
        event = self._events.get(timeout=60)
        if isinstance(event, BaseException):
            raise event
        return event


def refuse(request: Number) -> None:
    if request.value == REFUSED:
        raise ValidationFailed((FieldError("value", "is refused"),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The application on its stage."""

    app: Flask
    clock: Clock
    doorbell: FlakyDoorbell
    stage: Stage
    kinds: dict[str, JobKind]
    workers: Sequence[Worker]

    @property
    def now(self) -> datetime:
        return self.clock.moment

    def deliver(self, message: Message, worker: Worker) -> Call | None:
        """Let a worker take a message, as `workers.tasks` does."""

        def work() -> None:
            with self.app.app_context():
                execute(self.kinds[message.kind], message.job_id, worker)

        return self.stage.start(work)


def make_kinds(run: Callable[..., object], run_many: Callable[..., object]) -> tuple[JobKind, ...]:
    common = {"summary": "", "request": Number, "result": Number, "timeout": TIMEOUT, "run": run, "checks": (refuse,)}
    several = {"claims": 3, "run_many": run_many, "retries": 1}
    return (
        JobKind(name="test.single", path="/single", retries=2, **common),
        JobKind(name="test.many", path="/many", **several, **common),
        JobKind(name="test.alone", path="/alone", retries=0, unique=Unique.KIND, **common),
        JobKind(name="test.once", path="/once", retries=1, unique=Unique.REQUEST, queue="batch", **common),
        JobKind(name="test.whole", path="/whole", retries=1, queue="batch", **common),
        JobKind(name="test.part", path=None, **several, **common),
    )


@contextmanager
def engine_on_stage(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Put the real engine, on an empty database, on a stage."""
    clock, doorbell, stage = Clock(), FlakyDoorbell(), Stage()
    monkeypatch.setattr("backend.clock.datetime", clock)
    monkeypatch.setattr("backend.jobs.context.time", clock)
    kinds = make_kinds(stage.run, stage.run_many)
    app = create_app(settings, (Domain(name="test", tables="backend.jobs.tables", job_kinds=kinds),))
    app.extensions["doorbell"], app.extensions["news"] = doorbell, SilentNews()
    keepers = [KeeperByHand(app.app_context, lease=LEASE) for _ in range(2)]
    for keeper in keepers:
        keeper._stopping = lambda keeper=keeper: keeper.stops
    with app.app_context():
        for tables in (Table, Own):
            tables.metadata.create_all(db.engine)
        workers = [
            Worker(name=f"w{n}", models=app.extensions["models"], leases=keeper, lease=LEASE, news=SilentNews())
            for n, keeper in enumerate(keepers)
        ]
        by_name = {kind.name: kind for kind in kinds}
        yield Engine(app=app, clock=clock, doorbell=doorbell, stage=stage, kinds=by_name, workers=workers)
        db.engine.dispose()
