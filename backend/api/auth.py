"""Logging in, staying in and out; who one is; passwords."""

from http import HTTPStatus
from typing import Annotated

from flask import Blueprint, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from backend.api.answers import answer
from backend.api.guard import current_principal, identified, open_to_all, requires
from backend.api.parse import body_as
from backend.clock import utc_now
from backend.errors import Conflict
from backend.security import logins, passwords
from backend.security.permissions import Permission, Role

blueprint = Blueprint("auth", __name__)

Password = Annotated[SecretStr, Field(max_length=passwords.LONGEST)]


class Credentials(BaseModel):
    """What somebody logs in with."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=64)
    password: Password


class Refresh(BaseModel):
    """What a login goes on with."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: SecretStr = Field(max_length=200)


class NewPassword(BaseModel):
    """A password for somebody else."""

    model_config = ConfigDict(extra="forbid")

    password: Password


class PasswordChange(BaseModel):
    """A password in place of one's own."""

    model_config = ConfigDict(extra="forbid")

    old: Password
    new: Password


class TokensView(BaseModel):
    """What to show from now on (named as in RFC 6749)."""

    model_config = ConfigDict(title="Tokens", from_attributes=True)

    token_type: str = "Bearer"  # noqa: S105 - a type, no token
    access_token: str = Field(description="What requests show: `Authorization: Bearer <access_token>`.")
    expires_in: int = Field(description="Seconds until the access token expires; refresh before.")
    refresh_token: str = Field(description="For one use: the answer to it has the next one.")


class PrincipalView(BaseModel):
    """Who one is."""

    model_config = ConfigDict(title="Principal")

    account: str
    role: Role
    permissions: list[Permission]
    through: str = Field(description="The key or the login that was shown, without its secret.")


@blueprint.post("/auth/login")
@open_to_all
def log_in() -> Response:
    """Open a login."""
    shown = body_as(Credentials)
    return _tokens(logins.log_in(shown.name, shown.password.get_secret_value(), utc_now()))


@blueprint.post("/auth/refresh")
@open_to_all
def refresh() -> Response:
    """Exchange a refresh token."""
    return _tokens(logins.refresh(body_as(Refresh).refresh_token.get_secret_value(), utc_now()))


@blueprint.post("/auth/logout")
@identified
def log_out() -> Response:
    """End the login whose access token is shown."""
    login = current_principal().login
    if login is None:
        raise Conflict("no login was shown that could end; show its access token")
    logins.log_out(login, utc_now())
    return _done()


@blueprint.get("/auth/me")
@identified
def me() -> Response:
    """Say who one is."""
    principal = current_principal()
    return answer(
        PrincipalView(
            account=principal.account,
            role=principal.role,
            permissions=sorted(principal.permissions),
            through=principal.through,
        )
    )


@blueprint.post("/auth/password")
@identified
def change_password() -> Response:
    """Change one's own password; one's logins end."""
    asked = body_as(PasswordChange)
    logins.change_password(
        current_principal().account, asked.old.get_secret_value(), asked.new.get_secret_value(), utc_now()
    )
    return _done()


@blueprint.put("/accounts/<name>/password")
@requires(Permission.MANAGE_ACCOUNTS)
def set_password(name: str) -> Response:
    """Give an account a password; its logins end."""
    password = body_as(NewPassword).password.get_secret_value()
    logins.set_password(name, password, by=current_principal().account, at=utc_now())
    return _done()


def _tokens(tokens: logins.Tokens) -> Response:
    return answer(TokensView.model_validate(tokens))


def _done() -> Response:
    return Response(status=HTTPStatus.NO_CONTENT, headers={"Cache-Control": "no-store"})
