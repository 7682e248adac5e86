"""Clients: each submits with an Idempotency-Key, repeats until it is answered, and keeps what it was told."""

import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID

from backend.jobs.states import FINAL
from tests.chaos.orders import API, Order

TIMEOUT = 15.0  # seconds until a client takes an answer for lost
REPEAT_AFTER = 0.2  # seconds; less than a client should wait, so that repeats meet the fault's end
LOOKS = 0.1  # the share of submissions after which a client looks at one of its earlier jobs


@dataclass(slots=True)
class Submission:
    """What a client knows about one order."""

    order: Order
    job_ids: set[UUID] = field(default_factory=set)  # more than one would be an error
    posts: int = 0
    acknowledged_at: datetime | None = None
    cancel_asked: bool = False
    told: str | None = None  # the final state that it was told

    @property
    def job_id(self) -> UUID | None:
        return next(iter(self.job_ids), None)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status 0: none came."""

    status: int
    body: Any = None
    retry_after: float = 0.0


class Load:
    """Several clients that work off numbered orders, each when its time has come."""

    def __init__(self, order: Callable[[int], Order], *, port: int, jobs: int, seconds: float, clients: int) -> None:
        self._order = order
        self._port = port
        self._jobs = jobs
        self._pace = seconds / jobs
        self._numbers = itertools.count()
        self._give_up = threading.Event()
        self._threads = [threading.Thread(target=self._work, name=f"client-{n}", daemon=True) for n in range(clients)]
        self.submissions: list[Submission] = []
        self.surprises: list[str] = []  # answers that no client should get
        self.statuses: dict[int, int] = {}  # of POSTs; 0 for none

    def start(self) -> None:
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()

    def finish(self, *, seconds: float) -> None:
        """Wait until every order is acknowledged; what is not then is given up."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._give_up.set()
        for thread in self._threads:
            thread.join(TIMEOUT + 1)

    def stop(self) -> None:
        self._give_up.set()

    def _work(self) -> None:
        with closing(Client(self._port)) as client:
            self._work_off(client)

    def _work_off(self, client: "Client") -> None:
        mine: list[Submission] = []
        chance = Random(threading.current_thread().name)  # noqa: S311 - which job to look at, not a secret
        while (number := next(self._numbers)) < self._jobs:
            if self._give_up.wait(max(0.0, self._began + number * self._pace - time.monotonic())):
                return
            submission = Submission(self._order(number))
            self.submissions.append(submission)
            self._submit(client, submission)
            if submission.acknowledged_at is None:
                return
            mine.append(submission)
            if submission.order.cancel_after is not None and submission.told is None:
                time.sleep(submission.order.cancel_after)
                self._cancel(client, submission)
            if chance.random() < LOOKS:
                self._look(client, chance.choice(mine))

    def _submit(self, client: "Client", submission: Submission) -> None:
        order = submission.order
        while not self._give_up.is_set():
            submission.posts += 1
            answer = client.call("POST", order.path, order.body, order.headers)
            self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
            if answer.status in (200, 202):
                submission.job_ids.add(UUID(answer.body["id"]))
                submission.acknowledged_at = datetime.now(UTC)
                _note_end(submission, answer)
                return
            if 0 < answer.status < 500 and answer.status != 429:
                self.surprises.append(f"POST {order.path} {order.key}: {answer.status} {answer.body}")
                return
            self._give_up.wait(REPEAT_AFTER if answer.status != 429 else max(answer.retry_after, REPEAT_AFTER))

    def _cancel(self, client: "Client", submission: Submission) -> None:
        submission.cancel_asked = True
        while not self._give_up.is_set():
            answer = client.call("POST", f"{API}/jobs/{submission.job_id}/cancel")
            if answer.status in (200, 202):
                _note_end(submission, answer)
                return
            if answer.status == 409:  # it has ended
                return
            if 0 < answer.status < 500:
                self.surprises.append(f"cancel of {submission.job_id}: {answer.status} {answer.body}")
                return
            self._give_up.wait(REPEAT_AFTER)

    def _look(self, client: "Client", submission: Submission) -> None:
        answer = client.call("GET", f"{API}/jobs/{submission.job_id}")
        if answer.status == 200:
            _note_end(submission, answer)
        elif 0 < answer.status < 500:
            self.surprises.append(f"GET {submission.job_id}: {answer.status} {answer.body}")


class Client:
    """One connection, made again when it breaks."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)

    def close(self) -> None:
        self._connection.close()

    def call(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        """Return what is answered, status 0 if nothing is."""
        try:
            self._connection.request(method, path, body, headers or {})
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return Answer(0)
        retry_after = float(response.headers.get("Retry-After", 0))
        return Answer(response.status, json.loads(content) if content else None, retry_after)


def _note_end(submission: Submission, answer: Answer) -> None:
    if submission.told is None and answer.body["state"] in FINAL:
        submission.told = answer.body["state"]
