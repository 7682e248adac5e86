from datetime import UTC, datetime

import pytest

from backend.audit.retention import Retention, children_first
from backend.jobs.schedules.tables import ScheduleFiring
from backend.jobs.tables import Job, JobAttempt, ModelPredictionLog


def test_the_cutoff_is_a_midnight_so_that_a_repeated_run_sees_the_same_rows():
    retention = Retention(table=ModelPredictionLog, time="at")
    morning, evening = datetime(2026, 6, 1, 3, tzinfo=UTC), datetime(2026, 6, 1, 23, 59, tzinfo=UTC)
    assert retention.cutoff(morning, days=31) == retention.cutoff(evening, days=31) == datetime(2026, 5, 1, tzinfo=UTC)
    longer = Retention(table=ModelPredictionLog, time="at", days=62)
    assert longer.cutoff(morning, days=31) == datetime(2026, 3, 31, tzinfo=UTC)


def test_rows_leave_before_those_they_refer_to():
    job = Retention(table=Job, time="created_at", parts=(JobAttempt,))
    log, firing = Retention(table=ModelPredictionLog, time="at"), Retention(table=ScheduleFiring, time="at")
    assert children_first([job, firing, log])[-1] is job
    with pytest.raises(ValueError, match="one table"):
        children_first([log, log])


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"time": "when"}, "no column when"),
        ({"days": 0}, "at least one day"),
        ({"parts": (JobAttempt,)}, "0 references"),
    ],
)
def test_a_declaration_is_checked_where_it_stands(wrong, reason):
    with pytest.raises(ValueError, match=reason):
        Retention(**({"table": ModelPredictionLog, "time": "at"} | wrong))
