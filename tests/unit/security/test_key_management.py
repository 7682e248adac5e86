"""Making, rotating and revoking API keys."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from flask import Flask
from sqlalchemy import select

from backend.errors import Conflict, NotFound, ValidationFailed
from backend.extensions import transaction
from backend.security import keys
from backend.security.accounts import create_account, disable, enable, get_account, list_accounts, set_role
from backend.security.key_management import create_key, first_admin_key, list_keys, revoke, rotate
from backend.security.permissions import PERMISSIONS, Permission, Role
from backend.security.tables import ApiKey

AT = datetime(2026, 3, 1, 10, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _lab(app: Flask) -> None:
    """There is an account `lab` with the role service."""
    create_account("lab", Role.SERVICE, by="asha", at=AT)


def make(account: str = "lab", *, permissions=None, expires_at=None, at=AT):
    return create_key(account, permissions=permissions, expires_at=expires_at, by="asha", at=at)


def shown(key_id: str):
    return next(one for one in list_keys(None).keys if one.id == key_id)


def test_a_key_is_shown_once_and_its_secret_is_not_kept():
    made = make(permissions={Permission.PREDICT, Permission.NOTIFY}, expires_at=AT + DAY)
    key_id, secret = keys.split(made.key)
    assert key_id == made.id
    (listed,) = list_keys("lab").keys
    assert listed.model_dump() == made.model_dump(exclude={"key"})
    assert listed.permissions == [Permission.NOTIFY, Permission.PREDICT]
    assert (listed.created_at, listed.created_by, listed.expires_at) == (AT, "asha", AT + DAY)
    assert (listed.last_used_at, listed.revoked_at) == (None, None)
    with transaction(read_only=True) as session:
        row = session.scalars(select(ApiKey)).one()
    assert not any(secret in str(value) for value in vars(row).values())


@pytest.mark.parametrize("role", list(Role))
def test_a_key_may_allow_just_what_its_role_does(role: Role):
    create_account("person", role, by="asha", at=AT)
    for permission in Permission:
        if permission in PERMISSIONS[role]:
            assert make("person", permissions=[permission]).permissions == [permission]
        else:
            with pytest.raises(ValidationFailed, match=f"the role {role} does not allow {permission}"):
                make("person", permissions=[permission])


def test_a_key_without_any_permission_is_refused():
    with pytest.raises(ValidationFailed, match="at least one"):
        make(permissions=[])


@pytest.mark.parametrize("life", [-DAY, timedelta(0), timedelta(days=3_653)])
def test_a_key_that_would_have_expired_or_live_for_ever_is_refused(life: timedelta):
    with pytest.raises(ValidationFailed, match="expires_at: must lie in the future, and within ten years"):
        make(expires_at=AT + life)


def test_only_an_enabled_account_gets_keys():
    with pytest.raises(NotFound, match="no account ward"):
        make("ward")
    with pytest.raises(NotFound, match="no account ward"):
        list_keys("ward")
    disable("lab", at=AT)
    with pytest.raises(Conflict, match="disabled"):
        make()
    assert list_keys("lab").keys == []
    enable("lab", at=AT)
    assert make().account == "lab"


def test_a_rotated_key_overlaps_with_the_one_that_follows():
    old = make(permissions=[Permission.PREDICT])
    new = rotate(old.id, by="bala", at=AT + DAY)
    assert (new.account, new.permissions, new.created_by) == ("lab", [Permission.PREDICT], "bala")
    assert (new.expires_at, shown(old.id).expires_at) == (None, AT + 2 * DAY)
    assert new.key != old.key


@pytest.mark.parametrize(("left", "ends"), [(5 * DAY, 2 * DAY), (timedelta(hours=1), timedelta(hours=1))])
def test_the_overlap_shortens_an_old_key_and_never_prolongs_it(left: timedelta, ends: timedelta):
    old = make(expires_at=AT + left)
    new = rotate(old.id, overlap=2 * DAY, by="bala", at=AT)
    assert shown(old.id).expires_at == AT + ends
    assert new.expires_at == AT + left, "the new one is valid as long as the old one was meant to be"


def test_an_expired_key_can_be_rotated_and_stays_expired():
    old = make(expires_at=AT + DAY)
    new = rotate(old.id, by="bala", at=AT + 10 * DAY)
    assert shown(old.id).expires_at == AT + DAY
    assert new.expires_at == AT + 11 * DAY


def test_a_rotation_without_overlap_ends_the_old_key_at_once():
    old = make()
    rotate(old.id, overlap=timedelta(0), by="bala", at=AT + DAY)
    assert shown(old.id).expires_at == AT + DAY


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=31), timedelta.max])
def test_an_overlap_has_its_limits(overlap: timedelta):
    old = make()
    with pytest.raises(ValidationFailed, match="overlap: must be from 0 to 30 days"):
        rotate(old.id, overlap=overlap, by="bala", at=AT)
    assert [one.expires_at for one in list_keys(None).keys] == [None]


def test_a_rotated_key_keeps_permissions_that_its_role_has_lost_for_now():
    old = make(permissions=[Permission.NOTIFY])
    set_role("lab", Role.VIEWER, at=AT)
    assert rotate(old.id, by="bala", at=AT).permissions == [Permission.NOTIFY]


def test_a_revoked_key_stays_revoked_since_when_it_was():
    made = make()
    revoke(made.id, at=AT)
    revoke(made.id, at=AT + DAY)
    assert shown(made.id).revoked_at == AT
    with pytest.raises(Conflict, match="was revoked"):
        rotate(made.id, by="bala", at=AT + DAY)
    assert len(list_keys(None).keys) == 1


@pytest.mark.parametrize("change", [lambda one: revoke(one, at=AT), lambda one: rotate(one, by="bala", at=AT)])
def test_a_key_that_does_not_exist_is_not_found_and_a_secret_is_not_repeated(change):
    with pytest.raises(NotFound, match="no API key 00000000"):
        change("00000000")
    text = make().key
    with pytest.raises(NotFound) as refused:
        change(text)
    assert keys.split(text)[1] not in str(refused.value)


class TestWithoutAccounts:
    @pytest.fixture(autouse=True)
    def _lab(self, app: Flask) -> None:
        """There is no account, in place of the fixture above."""

    def test_the_first_key_is_an_admins_and_there_is_one(self):
        text = first_admin_key(AT)
        (key,) = list_keys(None).keys
        assert keys.split(text)[0] == key.id
        assert (key.account, key.permissions, key.expires_at, key.created_by) == ("admin", None, None, "system")
        assert get_account("admin").role is Role.ADMIN
        assert first_admin_key(AT) is None
        assert len(list_keys(None).keys) == 1

    def test_an_installation_with_any_account_gets_no_first_key(self):
        create_account("lab", Role.SERVICE, by="asha", at=AT)
        assert first_admin_key(AT) is None
        assert [one.name for one in list_accounts().accounts] == ["lab"]

    def test_of_several_that_ask_at_once_one_gets_the_first_key(self, app: Flask):
        together = Barrier(4)

        def ask(_number: int) -> str | None:
            together.wait()
            with app.app_context():
                return first_admin_key(AT)

        with ThreadPoolExecutor(4) as pool:
            texts = [text for text in pool.map(ask, range(4)) if text is not None]
        assert [one.id for one in list_keys("admin").keys] == [keys.split(text)[0] for text in texts]
        assert len(texts) == 1
