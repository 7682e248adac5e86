"""Accounts for tests, and the headers by which they show who they are."""

from collections.abc import Iterable
from typing import cast

from backend.clock import utc_now
from backend.extensions import current, transaction
from backend.security import keys
from backend.security.directory import current_directory
from backend.security.permissions import Permission, Role
from backend.security.secret import derive
from backend.security.tables import Account, ApiKey
from backend.settings import Settings


def headers_of(
    name: str, role: Role = Role.SERVICE, *, permissions: Iterable[Permission] | None = None
) -> dict[str, str]:
    """Return what a key of an account shows; the account is made when there is none of this name."""
    made = keys.make_key(derive(cast("Settings", current("settings")), keys.PURPOSE))
    now = utc_now()
    with transaction() as session:
        if session.get(Account, name) is None:
            session.add(Account(name=name, role=role, created_at=now, created_by="test"))
            session.flush()
        only = None if permissions is None else [str(one) for one in permissions]
        key = ApiKey(id=made.id, account=name, digest=made.digest, permissions=only, created_at=now, created_by="test")
        session.add(key)
    current_directory().forget()
    return {"Authorization": f"Bearer {made.text}"}
