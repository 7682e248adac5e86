"""The job engine driven in any order, compared with its model after every step."""

import sys
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from uuid import UUID, uuid4

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from backend.errors import ArtifactError, AttemptEnded, HandedBack, LeaseLost, Unavailable
from backend.jobs.context import JobContext
from backend.jobs.parts import Parts
from backend.jobs.reconcile import reconcile
from backend.jobs.states import AttemptOutcome
from tests.unit.jobs.engine_clients import WHICH, Clients, newest
from tests.unit.jobs.engine_model import AT_ONCE, ENDS, PATIENCE
from tests.unit.jobs.engine_promises import check_agreement
from tests.unit.jobs.engine_stage import LEASE, Answer, Call, Effect, Killed, Message, Mood, Number


class How(StrEnum):
    """How a job's function ends."""

    RETURNS = "returns"
    UNAVAILABLE = "unavailable"
    OURS = "an error of ours"
    FOREIGN = "a foreign error"
    HANDS_BACK = "hands back"
    KILLED = "its worker is killed"


RAISED: dict[How, tuple[Exception, AttemptOutcome]] = {
    How.UNAVAILABLE: (Unavailable("not now"), AttemptOutcome.RETRIED),
    How.OURS: (ArtifactError("model m: broken"), AttemptOutcome.FAILED),
    How.FOREIGN: (KeyError("x"), AttemptOutcome.FAILED),
    How.HANDS_BACK: (HandedBack("urgent work waits"), AttemptOutcome.RETURNED),
}
SECONDS = st.sampled_from((1, 1, 3, 3, 11, 11, 31, 61, 90_000))
ROUNDS = 20  # in which fair workers end everything


def raises(error: BaseException) -> Answer:
    def answer() -> object:
        raise error

    return answer


