"""Dead letters: seen, replayed as new jobs, or discarded with a reason; the dead job itself never changes its state."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import update

from backend.clock import utc_now
from backend.errors import ArtifactError, Conflict, FieldError, NotFound, ValidationFailed
from backend.extensions import transaction
from backend.jobs.dead_letters import (
    discard,
    discard_all,
    find_dead,
    list_dead,
    replay,
    replay_all,
)
from backend.jobs.execute import execute
from backend.jobs.kinds import JobKind, Unique
from backend.jobs.states import JobState, Priority, Resolution, Urgency
from backend.jobs.submit import submit
from backend.jobs.tables import Job
from backend.jobs.terms import Terms
from backend.jobs.views import get_job, get_job_detail, list_jobs
from tests.unit.conftest import Number


@pytest.fixture
def fails(worker, behaviour):
    """Jobs that have failed."""

    def act(_request, _context):
        raise ArtifactError("model m is truncated")

    behaviour.act = act

    def failed(kind: JobKind, value: int = 0, *, terms: Terms | None = None):
        job_id = submit(kind, Number(value=value), terms=terms or Terms()).id
        execute(kind, job_id, worker)
        return job_id

    return failed


@pytest.fixture
def letter(kind, fails, doorbell):
    job_id = fails(kind, 7, terms=Terms(client="c", priority=Priority.LOW, finish_by=utc_now() + timedelta(hours=1)))
    doorbell.rings.clear()
    return job_id


def set_columns(job_id, **values):
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def offer(app: Flask, *kinds: JobKind):
    """Let the application have these kinds and no others."""
    app.extensions["kinds"] = {kind.name: kind for kind in kinds}


def open_letters(**filters):
    return [job.id for job in list_dead(limit=100, **filters).jobs]


@pytest.mark.usefixtures("doorbell")
class TestList:
    def test_failed_and_dead_jobs_are_listed_the_latest_first_with_counts(self, kind, fails):
        other = replace(kind, name="test.other")
        first, second, third = fails(kind), fails(kind), fails(other)
        set_columns(second, state=JobState.DEAD, error_code="worker_lost")
        page = list_dead(limit=10)
        assert [job.id for job in page.jobs] == [third, second, first]
        assert page.next_before is None
        assert {(one.kind, one.error_code, one.count) for one in page.counts} == {
            ("test.double", "bad_artifact", 1),
            ("test.double", "worker_lost", 1),
            ("test.other", "bad_artifact", 1),
        }

    def test_the_most_frequent_error_comes_first(self, kind, fails):
        fails(replace(kind, name="test.other"))
        fails(kind)
        fails(kind)
        assert [one.count for one in list_dead(limit=1).counts] == [2, 1]

    @pytest.mark.parametrize("state", ["queued", "running", "waiting", "succeeded", "cancelled", "expired"])
    def test_no_other_state_is_a_dead_letter(self, letter, state):
        set_columns(letter, state=state)
        assert open_letters() == []
        with pytest.raises(Conflict, match=f"is {state}; only failed and dead jobs are dead letters"):
            replay(letter)

    def test_they_are_found_by_kind_error_and_end(self, kind, fails):
        other = replace(kind, name="test.other")
        first, second = fails(kind), fails(other)
        assert open_letters(kind="test.other") == [second]
        assert open_letters(error_code="bad_artifact") == [second, first]
        assert open_letters(error_code="timed_out") == []
        assert open_letters(before=get_job(second).finished_at) == [first]
        assert find_dead(kind="test.double") == [first]
        assert find_dead() == [first, second], "the oldest first"

    def test_pages_show_each_once_also_those_that_ended_at_the_same_moment(self, kind, fails):
        ids = [fails(kind) for _ in range(7)]
        moment = utc_now()
        for job_id in ids[2:6]:
            set_columns(job_id, finished_at=moment)
        seen, before = [], None
        while True:
            page = list_dead(limit=2, before=before)
            seen += [job.id for job in page.jobs]
            before = page.next_before
            if before is None:
                break
        assert sorted(seen) == sorted(ids)

    def test_jobs_of_the_same_moment_fall_between_no_pages_either(self, kind):
        ids = [submit(kind, Number()).id for _ in range(5)]
        moment = utc_now()
        for job_id in ids[1:4]:
            set_columns(job_id, created_at=moment)
        first = list_jobs(limit=2)
        rest = list_jobs(limit=10, before=first.next_before)
        assert sorted(job.id for job in (*first.jobs, *rest.jobs)) == sorted(ids)


@pytest.mark.usefixtures("doorbell")
class TestReplay:
    def test_a_replay_is_a_new_job_with_the_request_and_without_the_deadlines(self, kind, letter, doorbell):
        job = replay(letter)
        assert (job.replay_of, job.state, job.attempt) == (letter, JobState.QUEUED, 0)
        assert (job.priority, job.start_by, job.finish_by) == (Urgency.LOW, None, None)
        assert doorbell.rings == [(kind.name, kind.queue, job.id)]
        with transaction(read_only=True) as session:
            row = session.get_one(Job, job.id)
        assert (row.request, row.client) == ({"value": 7}, "c")

    def test_the_dead_letter_keeps_its_state_and_says_what_became_of_it(self, letter):
        before = get_job(letter)
        replay(letter)
        assert get_job(letter) == before
        detail = get_job_detail(letter)
        assert (detail.resolution, detail.resolution_reason) == (Resolution.REPLAYED, None)
        assert detail.resolved_at is not None
        assert open_letters() == []
        assert list_dead(limit=1).counts == []

    def test_a_replay_that_fails_is_a_dead_letter_of_its_own(self, kind, letter, worker):
        job = replay(letter)
        execute(kind, job.id, worker)
        assert open_letters() == [job.id]

    def test_twice_is_a_conflict(self, letter):
        replay(letter)
        with pytest.raises(Conflict, match="already replayed"):
            replay(letter)
        with pytest.raises(Conflict, match="already replayed"):
            discard(letter, reason="twice")

    def test_an_unknown_job_is_not_found(self):
        with pytest.raises(NotFound):
            replay(uuid4())
        with pytest.raises(NotFound):
            discard(uuid4(), reason="unknown")

    def test_a_kind_that_no_longer_exists_is_a_conflict_that_says_what_to_do(self, app, letter):
        offer(app)
        with pytest.raises(Conflict, match=r"of kind test\.double, which this version .* does not have; discard it"):
            replay(letter)
        discard(letter, reason="the kind is gone")

    def test_the_work_on_an_upload_is_not_replayed(self, app, kind, letter):
        offer(app, replace(kind, replayable=False))
        with pytest.raises(Conflict, match=r"worked on an upload, .*; send the file again"):
            replay(letter)

    def test_a_part_is_replayed_by_its_whole(self, letter):
        whole = uuid4()
        set_columns(letter, parent_id=whole)
        assert open_letters() == []
        with pytest.raises(Conflict, match=f"is a part of job {whole}; deal with that one"):
            replay(letter)

    def test_a_request_that_no_longer_fits_is_named_by_its_fields_and_not_by_its_values(self, letter):
        set_columns(letter, request={"value": "Asha Menon", "donor": 1})
        with pytest.raises(Conflict, match=r"does not fit this version of test.double \(donor, value\)") as refused:
            replay(letter)
        assert "Asha" not in str(refused.value)
        assert open_letters() == [letter]

    def test_a_check_that_refuses_by_now_leaves_it_open(self, app, kind, letter):
        def check(_request):
            raise ValidationFailed((FieldError("value", "is no longer served"),))

        offer(app, replace(kind, checks=(check,)))
        with pytest.raises(ValidationFailed):
            replay(letter)
        assert open_letters() == [letter]

    def test_a_unique_kind_is_not_replayed_beside_an_unfinished_job(self, app, kind, letter):
        unique = replace(kind, unique=Unique.KIND)
        offer(app, unique)
        running = submit(unique, Number(value=7))
        with pytest.raises(Conflict, match=str(running.id)):
            replay(letter)
        assert open_letters() == [letter]


class TestDiscard:
    def test_a_discarded_one_keeps_its_state_and_why(self, letter):
        discard(letter, reason="a test file")
        detail = get_job_detail(letter)
        assert (detail.state, detail.resolution) == (JobState.FAILED, Resolution.DISCARDED)
        assert detail.resolution_reason == "a test file"
        assert open_letters() == []

    def test_twice_is_a_conflict(self, letter):
        discard(letter, reason="a test file")
        with pytest.raises(Conflict, match="already discarded"):
            discard(letter, reason="again")
        with pytest.raises(Conflict, match="already discarded"):
            replay(letter)


@pytest.mark.usefixtures("doorbell")
class TestMany:
    def test_one_that_cannot_be_replayed_keeps_none_of_the_others_back(self, kind, fails):
        good, done, also = fails(kind), fails(kind), fails(kind)
        discard(done, reason="not needed")
        unknown = uuid4()
        result = replay_all([good, done, unknown, also])
        assert [one.job_id for one in result.replayed] == [good, also]
        assert [get_job(one.replay).replay_of for one in result.replayed] == [good, also]
        assert [(one.job_id, one.reason) for one in result.refused] == [
            (done, f"job {done} is already discarded"),
            (unknown, f"no job {unknown}"),
        ]

    def test_many_are_discarded_with_one_reason(self, kind, fails):
        ids = [fails(kind) for _ in range(3)]
        unknown = uuid4()
        result = discard_all([*ids, unknown], reason="an outage")
        assert result.discarded == ids
        assert [one.job_id for one in result.refused] == [unknown]
        assert {get_job_detail(job_id).resolution_reason for job_id in ids} == {"an outage"}
