"""API keys: made, listed, rotated and revoked. A key's text is returned when it is made and never again."""

import re
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.errors import Conflict, FieldError, NotFound, ValidationFailed
from backend.extensions import current, transaction
from backend.security import keys
from backend.security.accounts import add_account, find_account
from backend.security.directory import current_directory
from backend.security.permissions import PERMISSIONS, Permission, Role
from backend.security.schemas import SYSTEM, KeyList, KeyView, KeyWithText
from backend.security.secret import derive
from backend.security.tables import Account, ApiKey
from backend.settings import Settings

FIRST: Final = "admin"
"""The account of an installation that has none."""
OVERLAP: Final = timedelta(days=1)
LONGEST_OVERLAP: Final = timedelta(days=30)
LONGEST_LIFE: Final = timedelta(days=3_652)

_ID = re.compile("[0-9a-f]{8}")


def create_key(
    account: str,
    *,
    permissions: Collection[Permission] | None,
    expires_at: datetime | None,
    by: str,
    at: datetime,
) -> KeyWithText:
    """Make a key that allows what its account's role does, or, of that, only some permissions.

    Raises:
        NotFound: there is no such account.
        Conflict: the account is disabled.
        ValidationFailed: the role does not allow a permission, or the key would have expired already, or live too long.
    """
    if expires_at is not None and not at < expires_at <= at + LONGEST_LIFE:
        raise ValidationFailed((FieldError("expires_at", "must lie in the future, and within ten years"),))
    with transaction() as session:
        # Locked, so that no key appears while the account is being disabled.
        owner = find_account(session, account, for_update=True)
        if owner.disabled_at is not None:
            raise Conflict(f"the account {account} is disabled; enable it first (flask accounts enable)")
        only = None if permissions is None else _checked(permissions, Role(owner.role))
        made = _add(session, account, permissions=only, expires_at=expires_at, by=by, at=at)
    current_directory().forget()
    return made


def list_keys(account: str | None) -> KeyList:
    """Return the keys of an account, or (None) of all, also those that are of no more use.

    Raises:
        NotFound: there is no such account.
    """
    query = select(ApiKey).order_by(ApiKey.account, ApiKey.created_at, ApiKey.id)
    with transaction(read_only=True) as session:
        if account is not None:
            query = query.where(ApiKey.account == find_account(session, account).name)
        rows = session.scalars(query).all()
    return KeyList(keys=[KeyView.model_validate(row) for row in rows])


def rotate(key_id: str, *, overlap: timedelta = OVERLAP, by: str, at: datetime) -> KeyWithText:
    """Make a key with the same account and permissions, valid as long as the old one was meant to be.

    The old one expires after the overlap, or earlier if it was to.

    Raises:
        NotFound: there is no such key.
        Conflict: it was revoked.
        ValidationFailed: the overlap is negative or too long.
    """
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise ValidationFailed((FieldError("overlap", f"must be from 0 to {LONGEST_OVERLAP.days} days"),))
    with transaction() as session:
        old = _find(session, key_id)
        find_account(session, old.account, for_update=True)  # as in `create_key`, and before the key, as in disabling
        session.refresh(old, with_for_update=True)
        if old.revoked_at is not None:
            raise Conflict(f"the API key {key_id} was revoked; make another (flask keys create)")
        expires_at = None if old.expires_at is None else at + (old.expires_at - old.created_at)
        made = _add(session, old.account, permissions=old.permissions, expires_at=expires_at, by=by, at=at)
        ends = at + overlap
        old.expires_at = ends if old.expires_at is None else min(old.expires_at, ends)
    current_directory().forget()
    return made


def revoke(key_id: str, *, at: datetime) -> None:
    """Make a key useless for good; one that was revoked already stays as it is.

    Raises:
        NotFound: there is no such key.
    """
    with transaction() as session:
        row = _find(session, key_id, for_update=True)
        row.revoked_at = row.revoked_at or at
    current_directory().forget()


def first_admin_key(at: datetime) -> str | None:
    """Make the account `admin` with a key if there is no account at all; return the key's text, otherwise None.

    Of several processes that ask at once, one gets a key: the others do not get the name.
    """
    with transaction() as session:
        if session.scalar(select(Account.name).limit(1)) is not None:
            return None
        if not add_account(session, FIRST, Role.ADMIN, by=SYSTEM, at=at):
            return None
        made = _add(session, FIRST, permissions=None, expires_at=None, by=SYSTEM, at=at)
    current_directory().forget()
    return made.key


def _checked(permissions: Collection[Permission], role: Role) -> list[str]:
    if not permissions:
        raise ValidationFailed((FieldError("permissions", "name at least one; without any a key could do nothing"),))
    if beyond := sorted(set(permissions) - PERMISSIONS[role]):
        allowed = ", ".join(sorted(PERMISSIONS[role]))
        reason = f"the role {role} does not allow {', '.join(beyond)}; it allows {allowed}"
        raise ValidationFailed((FieldError("permissions", reason),))
    return sorted({str(one) for one in permissions})


def _add(
    session: Session,
    account: str,
    *,
    permissions: list[str] | None,
    expires_at: datetime | None,
    by: str,
    at: datetime,
) -> KeyWithText:
    made = keys.make_key(derive(cast("Settings", current("settings")), keys.PURPOSE))
    row = ApiKey(
        id=made.id,
        account=account,
        digest=made.digest,
        permissions=permissions,
        created_at=at,
        created_by=by,
        expires_at=expires_at,
    )
    session.add(row)
    session.flush()
    return KeyWithText(**KeyView.model_validate(row).model_dump(), key=made.text)


def _find(session: Session, key_id: str, *, for_update: bool = False) -> ApiKey:
    if not _ID.fullmatch(key_id):  # perhaps the whole key: its secret belongs in no message
        raise NotFound("API key", "with this id; an id is the eight digits between sgk_ and the next _")
    row = session.get(ApiKey, key_id, with_for_update=for_update or None)
    if row is None:
        raise NotFound("API key", key_id)
    return row