class EngineMachine(Clients):
    """Clients, and workers that work, fail, stop and are killed, a broker that forgets, and time that passes."""

    @rule(mood=st.sampled_from(Mood), forgets=st.booleans())
    def broker_is(self, mood, *, forgets):
        self.engine.doorbell.mood = mood
        if forgets:
            self.engine.doorbell.messages.clear()

    @rule(seconds=SECONDS)
    def time_passes(self, seconds):
        self.engine.clock.moment += timedelta(seconds=seconds)

    @rule()
    def reconcile(self):
        bell, model = self.engine.doorbell, self.model
        held = Counter(message.queue for message in bell.messages)
        bell.published.clear()
        reconcile(bell, patience=PATIENCE)
        rows = self.look()
        model.bring_back(self.now)
        model.expire(self.now)
        refused = bell.mood is Mood.IS_REFUSED
        for queue in ("interactive", "batch"):
            rung = [job_id for job_id in bell.published if rows[job_id].queue == queue]
            model.ring(queue, rung, rows, held=held[queue], refused=refused, now=self.now)
        for job_id in list(model.jobs):
            model.advance(job_id, rows, self.now)

    @precondition(lambda self: self.engine.doorbell.messages)
    @rule(which=WHICH, worker=st.integers(0, 1))
    def a_message_arrives(self, which, worker):
        message = newest(self.engine.doorbell.messages, which)
        self.engine.doorbell.messages.remove(message)
        self._deliver(message, worker)

    @precondition(lambda self: self.model.jobs)
    @rule(which=WHICH, worker=st.integers(0, 1))
    def a_message_arrives_twice_or_late(self, which, worker):
        self._deliver(self._message_for(newest(list(self.model.jobs), which)), worker)

    def _message_for(self, job_id: UUID) -> Message:
        job = self.model.jobs[job_id]
        return Message(job.kind.name, job.kind.queue, job_id, job.priority)

    def _deliver(self, message: Message, worker: int) -> None:
        call = self.engine.deliver(message, self.engine.workers[worker])
        claimed = self.model.claim(self.engine.kinds[message.kind], message.job_id, self.look(), self.now)
        assert sorted(context.job_id for context in (call.contexts if call else ())) == sorted(claimed)
        if call:
            self.calls.append(call)

    @rule(stops=st.sampled_from((False, False, True)))
    def workers_beat(self, *, stops):
        """All of them; the first one stops if one does."""
        for worker in self.engine.workers:
            keeper = worker.leases
            keeper.stops = stops and worker is self.engine.workers[0]
            self.model.beat(keeper.held_contexts(), stops=keeper.stops, now=self.now)
            keeper.look()
            keeper.beat()
        self.look()

    @precondition(lambda self: self.calls)
    @rule(which=WHICH)
    def a_running_job_hears_of_its_cancel(self, which):
        self._cancel_one(newest(self.calls, which).contexts[0].job_id)
        self.workers_beat(stops=False)

    @precondition(lambda self: self.calls)
    @rule(which=WHICH, worker=st.integers(0, 1), how=st.sampled_from(How), beats=st.booleans())
    def a_worker_wakes_when_another_has_its_job(self, which, worker, how, *, beats):
        call = newest([call for call in self.calls if call.together] or self.calls, which)
        self.time_passes(LEASE.total_seconds() + 1)
        self.reconcile()
        self._deliver(self._message_for(call.contexts[0].job_id), worker)
        if beats:
            self.workers_beat(stops=False)
        self._end_as(call, how)

    @precondition(lambda self: any(not call.together for call in self.calls))
    @rule(which=WHICH)
    def a_chunk_is_committed(self, which):
        call = newest([call for call in self.calls if not call.together], which)
        (context,) = call.contexts
        job, why = self.model.jobs[context.job_id], self._why_ends(context)
        chunk = (context.checkpoint or {}) | {"chunk": uuid4().hex}
        error: AttemptEnded | None = None
        try:
            with context.commit(chunk):
                pass
        except AttemptEnded as ended:
            error = ended
        if why is None and job.is_owned_by(context.attempt):
            job.checkpoint = chunk
            assert error is None or isinstance(error, HandedBack), "the chunk of the one who owns the job is kept"
        else:
            assert type(error) is (why or LeaseLost), f"left with {error!r} and should with {why or LeaseLost}"
        self.look()
        if error:
            self._end(call, raises(error), ENDS.get(type(error)))

    @precondition(lambda self: self.calls)
    @rule(which=WHICH, how=st.sampled_from(How))
    def a_job_ends(self, which, how):
        self._end_as(newest(self.calls, which), how)

    @precondition(lambda self: self.model.jobs)
    @rule(which=WHICH, worker=st.integers(0, 1), how=st.sampled_from(How))
    def a_job_begins_and_ends(self, which, worker, how):
        due = [job_id for job_id, job in self.model.jobs.items() if job.is_due(self.now)]
        before = len(self.calls)
        self._deliver(self._message_for(newest(due or list(self.model.jobs), which)), worker)
        if len(self.calls) > before:
            self._end_as(self.calls[-1], how)

    def _end_as(self, call: Call, how: How) -> None:
        if how == How.KILLED:
            assert self._resume(call, raises(Killed())) is None
        elif call.together:
            self._end_together(call, [how == How.RETURNS] * len(call.contexts), RAISED.get(how, (None, None))[0])
        else:
            self._end_alone(call, how)

    def _end_alone(self, call: Call, how: How) -> None:
        (context,), (request,) = call.contexts, call.requests
        job, why = self.model.jobs[context.job_id], self._why_ends(context)
        effect = Effect(job_id=context.job_id, attempt=context.attempt)
        splits = job.kind.name == "test.whole" and "split" not in (context.checkpoint or {})
        parts = [Number(value=value) for value in range(request.value + 1)]

        def answer() -> object:
            context.store(effect)
            if how in RAISED:
                raise RAISED[how][0]
            if splits:
                checkpoint = (context.checkpoint or {}) | {"split": True}
                return Parts(self.engine.kinds["test.part"], parts, checkpoint, at_once=AT_ONCE)
            return request

        if how in RAISED:
            outcome = RAISED[how][1]
        elif why:
            outcome = ENDS.get(why)
        else:
            outcome = AttemptOutcome.SPLIT if splits else AttemptOutcome.SUCCEEDED
        self._end(call, answer, outcome)

    def _end(self, call: Call, answer: Answer, outcome: AttemptOutcome | None) -> None:
        """Let one attempt end; an outcome of None is one that lost its lease."""
        following = self._resume(call, answer)
        (context,), (request,) = call.contexts, call.requests
        self._ended(context, outcome, values=range(request.value + 1))
        self._follow(call.rest, following)

    def _resume(self, call: Call, answer: Answer) -> Call | None:
        self.calls.remove(call)
        following = self.engine.stage.resume(call, answer)
        self.look()
        return following

    def _ended(self, context: JobContext, outcome: AttemptOutcome | None, *, values: Sequence[int] = ()) -> None:
        model, rows, job_id = self.model, self.seen.jobs, context.job_id
        if outcome is None or not model.end(context, outcome, rows, self.now):
            return
        if outcome == AttemptOutcome.SPLIT:
            model.split(job_id, self.engine.kinds["test.part"], values, rows)
            model.advance(job_id, rows, self.now)
        model.advance(model.jobs[job_id].parent, rows, self.now)

    def _follow(self, left: Sequence[JobContext], following: Call | None) -> None:
        """Those whose turn comes now: who must end does so without running, until one runs."""
        for place, context in enumerate(left):
            why = self.model.why_ends(context, self.now, overdue=False)
            if why is None:
                assert following is not None
                assert following.contexts == [context]
                following.rest = left[place + 1 :]
                self.calls.append(following)
                return
            self._ended(context, ENDS.get(why))
        assert following is None

    @precondition(lambda self: any(call.together for call in self.calls))
    @rule(which=WHICH, answered=st.tuples(st.booleans(), st.booleans(), st.booleans()))
    def some_of_many_are_answered(self, which, answered):
        self._end_together(newest([call for call in self.calls if call.together], which), answered, None)

    def _end_together(self, call: Call, answered: Sequence[bool], error: Exception | None) -> None:
        yes = {context.job_id: one and not error for context, one in zip(call.contexts, answered, strict=False)}

        def answer() -> object:
            for context in call.contexts:
                context.store(Effect(job_id=context.job_id, attempt=context.attempt))
            if error:
                raise error
            return [
                request if yes[context.job_id] else None
                for context, request in zip(call.contexts, call.requests, strict=True)
            ]

        done = []
        for context in call.contexts:
            if yes[context.job_id]:
                why = self._why_ends(context)
                if why:
                    self.model.told.setdefault((context.job_id, context.attempt), why)
                else:
                    done.append(context)
        following = self._resume(call, answer)
        for context in done:
            self.model.end(context, AttemptOutcome.SUCCEEDED, self.seen.jobs, self.now)
        for parent in {self.model.jobs[context.job_id].parent for context in done}:
            self.model.advance(parent, self.seen.jobs, self.now)
        self._follow([context for context in call.contexts if context not in done], following)

    def _why_ends(self, context: JobContext) -> type[AttemptEnded] | None:
        return self.model.why_ends(context, self.now, overdue=context.overdue)

    @invariant()
    def every_job_is_as_it_should_be(self):
        check_agreement(self.model, self.seen)

    def teardown(self):
        """Whatever happened, fair workers and a broker that works end every job."""
        try:
            if sys.exc_info()[1] is self.error_around:  # otherwise a step failed, and that is what is to be seen
                self._work_fairly()
        finally:
            for call in self.calls:
                self.engine.stage.resume(call, raises(Killed()))

    def _work_fairly(self) -> None:
        bell = self.engine.doorbell
        bell.mood = Mood.ARRIVES
        for _ in range(ROUNDS):
            while self.calls or bell.messages:
                if self.calls:
                    self._end_as(self.calls[-1], How.RETURNS)
                else:
                    self._deliver(bell.messages.pop(0), 0)
                self.every_job_is_as_it_should_be()
            if not self.model.unfinished():
                return
            self.time_passes(PATIENCE.total_seconds() + 1)
            self.reconcile()
            self.every_job_is_as_it_should_be()
        raise AssertionError(f"{ROUNDS} rounds of fair work leave {len(self.model.unfinished())} jobs unfinished")
