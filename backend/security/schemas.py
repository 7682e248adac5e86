"""Accounts and keys as they are asked for and shown. No view has a digest of a secret."""

from datetime import datetime
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from backend.security.permissions import Permission, Role
from backend.security.principals import DEVELOPMENT

SYSTEM: Final = "system"
RESERVED: Final = frozenset({DEVELOPMENT.account, "release", SYSTEM})
"""Names that records give to what no account did."""


def _is_free(name: str) -> str:
    if name in RESERVED:
        raise ValueError("the name is reserved")
    return name


AccountName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._@-]{1,63}$"), AfterValidator(_is_free)]


class AccountNew(BaseModel):
    """An account to make."""

    model_config = ConfigDict(extra="forbid")

    name: AccountName = Field(examples=["lab-system"])
    role: Role


class AccountPatch(BaseModel):
    """What to change."""

    model_config = ConfigDict(extra="forbid")

    role: Role | None = None
    disabled: bool | None = Field(default=None, description="True also revokes its keys and ends its logins.")

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.role is None and self.disabled is None:
            raise ValueError("name at least one of role, disabled")
        return self


class AccountView(BaseModel):
    """A person or a program."""

    model_config = ConfigDict(title="Account", from_attributes=True)

    name: str
    role: Role
    created_at: datetime
    created_by: str
    disabled_at: datetime | None


class AccountList(BaseModel):
    """Every account, by name."""

    accounts: list[AccountView]


class KeyView(BaseModel):
    """A key of an account, without its secret."""

    model_config = ConfigDict(title="ApiKey", from_attributes=True)

    id: str
    account: str
    permissions: list[Permission] | None = Field(description="Null: all that the account's role allows.")
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None


class KeyWithText(KeyView):
    """A key as it is shown once."""

    model_config = ConfigDict(title="ApiKeyWithText")

    key: str = Field(description="What requests show: `Authorization: Bearer <key>`. It is in this answer only.")


class KeyList(BaseModel):
    """Keys, by account and age."""

    keys: list[KeyView]
