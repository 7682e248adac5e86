"""Accounts: who there is, in which role, and whether they may come in."""

from datetime import datetime
from typing import cast

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Table as CoreTable
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.errors import Conflict, NotFound, ValidationFailed, wrong_fields
from backend.extensions import insert_new, transaction
from backend.security.directory import current_directory
from backend.security.permissions import Role
from backend.security.schemas import AccountList, AccountName, AccountNew, AccountPatch, AccountView
from backend.security.tables import Account, ApiKey, Login

_ACCOUNT = cast("CoreTable", Account.__table__)

_NAME: TypeAdapter[str] = TypeAdapter(AccountName)
_ENABLED_ADMINS = (
    select(Account.name).where(Account.role == Role.ADMIN, Account.disabled_at.is_(None)).order_by(Account.name)
)


def create_account(name: str, role: Role, *, by: str, at: datetime, password_hash: str | None = None) -> AccountView:
    """Make an account; without a password it comes with keys only.

    Raises:
        ValidationFailed: the name cannot be one.
        Conflict: there is one of this name.
    """
    try:
        new = AccountNew(name=name, role=role)
    except ValidationError as error:
        raise ValidationFailed(wrong_fields(error)) from None
    with transaction() as session:
        if not add_account(session, new.name, new.role, by=by, at=at, password_hash=password_hash):
            raise Conflict(f"there is an account {name} already")
        return AccountView.model_validate(find_account(session, name))


def add_account(
    session: Session, name: str, role: Role, *, by: str, at: datetime, password_hash: str | None = None
) -> bool:
    """Add a row for an account; False if there is one of this name, also when another process was first."""
    row = {"name": name, "role": role, "password_hash": password_hash, "created_at": at, "created_by": by}
    return session.scalar(insert_new(_ACCOUNT).values(row).returning(_ACCOUNT.c.name)) is not None


def list_accounts() -> AccountList:
    """Return every account, also the disabled ones."""
    with transaction(read_only=True) as session:
        rows = session.scalars(select(Account).order_by(Account.name)).all()
    return AccountList(accounts=[AccountView.model_validate(row) for row in rows])


def get_account(name: str) -> AccountView:
    """Return one account.

    Raises:
        NotFound: there is no such account.
    """
    with transaction(read_only=True) as session:
        return AccountView.model_validate(find_account(session, name))


def change_account(name: str, patch: AccountPatch, *, at: datetime) -> AccountView:
    """Change an account's role, disable or enable it; disabling revokes its keys and ends its logins for good.

    Raises:
        NotFound: there is no such account.
        Conflict: nobody would be left who may manage accounts.
    """
    with transaction() as session:
        # Locked, so that of two who each disable one of two admins the second sees what the first did.
        admins = session.scalars(_ENABLED_ADMINS.with_for_update()).all()
        row = find_account(session, name, for_update=True)
        if patch.role is not None:
            row.role = patch.role
        if patch.disabled is not None:
            _set_disabled(session, row, disabled=patch.disabled, at=at)
        if admins == [name] and (row.role != Role.ADMIN or row.disabled_at is not None):
            raise Conflict(f"{name} is the last admin that is not disabled; make another first")
    current_directory().forget()
    return AccountView.model_validate(row)


def set_role(name: str, role: Role, *, at: datetime) -> AccountView:
    """Give an account another role; see `change_account`."""
    return change_account(name, AccountPatch(role=role), at=at)


def disable(name: str, *, at: datetime) -> AccountView:
    """Let an account in no more; see `change_account`."""
    return change_account(name, AccountPatch(disabled=True), at=at)


def enable(name: str, *, at: datetime) -> AccountView:
    """Let an account in again, with new keys and logins; see `change_account`."""
    return change_account(name, AccountPatch(disabled=False), at=at)


def find_account(session: Session, name: str, *, for_update: bool = False) -> Account:
    """Return the row of an account.

    Raises:
        NotFound: there is no such account.
    """
    try:  # PostgreSQL refuses to look for some texts at all
        _NAME.validate_python(name)
    except ValidationError:
        raise NotFound("account", name) from None
    row = session.get(Account, name, with_for_update=for_update or None)
    if row is None:
        raise NotFound("account", name)
    return row


def _set_disabled(session: Session, row: Account, *, disabled: bool, at: datetime) -> None:
    if not disabled:
        row.disabled_at = None
        return
    row.disabled_at = row.disabled_at or at
    session.execute(update(ApiKey).where(ApiKey.account == row.name, ApiKey.revoked_at.is_(None)).values(revoked_at=at))
    session.execute(
        update(Login)
        .where(Login.account == row.name, Login.ended_at.is_(None))
        .values(ended_at=at, ended_because="the account was disabled")
    )
