"""Idempotency keys: the same key and the same work are the first job again, for a day."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from backend.clock import utc_now
from backend.errors import KeyReused, ValidationFailed
from backend.extensions import transaction
from backend.jobs.keys import (
    KEPT_FOR,
    LONGEST,
    check_key,
    digest_of,
    enter_key,
    find_key,
    forget_keys,
    is_entered,
    point_key,
)
from backend.jobs.tables import KEY

NOW = utc_now()
SECOND = timedelta(seconds=1)
VISIBLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))


def enter(subject: UUID, *, fingerprint="f", now=NOW, digest="d"):
    with transaction() as session:
        return enter_key(session, digest, subject, fingerprint=fingerprint, now=now)


def find(*, fingerprint="f", now=NOW, digest="d"):
    with transaction(read_only=True) as session:
        return find_key(session, digest, fingerprint=fingerprint, now=now)


def kept():
    with transaction(read_only=True) as session:
        return session.scalar(select(func.count()).select_from(KEY))


@given(st.text(VISIBLE, min_size=1, max_size=LONGEST))
def test_visible_ascii_is_a_key(key: str):
    check_key(key)


@given(st.text())
def test_any_text_is_a_key_or_is_refused_with_a_reason_that_does_not_repeat_it(key: str):
    try:
        check_key(key)
    except ValidationFailed as error:
        (wrong,) = error.fields
        assert wrong.field == "Idempotency-Key"
        assert "1 to 255 visible ASCII characters" in wrong.reason
        assert not (1 <= len(key) <= LONGEST and key.isascii() and key.isprintable() and " " not in key)
    else:
        assert 1 <= len(key) <= LONGEST
        assert key.isascii()
        assert key.isprintable()


@pytest.mark.parametrize("key", ["", "a" * (LONGEST + 1), "k" * 10_000, "naïve", "two words", "tab\t", "null\x00"])
def test_what_is_no_key(key: str):
    with pytest.raises(ValidationFailed, match="visible ASCII"):
        check_key(key)


@given(st.lists(TEXTS, min_size=1), st.lists(TEXTS, min_size=1))
def test_texts_do_not_run_into_each_other(some: list[str], others: list[str]):
    assert (digest_of(*some) == digest_of(*others)) is (some == others)


def test_a_key_stands_for_what_was_entered_first(app):
    first, second = uuid4(), uuid4()
    assert find() is None
    assert enter(first) == first
    assert enter(second) == first
    assert find() == first
    assert kept() == 1


def test_a_key_does_not_stand_for_other_work(app):
    first = uuid4()
    enter(first)
    with pytest.raises(KeyReused, match="give each request a key of its own"):
        find(fingerprint="other")
    with pytest.raises(KeyReused):
        enter(uuid4(), fingerprint="other")
    assert find() == first


def test_a_key_lives_for_a_day_and_may_then_stand_for_other_work(app):
    first, second = uuid4(), uuid4()
    enter(first)
    assert find(now=NOW + KEPT_FOR - SECOND) == first
    assert enter(uuid4(), now=NOW + KEPT_FOR - SECOND) == first
    assert find(now=NOW + KEPT_FOR) is None
    assert enter(second, fingerprint="other", now=NOW + KEPT_FOR) == second
    assert find(fingerprint="other", now=NOW + KEPT_FOR) == second
    assert find(fingerprint="other", now=NOW + 2 * KEPT_FOR - SECOND) == second, "its day begins anew"


def test_keys_that_have_served_are_forgotten_and_no_others(app):
    enter(uuid4(), digest="old", now=NOW - KEPT_FOR)
    enter(uuid4(), digest="young", now=NOW - KEPT_FOR + SECOND)
    with transaction() as session:
        forget_keys(session, now=NOW)
    assert kept() == 1
    assert find(digest="young") is not None


def test_a_key_may_be_pointed_at_something_else(app):
    other = uuid4()
    enter(uuid4())
    with transaction() as session:
        point_key(session, "d", other)
    assert find() == other


def test_whether_a_key_was_entered_is_known_without_what_was_asked(app):
    enter(uuid4())
    with transaction(read_only=True) as session:
        assert is_entered(session, "d", now=NOW)
        assert not is_entered(session, "d", now=NOW + KEPT_FOR)
        assert not is_entered(session, "other", now=NOW)
