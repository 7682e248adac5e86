"""Persons with passwords for tests, whose scrypt is quick."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest

from backend.clock import utc_now
from backend.extensions import transaction
from backend.security import passwords
from backend.security.directory import current_directory
from backend.security.permissions import Role
from backend.security.tables import Account

PASSWORD = "four words without sense"  # noqa: S105 - of persons who do not exist
QUICK = "scrypt:256:8:1"


@contextmanager
def quick_passwords() -> Iterator[None]:
    """Compute passwords with less work than scrypt is meant to do."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(passwords, "METHOD", QUICK)
        yield


def add_person(
    name: str = "asha",
    role: Role = Role.CLINICIAN,
    *,
    password: str | None = PASSWORD,
    disabled_at: datetime | None = None,
) -> str:
    """Store an account with a password, and return its name."""
    kept = None if password is None else passwords.digest(password)
    now = utc_now()
    with transaction() as session:
        session.add(
            Account(
                name=name, role=role, password_hash=kept, created_at=now, created_by="test", disabled_at=disabled_at
            )
        )
    current_directory().forget()
    return name
