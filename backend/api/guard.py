"""Who may call a route. Each asks for a permission, or says that it is open to everybody."""

from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import Any, Final, cast
from uuid import UUID

from flask import request

from backend.errors import FieldError, Forbidden, ValidationFailed
from backend.jobs.owners import require_bulk_of, require_job_of
from backend.security.authentication import current_authenticator, shown_by
from backend.security.permissions import Permission
from backend.security.principals import DEVELOPMENT, Principal
from backend.webhooks.endpoints import require_endpoint_of

View = Callable[..., Any]

OPEN: Final = "open"
"""In place of a permission: nobody is asked who they are."""
IDENTIFIED: Final = "identified"
"""In place of a permission: somebody known, whatever they may do."""
PRINCIPAL: Final = "sanguine.principal"  # where the WSGI environment remembers it
OWNED: Final[Mapping[str, Callable[[str, UUID], None]]] = {
    "job_id": require_job_of,
    "bulk_id": require_bulk_of,
    "endpoint_id": require_endpoint_of,
}
"""What a path may name that belongs to an account."""


def requires(permission: Permission) -> Callable[[View], View]:
    """Decorate a view; see `guarded`."""
    return lambda view: guarded(view, permission)


def guarded(view: View, permission: Permission) -> View:
    """Return a view that lets those through who have a permission, and may see what its path names.

    What somebody may not see is answered as if it were not there.
    """

    def guard(**path: object) -> object:
        account = require(permission).sees_jobs_of
        if account is not None:
            for name in OWNED.keys() & path.keys():
                OWNED[name](account, cast("UUID", path[name]))
        return view(**path)

    update_wrapper(guard, view)
    guard.permission = permission  # type: ignore[attr-defined] # what tests and the API's description read
    return guard


def identified(view: View) -> View:
    """Return a view that lets everybody through who is known: what it does concerns nobody but them."""

    def guard(**path: object) -> object:
        current_principal()
        return view(**path)

    update_wrapper(guard, view)
    guard.permission = IDENTIFIED  # type: ignore[attr-defined] # as above
    return guard


def open_to_all(view: View) -> View:
    """Let everybody call a view."""
    view.permission = OPEN  # type: ignore[attr-defined] # as above
    return view


def require(permission: Permission) -> Principal:
    """Return who sends this request, if they have the permission.

    Raises:
        Unauthenticated: nobody knows who it is.
        Forbidden: they have it not.
    """
    principal = current_principal()
    if not principal.may(permission):
        who = f"{principal.account} ({principal.through})"
        raise Forbidden(f"{who} has not the permission {permission}, which this takes")
    return principal


def current_principal() -> Principal:
    """Return who sends this request.

    Raises:
        Unauthenticated: nobody knows.
    """
    if PRINCIPAL not in request.environ:
        request.environ[PRINCIPAL] = current_authenticator().identify(
            shown_by(request.headers.get, request.remote_addr)
        )
    return cast("Principal", request.environ[PRINCIPAL])


def acting(said: str | None) -> str:
    """Return in whose name this request decides something: its account's, or, where nobody is asked, whoever it says.

    Raises:
        ValidationFailed: it names somebody else.
        Unauthenticated: nobody knows who sends it.
    """
    principal = current_principal()
    if principal == DEVELOPMENT:
        return said or principal.account
    if said not in (None, principal.account):
        raise ValidationFailed((FieldError("by", f"you are {principal.account}; leave it out"),))
    return principal.account
