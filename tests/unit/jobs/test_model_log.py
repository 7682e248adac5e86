"""What many jobs asked of a model together is shared among them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from backend.extensions import transaction
from backend.jobs.context import RecordingModels
from backend.jobs.execute import execute
from backend.jobs.submit import submit
from backend.jobs.tables import JOB, ModelPredictionLog
from backend.jobs.views import get_job
from tests.unit.conftest import Doubled, Number

MANY = 5


class FakeModel:
    """A version of which every manifest says the same."""

    class manifest:  # noqa: N801 - stands for the attribute
        version, sha256 = "1", "0" * 64

    def predict(self, rows):
        return [0.5] * len(rows)


class FakeClient:
    """A client with models that are all the same."""

    def pin(self, _model):
        return FakeModel()


def test_the_log_of_model_calls_shares_one_call_among_the_jobs(kind, doorbell, worker):
    def act(requests, contexts):
        contexts[0].models.predict("m", [[0]] * 10 * len(requests))
        return [Doubled(value=0)] * len(requests)

    many = replace(kind, claims=MANY, run_many=act)
    ids = [submit(many, Number()).id for _ in range(MANY)]
    execute(many, ids[0], replace(worker, models=FakeClient()))
    with transaction(read_only=True) as session:
        log = list(session.scalars(select(ModelPredictionLog)))
        seconds = session.scalar(select(func.sum(JOB.c.model_seconds)))
    assert {one.job_id for one in log} == set(ids)
    assert [(one.model, one.calls, one.rows) for one in log] == [("m", 1, 10)] * MANY
    assert sum(one.seconds for one in log) == pytest.approx(seconds)
    assert get_job(ids[0]).timing.model == pytest.approx(seconds / MANY)


@given(st.integers(1, 500), st.integers(1, 10_000))
def test_every_share_says_the_calls_and_no_share_is_empty(jobs, rows):
    models = RecordingModels(FakeClient())
    models.predict("m", [[0]] * rows)
    use = models.share(jobs).uses["m"]
    assert use.calls == 1
    assert use.rows >= 1
    assert abs(use.rows - rows / jobs) <= 1
    assert use.seconds * jobs == pytest.approx(models.seconds)
