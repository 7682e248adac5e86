"""Accounts and their API keys over HTTP."""

from datetime import timedelta
from http import HTTPStatus

from flask import Blueprint, Response, url_for
from pydantic import BaseModel, ConfigDict, Field

from backend.api.answers import answer
from backend.api.guard import current_principal, requires
from backend.api.parse import body_as
from backend.clock import utc_now
from backend.errors import Conflict
from backend.jobs.moments import Deadline
from backend.security.accounts import change_account, create_account, get_account, list_accounts
from backend.security.key_management import LONGEST_OVERLAP, OVERLAP, create_key, list_keys, revoke, rotate
from backend.security.permissions import Permission
from backend.security.schemas import AccountNew, AccountPatch

blueprint = Blueprint("accounts", __name__)


class KeyNew(BaseModel):
    """A key to make."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="Whose key it is.")
    permissions: list[Permission] | None = Field(
        default=None, description="Allow these and not all that the account's role does."
    )
    expires_at: Deadline | None = Field(
        default=None,
        description="A moment, or a duration from now such as P90D; without it the key is valid until it is revoked.",
    )


class Rotation(BaseModel):
    """A key to make in place of another."""

    model_config = ConfigDict(extra="forbid")

    key_id: str
    overlap: timedelta = Field(
        default=OVERLAP, description=f"How long the old key stays valid, at most {LONGEST_OVERLAP.days} days."
    )


@blueprint.get("/accounts")
@requires(Permission.MANAGE_ACCOUNTS)
def list_() -> Response:
    """List the accounts."""
    return answer(list_accounts())


@blueprint.post("/accounts")
@requires(Permission.MANAGE_ACCOUNTS)
def create() -> Response:
    """Make an account."""
    new = body_as(AccountNew)
    made = create_account(new.name, new.role, by=current_principal().account, at=utc_now())
    headers = {"Location": url_for("api.accounts.get", name=made.name)}
    return answer(made, status=HTTPStatus.CREATED, headers=headers)


@blueprint.get("/accounts/<name>")
@requires(Permission.MANAGE_ACCOUNTS)
def get(name: str) -> Response:
    """Return one account."""
    return answer(get_account(name))


@blueprint.patch("/accounts/<name>")
@requires(Permission.MANAGE_ACCOUNTS)
def change(name: str) -> Response:
    """Change an account's role, disable or enable it."""
    patch, principal = body_as(AccountPatch), current_principal()
    if name == principal.account and (patch.disabled or patch.role not in (None, principal.role)):
        raise Conflict(f"you act as {name}; somebody else must disable it or change its role")
    return answer(change_account(name, patch, at=utc_now()))


@blueprint.get("/accounts/<name>/keys")
@requires(Permission.MANAGE_ACCOUNTS)
def keys(name: str) -> Response:
    """List the keys of an account, without their secrets."""
    return answer(list_keys(name))


@blueprint.post("/accounts/<name>/keys")
@requires(Permission.MANAGE_ACCOUNTS)
def create_key_(name: str) -> Response:
    """Make a key; its text is in this answer only."""
    new = body_as(KeyNew, name=name)
    made = create_key(
        new.name,
        permissions=new.permissions,
        expires_at=new.expires_at,
        by=current_principal().account,
        at=utc_now(),
    )
    return answer(made, status=HTTPStatus.CREATED)


@blueprint.post("/keys/<key_id>/rotate")
@requires(Permission.MANAGE_ACCOUNTS)
def rotate_(key_id: str) -> Response:
    """Make a key in place of another; its text is in this answer only."""
    asked = body_as(Rotation, key_id=key_id)
    made = rotate(asked.key_id, overlap=asked.overlap, by=current_principal().account, at=utc_now())
    return answer(made, status=HTTPStatus.CREATED)


@blueprint.delete("/keys/<key_id>")
@requires(Permission.MANAGE_ACCOUNTS)
def revoke_(key_id: str) -> Response:
    """Make a key useless for good."""
    revoke(key_id, at=utc_now())
    return Response(status=HTTPStatus.NO_CONTENT)
