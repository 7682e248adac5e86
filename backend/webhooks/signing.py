"""Signatures of Standard Webhooks 1.0.0: HMAC-SHA256 (`v1`) and Ed25519 (`v1a`) of `id.timestamp.body`.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md. No key is stored:
each is derived from the installation's secret key by HKDF-SHA256 (RFC 5869), so a copy of the database signs nothing.
"""

import hmac
from base64 import b64decode, b64encode
from datetime import datetime
from typing import cast
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backend.extensions import current
from backend.security.secret import derive
from backend.settings import Settings

_SECRET = "whsec_"  # noqa: S105 - the prefix by which the standard knows one


class Signer:
    """Signs messages with keys that follow from the installation's secret."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def endpoint_secret(self, endpoint_id: UUID, version: int) -> str:
        """Return the secret that an endpoint shares with us: `whsec_` and 32 bytes in base64."""
        return _SECRET + _base64(self._derive(f"webhook {endpoint_id} {version}"))

    def public_key(self) -> str:
        """Return what everybody may verify our signatures with: `whpk_` and 32 bytes in base64."""
        return "whpk_" + _base64(self._installation_key().public_key().public_bytes_raw())

    def headers(self, message_id: UUID, body: bytes, *, at: datetime, secrets: tuple[str, ...] = ()) -> dict[str, str]:
        """Return the headers of one attempt: signed with each of the endpoint's secrets and with our own key."""
        timestamp = str(int(at.timestamp()))
        content = f"{message_id}.{timestamp}.".encode() + body
        shared = [f"v1,{_base64(hmac.digest(b64decode(s.removeprefix(_SECRET)), content, 'sha256'))}" for s in secrets]
        own = f"v1a,{_base64(self._installation_key().sign(content))}"
        return {
            "webhook-id": str(message_id),
            "webhook-timestamp": timestamp,
            "webhook-signature": " ".join([*shared, own]),
        }

    def _installation_key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self._derive("webhook installation key"))

    def _derive(self, purpose: str) -> bytes:
        return derive(self._settings, purpose)


def current_signer() -> Signer:
    """Return the signer of the current application."""
    return Signer(cast("Settings", current("settings")))


def _base64(content: bytes) -> str:
    return b64encode(content).decode()
