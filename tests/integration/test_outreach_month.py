from itertools import pairwise

import numpy as np
import pytest

from backend.domains.blood.horizons import DAY, local_hour
from backend.domains.blood.matching import CRITICAL
from backend.domains.blood.records import Answer, Outcome
from backend.domains.blood.simulate.world import Life, live
from benchmarks.outreach import figures_of
from benchmarks.outreach_month import Month
from benchmarks.outreach_policies import Everyone, Some

END = 1_780_000_000.0


@pytest.fixture(scope="module")
def before() -> Life:
    return live(donors=900, seed=4, end=END, years=0.3)


@pytest.fixture(scope="module")
def everyone(before: Life) -> Month:
    return played(before, Everyone(cool_down=True))


def played(before: Life, policy: Everyone | Some) -> Month:
    month = Month(before, seed=4)
    month.play(policy)
    return month


def some() -> Some:
    return Some(base_rate=0.2, request_sd=0.4, seed=None)


def test_the_same_way_gives_the_same_month(before: Life, everyone: Month) -> None:
    again = played(before, Everyone(cool_down=True))
    assert again.gave_at == everyone.gave_at
    assert again.alerts().tolist() == everyone.alerts().tolist()


def test_a_month_leaves_what_was_before_it_alone(before: Life) -> None:
    contacts, last_asked = len(before.contacts), before.diary.last_asked.copy()
    played(before, some())
    assert len(before.contacts) == contacts
    assert (before.diary.last_asked == last_asked).all()


def test_a_donor_means_to_answer_the_first_request_alike_whoever_asks(before: Life, everyone: Month) -> None:
    other = played(before, some())
    row = next(row for row, batches in enumerate(other.batches) if batches and len(batches[0].record))
    one, two = other.batches[row][0], everyone.batches[row][0]
    both = np.isin(two.record.donor, one.record.donor)
    assert 0 < both.sum() < len(both)
    order = np.argsort(one.record.donor)
    same = order[np.searchsorted(one.record.donor[order], two.record.donor[both])]
    assert two.deeds.answer[both].tolist() == one.deeds.answer[same].tolist()
    assert two.deeds.ended_at[both] == pytest.approx(one.deeds.ended_at[same], nan_ok=True)


def test_nobody_is_alerted_by_night_or_while_cooling_down(everyone: Month) -> None:
    asked: dict[int, float] = {}
    for at, row, donor in alerts_in_order(everyone):
        if everyone.requests.urgency[row] == CRITICAL:
            continue
        assert 7.0 <= local_hour(np.array([at]))[0] < 22.0
        assert at - asked.get(donor, -np.inf) >= 7 * DAY
        asked[donor] = at


def test_a_donor_keeps_one_promise_at_a_time(before: Life) -> None:
    month = played(before, Everyone(cool_down=False))
    promises: dict[int, list[tuple[float, float]]] = {}
    for batch in (batch for batches in month.batches for batch in batches):
        for place in np.flatnonzero(batch.record.answer == Answer.ACCEPTED).tolist():
            span = float(batch.record.answered_at[place]), float(batch.deeds.ended_at[place])
            promises.setdefault(int(batch.record.donor[place]), []).append(span)
    assert sum(len(spans) for spans in promises.values()) > len(promises)
    for spans in promises.values():
        ordered = sorted(spans)
        assert all(end <= begin for (_, end), (begin, _) in pairwise(ordered))


def test_a_filled_request_hears_no_more_answers(everyone: Month) -> None:
    row = int(np.flatnonzero(everyone.closed)[0])
    units, _, deadline = everyone.need(row)
    filled_at = everyone.gave_at[row][units - 1]
    assert filled_at <= deadline
    for batch in everyone.batches[row]:
        assert not (batch.record.answered_at > filled_at).any()
        assert (np.isnan(batch.record.answered_at) == (batch.record.answer == Answer.NONE)).all()


def test_a_cancelled_request_gets_no_donation_afterwards(everyone: Month) -> None:
    cancelled = np.flatnonzero(~np.isnan(everyone.requests.cancelled_at)).tolist()
    assert cancelled
    for row in cancelled:
        assert all(at < everyone.requests.cancelled_at[row] for at in everyone.gave_at[row])
        for batch in everyone.batches[row]:
            called_off = batch.deeds.outcome == Outcome.REQUEST_CANCELLED
            assert (batch.deeds.ended_at[called_off] == everyone.requests.cancelled_at[row]).all()


def test_what_is_on_record_shows_nothing_of_the_future(before: Life) -> None:
    looked: list[float] = []

    class Watcher(Everyone):
        def look(self, month: Month, row: int) -> None:
            super().look(month, row)
            newest = max(np.nanmax(batch.record.answered_at, initial=0.0) for b in month.batches for batch in b)
            assert newest <= month.now
            looked.append(month.now)

    played(before, Watcher(cool_down=True))
    assert looked == sorted(looked)


def test_who_promised_or_gave_for_a_request_is_no_candidate(before: Life) -> None:
    free: list[int] = []

    class Watcher(Everyone):
        def look(self, month: Month, row: int) -> None:
            found = month.candidates(row, radius_km=50.0, at=month.now, cool_down=False)
            records = [(batch.record, batch.deeds) for batches in month.batches for batch in batches]
            promised = [r.donor[(r.answer == Answer.ACCEPTED) & (d.ended_at > month.now)] for r, d in records]
            gave = [r.donor[(r.outcome == Outcome.DONATED) & (r.ended_at > month.now - DAY)] for r, _ in records]
            assert not np.isin(found.rows, np.concatenate([found.rows[:0], *promised, *gave])).any()
            free.append(len(found.rows))
            super().look(month, row)

    played(before, Watcher(cool_down=False))
    assert max(free) > 0


def test_the_figures_add_up(everyone: Month) -> None:
    found, donations = figures_of(everyone), sum(len(gave) for gave in everyone.gave_at)
    assert found.alerts == everyone.alerts().sum()
    assert found.per_donation == pytest.approx(found.alerts / donations)
    assert 0.0 < found.filled < 1.0
    assert 0.0 <= found.unneeded < donations
    assert 0.0 < found.gini < 1.0


def alerts_in_order(month: Month) -> list[tuple[float, int, int]]:
    """Each alert: when, for which request, to whom."""
    batches = [batch for batches in month.batches for batch in batches]
    return sorted(
        (at, batch.request, donor)
        for batch in batches
        for at, donor in zip(batch.record.asked_at.tolist(), batch.record.donor.tolist(), strict=True)
    )
