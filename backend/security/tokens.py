"""Access tokens of people: JWT (RFC 7519), signed with Ed25519, valid for minutes and only while their login is."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backend.clock import utc_now
from backend.errors import Unauthenticated
from backend.security.secret import derive
from backend.settings import Settings

ALGORITHM: Final = "EdDSA"
ISSUER: Final = "sanguine"
LIFETIME: Final = timedelta(minutes=10)
LONGEST: Final = 2_000  # characters; ours have some 300


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says. Roles are not in it: they are what they are when it is shown."""

    account: str
    login: UUID


class AccessTokens:
    """Signs and reads the tokens of this installation, with a key that follows from its secret."""

    def __init__(self, settings: Settings) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(derive(settings, "access tokens"))
        self._public = self._private.public_key()

    def sign(self, account: str, login: UUID, *, at: datetime, until: datetime) -> str:
        """Return a token for one login of an account, valid until a moment."""
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": ISSUER,
            "sub": account,
            "sid": str(login),
            "jti": str(uuid4()),
            "iat": at,
            "exp": until,
        }
        return jwt.encode(claims, self._private, algorithm=ALGORITHM)

    def read(self, text: str) -> Claims:
        """Return what a token says.

        Raises:
            Unauthenticated: it is not ours, was altered, or has expired.
        """
        if len(text) > LONGEST:
            raise Unauthenticated("this is neither an API key nor an access token")
        try:
            claims = jwt.decode(
                text,
                self._public,
                algorithms=[ALGORITHM],  # whatever the token itself says
                audience=ISSUER,
                issuer=ISSUER,
                options={"require": ["exp", "iat", "sub", "sid", "jti"], "verify_exp": False, "verify_iat": False},
            )
            account, login = str(claims["sub"]), UUID(claims["sid"])
            expires_at = float(claims["exp"])
        except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError) as error:
            raise Unauthenticated("this is neither an API key nor an access token of this installation") from error
        if not utc_now().timestamp() < expires_at:  # nor is it before something that is no number
            raise Unauthenticated("the access token has expired; refresh it (POST /api/ml/auth/refresh)")
        return Claims(account=account, login=login)
