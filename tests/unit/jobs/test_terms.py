"""The deadlines of a submission."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import ValidationFailed
from backend.jobs.terms import Terms, check_terms

NOW = datetime(2026, 6, 1, 12, 30, 15, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MOMENTS = st.none() | st.datetimes(datetime(2026, 5, 1), datetime(2026, 7, 1), timezones=st.just(UTC))  # noqa: DTZ001 - as hypothesis asks


@given(MOMENTS, MOMENTS)
def test_deadlines_are_ahead_and_in_order_or_refused(start_by, finish_by):
    ahead = all(moment is None or moment > NOW for moment in (start_by, finish_by))
    in_order = start_by is None or finish_by is None or start_by <= finish_by
    terms = Terms(start_by=start_by, finish_by=finish_by)
    if ahead and in_order:
        check_terms(terms, now=NOW)
        return
    with pytest.raises(ValidationFailed) as refused:
        check_terms(terms, now=NOW)
    passed = {name for name in ("start_by", "finish_by") if (getattr(terms, name) or NOW + SECOND) <= NOW}
    assert {wrong.field for wrong in refused.value.fields} == (passed or {"start_by"})


def test_a_deadline_that_has_passed_is_refused_with_the_time_of_the_server():
    with pytest.raises(ValidationFailed, match="finish_by: has passed; it is 2026-06-01T12:30:15Z here"):
        check_terms(Terms(finish_by=NOW), now=NOW)


def test_a_start_after_the_end_is_refused():
    with pytest.raises(ValidationFailed, match="start_by: is later than finish_by"):
        check_terms(Terms(start_by=NOW + 2 * SECOND, finish_by=NOW + SECOND), now=NOW)
