"""The ledger: whoever changes it is found out, and it says what was live at any moment."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, text, update
from sqlalchemy.orm import Session

from backend.errors import ValidationFailed
from backend.extensions import transaction
from backend.inference.manifest import digest
from backend.registry import ledger
from backend.registry.states import Action, Alias
from backend.registry.tables import LedgerEntry, ModelAlias
from tests.unit.registry.registry_stage import START, WHO, Stage

SECOND = timedelta(seconds=1)
NAMES = [column.name for column in LedgerEntry.__table__.columns]


@pytest.fixture
def written(stage: Stage) -> Stage:
    """A stage with eight entries about two models."""
    stage.ship("other")
    stage.adopt()
    stage.register()
    stage.promote()
    stage.reload()
    stage.rollback()
    assert stage.verified().entries == 8
    return stage


def tamper(act: Callable[[Session], object]) -> None:
    with transaction() as session:
        act(session)


def rehashed(session: Session, seq: int, /, **changes: object) -> dict[str, object]:
    """Return the columns of an entry, changed, with the hash that fits."""
    entry = session.get_one(LedgerEntry, seq)
    content = {name: getattr(entry, name) for name in NAMES} | changes
    return content | {"hash": ledger.hash_of(content)}


# --- what verifies


def test_an_empty_ledger_is_whole(app):
    with transaction(read_only=True) as session:
        assert ledger.verify(session) == ledger.Verified(entries=0, head="0" * 64, first_fault=None)


def test_each_entry_holds_the_hash_of_the_one_before(written: Stage):
    with transaction(read_only=True) as session:
        found = list(reversed(ledger.entries(session, limit=100)))
    assert [entry.seq for entry in found] == list(range(1, 9))
    assert [entry.previous_hash for entry in found] == ["0" * 64, *(entry.hash for entry in found[:-1])]
    assert written.verified() == ledger.Verified(entries=8, head=found[-1].hash, first_fault=None)


def test_a_hash_is_that_of_the_json_of_all_other_columns(written: Stage):
    with transaction(read_only=True) as session:
        entry = session.get_one(LedgerEntry, 6)
    plain = {
        "action": "promoted",
        "alias": "production",
        "at": entry.at.strftime("%Y-%m-%dT%H:%M:%S.%f+00:00"),
        "by": "Asha",
        "generation": 2,
        "manifest_sha256": entry.manifest_sha256,
        "model": "adder",
        "previous_hash": entry.previous_hash,
        "reason": "better on the last quarter",
        "registered_by": "Ravi",
        "seq": 6,
        "version": "2",
    }
    assert entry.hash == digest(json.dumps(plain, separators=(",", ":")).encode())


@given(
    moment=st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])),
    words=st.text(min_size=1),
)
def test_a_moment_has_one_hash_in_every_zone_and_other_words_have_another(moment: datetime, words: str):
    content = dict.fromkeys(NAMES) | {"at": moment, "reason": words}
    first = ledger.hash_of(content)
    assert ledger.hash_of(content | {"at": moment.astimezone(timezone(timedelta(hours=-3)))}) == first
    assert ledger.hash_of(content | {"reason": words + "."}) != first
    assert ledger.hash_of(content | {"by": words}) != first


@pytest.mark.parametrize("field", ["by", "reason"])
@pytest.mark.parametrize("words", ["", "  ", "x" * 501, "a\x00b", "a\nb"])
def test_nobody_decides_without_a_name_and_a_reason_that_can_be_stored(app, field: str, words: str):
    with pytest.raises(ValidationFailed, match=f"{field}: must have 1 to"), transaction() as session:
        ledger.append(session, at=START, action=Action.REGISTERED, model="adder", **{**WHO, field: words})


def test_entries_come_in_pages_the_latest_first(written: Stage):
    with transaction(read_only=True) as session:
        first = ledger.entries(session, model="adder", limit=3)
        second = ledger.entries(session, model="adder", before_seq=first[-1].seq, limit=9)
    assert [entry.seq for entry in first] == [8, 7, 6]
    assert [entry.seq for entry in second] == [5, 2, 1]


# --- what does not


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("at", START),
        ("action", "adopted"),
        ("model", "another"),
        ("alias", None),
        ("version", "9"),
        ("manifest_sha256", "0" * 64),
        ("generation", 9),
        ("registered_by", "Asha"),
        ("by", "Ravi"),
        ("reason", ""),
        ("previous_hash", "0" * 64),
        ("hash", "0" * 64),
    ],
)
def test_an_entry_that_was_changed_is_named(written: Stage, column: str, value: object):
    tamper(lambda session: session.execute(update(LedgerEntry).where(LedgerEntry.seq == 6).values({column: value})))
    found = written.verified()
    assert found.entries == 5
    assert found.first_fault == ledger.Fault(6, "it was changed: its content does not give its hash")


def test_an_entry_that_was_changed_with_its_hash_is_found_at_the_next(written: Stage):
    def act(session: Session) -> None:
        session.execute(update(LedgerEntry).where(LedgerEntry.seq == 6).values(rehashed(session, 6, by="Ravi")))

    tamper(act)
    fault = written.verified().first_fault
    assert (fault.seq, "does not follow the entry before" in fault.reason) == (7, True)


@pytest.mark.parametrize("seq", [1, 4, 7])
def test_an_entry_that_was_removed_is_named(written: Stage, seq: int):
    tamper(lambda session: session.execute(delete(LedgerEntry).where(LedgerEntry.seq == seq)))
    assert written.verified().first_fault == ledger.Fault(seq, "it was removed")


def test_an_entry_that_was_removed_and_the_gap_closed_is_found(written: Stage):
    def act(session: Session) -> None:
        session.execute(delete(LedgerEntry).where(LedgerEntry.seq == 4))
        for seq in range(5, 9):
            session.execute(
                update(LedgerEntry).where(LedgerEntry.seq == seq).values(rehashed(session, seq, seq=seq - 1))
            )

    tamper(act)
    fault = written.verified().first_fault
    assert (fault.seq, "does not follow the entry before" in fault.reason) == (4, True)


def test_the_last_entries_are_missed_when_one_of_them_moved_an_alias(written: Stage):
    tamper(lambda session: session.execute(delete(LedgerEntry).where(LedgerEntry.seq >= 7)))
    fault = written.verified().first_fault
    assert (fault.seq, "production of adder does not stand where" in fault.reason) == (7, True)


@pytest.mark.parametrize("seq", [0, 9])
def test_an_entry_that_was_inserted_is_found(written: Stage, seq: int):
    def act(session: Session) -> None:
        content = rehashed(session, 6, seq=seq, previous_hash="0" * 64)
        session.add(LedgerEntry(**content))

    tamper(act)
    fault = written.verified().first_fault
    assert (fault.seq, "does not follow the entry before" in fault.reason) == (seq, True)


def test_an_entry_that_was_inserted_between_others_is_found(written: Stage):
    def act(session: Session) -> None:
        for seq in range(8, 5, -1):
            session.execute(
                update(LedgerEntry).where(LedgerEntry.seq == seq).values(rehashed(session, seq, seq=seq + 1))
            )
        session.add(LedgerEntry(**rehashed(session, 5, seq=6, previous_hash=session.get_one(LedgerEntry, 5).hash)))

    tamper(act)
    fault = written.verified().first_fault
    assert (fault.seq, "does not follow the entry before" in fault.reason) == (7, True)


@pytest.mark.parametrize("with_hashes", [False, True])
def test_entries_that_were_put_in_another_order_are_found(written: Stage, *, with_hashes: bool):
    def act(session: Session) -> None:
        for now, then in ((4, 99), (5, 4), (99, 5)):
            content = rehashed(session, now, seq=then) if with_hashes else {"seq": then}
            session.execute(update(LedgerEntry).where(LedgerEntry.seq == now).values(content))

    tamper(act)
    assert written.verified().first_fault.seq == 4


def test_production_that_was_moved_without_an_entry_is_found(written: Stage):
    move = update(ModelAlias).where(ModelAlias.model == "adder").values(version_id=None)
    tamper(lambda session: session.execute(move))
    fault = written.verified().first_fault
    assert (fault.seq, "production of adder does not stand where" in fault.reason) == (9, True)


def test_the_ledger_is_read_in_pieces(written: Stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ledger, "_AT_ONCE", 3)
    assert written.verified().entries == 8
    tamper(lambda session: session.execute(text("UPDATE model_ledger SET reason = 'x' WHERE seq = 2")))
    assert written.verified().first_fault.seq == 2


# --- what was live


def live(stage: Stage, at: datetime) -> ledger.LiveAt | None:
    assert stage
    with transaction(read_only=True) as session:
        return ledger.live_at(session, "adder", at)


def test_before_anything_was_decided_the_release_served(stage: Stage):
    assert live(stage, START) is None


def test_what_was_live_is_said_with_who_decided_it_and_who_registered_it(stage: Stage):
    stage.register()
    stage.promote(by="Meera", reason="approved")
    now = stage.clock.moment
    found = live(stage, now)
    assert (found.version, found.generation, found.action) == ("2", 2, Action.PROMOTED)
    assert (found.by, found.reason, found.registered_by) == ("Meera", "approved", "Ravi")
    assert live(stage, now + timedelta(days=400)) == found
    before = live(stage, found.since - timedelta(microseconds=1))
    assert (before.version, before.by, before.since < found.since) == ("1", "release", True)


def test_a_model_that_was_unloaded_had_no_version_then(stage: Stage):
    stage.unload()
    found = live(stage, stage.clock.moment)
    assert (found.version, found.manifest_sha256, found.action, found.generation) == (None, None, Action.UNLOADED, 2)


def test_what_was_staged_was_not_live(stage: Stage):
    stage.register()
    stage.promote(alias=Alias.STAGING)
    assert live(stage, stage.clock.moment + SECOND).version == "1"
