"""Whoever a request comes from, once that is known."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from backend.security.permissions import PERMISSIONS, Permission, Role


@dataclass(frozen=True, slots=True)
class Principal:
    """An account, with what it may do through the key or token it showed."""

    account: str
    role: Role
    permissions: frozenset[Permission]
    through: str  # such as "key 3f9a1c02", without its secret
    login: UUID | None = None  # the one whose token was shown

    def may(self, permission: Permission) -> bool:
        """Whether it is allowed."""
        return permission in self.permissions

    @property
    def sees_jobs_of(self) -> str | None:
        """Whose jobs it sees: its own account's, or everybody's (None)."""
        return None if self.may(Permission.SEE_ALL_JOBS) else self.account


DEVELOPMENT: Final = Principal("development", Role.ADMIN, PERMISSIONS[Role.ADMIN], "this machine, unasked")
"""Whoever sits at a development machine: there nobody is asked who they are."""
