from datetime import UTC, datetime, timedelta

import pytest

from backend.jobs.schedules.declaration import Schedule
from backend.jobs.schedules.fire import fire_due
from backend.jobs.schedules.views import SchedulePatch, change_schedule, get_schedule, list_schedules

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
NEXT = datetime(2026, 6, 2, 0, 30, tzinfo=UTC)  # 01:30 in London


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "test.nothing"}, "schedule nightly: no job kind test.nothing; there are: test.double"),
        ({"request": {"valu": 4}}, "schedule nightly: test.double refuses its request"),
    ],
)
def test_a_schedule_that_could_never_run_is_refused_at_the_start(schedules, nightly, changes, reason):
    with pytest.raises(ValueError, match=reason):
        schedules.book(nightly(**changes))


def test_two_schedules_of_one_name_are_refused(schedules, nightly):
    with pytest.raises(ValueError, match="share the name nightly"):
        schedules.book(nightly(), nightly())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cron": "61 * * * *"}, "schedule nightly: not a cron line: bad minute"),
        ({"name": "Nightly run"}, "lower case words"),
        ({"catch_up": timedelta(seconds=-1)}, "cannot be negative"),
    ],
)
def test_a_declaration_is_checked_where_it_stands(nightly, changes, reason):
    with pytest.raises(ValueError, match=reason):
        nightly(**changes)


def test_a_declared_schedule_becomes_a_row_with_its_next_run(schedules, nightly):
    found = get_schedule(schedules.book(nightly()), "nightly", now=NOW)
    assert (found.kind, found.cron, found.timezone, found.next_at) == (
        "test.double",
        "30 1 * * *",
        "Europe/London",
        NEXT,
    )
    assert (found.declared, found.changed, found.last_at, found.last_job) == (True, [], None, None)


def test_a_new_declaration_is_followed_and_what_an_operator_changed_stays(schedules, nightly):
    book = schedules.book(nightly())
    change_schedule(book, "nightly", SchedulePatch(cron="0 5 * * *"), now=NOW)
    later = schedules.book(nightly(cron="0 7 * * *", catch_up=timedelta(hours=1)), timezone="Asia/Kolkata")
    found = get_schedule(later, "nightly", now=NOW)
    assert (found.cron, found.timezone, found.catch_up_seconds) == ("0 5 * * *", "Asia/Kolkata", 3600)
    assert found.next_at == datetime(2026, 6, 1, 23, 30, tzinfo=UTC)
    back = change_schedule(later, "nightly", SchedulePatch(cron=None), now=NOW)
    assert (back.cron, back.changed) == ("0 7 * * *", [])


def test_a_restart_does_not_forget_what_was_due(schedules, nightly):
    get_schedule(schedules.book(nightly()), "nightly", now=NOW)
    restarted = schedules.book(nightly())
    get_schedule(restarted, "nightly", now=NEXT + timedelta(hours=1))
    assert [one.fire_at for one in fire_due(restarted, now=NEXT + timedelta(hours=1))] == [NEXT]


def test_a_schedule_that_is_no_longer_declared_is_shown_and_not_fired(schedules, nightly, kind):
    list_schedules(schedules.book(nightly()), now=NOW)
    other = schedules.book(Schedule(name="other", kind=kind.name, cron="0 0 1 1 *"))
    assert fire_due(other, now=NEXT) == []
    shown = {one.name: (one.declared, one.next_at is None) for one in list_schedules(other, now=NEXT).schedules}
    assert shown == {"nightly": (False, True), "other": (True, False)}
