import pytest
from pydantic import BaseModel

from backend.jobs.kinds import JobKind
from backend.jobs.states import FINAL, MOVES, JobState


class Nothing(BaseModel):
    pass


def a_kind(**changes):
    values = {
        "name": "test.nothing",
        "path": "/nothing",
        "summary": "Nothing",
        "request": Nothing,
        "result": Nothing,
        "run": lambda _request, _context: Nothing(),
        "timeout": 1,
    }
    return JobKind(**(values | changes))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "nothing"},
        {"name": "Test.Nothing"},
        {"path": "nothing"},
        {"queue": "express"},
        {"timeout": 0},
        {"retries": -1},
        {"claims": 0},
    ],
)
def test_a_declaration_that_cannot_work_is_refused_at_import(wrong):
    with pytest.raises(ValueError, match="job kind"):
        a_kind(**wrong)


def test_attempts_are_one_more_than_retries():
    assert a_kind(retries=2).max_attempts == 3


def test_final_states_lead_nowhere_and_every_state_is_listed():
    assert set(MOVES) == set(JobState)
    assert all((MOVES[state] == frozenset()) == (state in FINAL) for state in JobState)
