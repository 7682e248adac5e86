"""Signatures, verified by the client library of Standard Webhooks and by cryptography."""

from base64 import b64decode
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from backend.clock import utc_now
from backend.settings import Settings
from backend.webhooks.signing import Signer


def signer_of(secret: str) -> Signer:
    return Signer(Settings(secret_key=secret, _env_file=None))


SIGNER = signer_of("a key of forty characters for these tests")
ENDPOINT = UUID("0f0e4a06-3c5d-4f6e-9f5b-3f1b6d1c2a77")


def verify_own(public_key: str, headers: dict[str, str], body: bytes) -> None:
    """What a receiver does with `v1a`."""
    key = Ed25519PublicKey.from_public_bytes(b64decode(public_key.removeprefix("whpk_")))
    signature = next(s for s in headers["webhook-signature"].split() if s.startswith("v1a,"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key.verify(b64decode(signature.removeprefix("v1a,")), signed)


@given(st.uuids(), st.integers(min_value=1, max_value=1000), st.text().map(str.encode))
def test_the_standards_own_library_verifies_what_is_signed_with_a_secret(endpoint_id, version, body):
    secret = SIGNER.endpoint_secret(endpoint_id, version)
    headers = SIGNER.headers(uuid4(), body, at=utc_now(), secrets=(secret,))
    Webhook(secret).verify(body, headers, json_parse=False)
    verify_own(SIGNER.public_key(), headers, body)


def test_after_a_rotation_both_secrets_verify():
    new, old = SIGNER.endpoint_secret(ENDPOINT, 2), SIGNER.endpoint_secret(ENDPOINT, 1)
    headers = SIGNER.headers(uuid4(), b"{}", at=utc_now(), secrets=(new, old))
    assert [one.partition(",")[0] for one in headers["webhook-signature"].split(" ")] == ["v1", "v1", "v1a"]
    for secret in (new, old):
        assert Webhook(secret).verify(b"{}", headers) == {}


def test_a_callback_is_signed_with_the_installations_key_alone():
    headers = SIGNER.headers(uuid4(), b"{}", at=utc_now())
    assert headers["webhook-signature"].startswith("v1a,")
    assert " " not in headers["webhook-signature"]
    verify_own(SIGNER.public_key(), headers, b"{}")


@pytest.mark.parametrize("header", ["webhook-id", "webhook-timestamp", "body"])
def test_nothing_can_be_changed(header):
    secret = SIGNER.endpoint_secret(ENDPOINT, 1)
    at = utc_now()
    signed = SIGNER.headers(uuid4(), b"{}", at=at, secrets=(secret,))
    other = SIGNER.headers(uuid4(), b"{}", at=at + timedelta(seconds=2), secrets=(secret,))
    changed = signed | ({header: other[header]} if header in signed else {})
    body = b"[]" if header == "body" else b"{}"
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        Webhook(secret).verify(body, changed)
    with pytest.raises(InvalidSignature):
        verify_own(SIGNER.public_key(), changed, body)


def test_an_old_message_is_refused_by_the_library():
    secret = SIGNER.endpoint_secret(ENDPOINT, 1)
    headers = SIGNER.headers(uuid4(), b"{}", at=utc_now() - timedelta(minutes=6), secrets=(secret,))
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(secret).verify(b"{}", headers)


def test_each_endpoint_each_version_and_each_installation_has_its_own_keys():
    secrets = {
        signer.endpoint_secret(endpoint, version)
        for signer in (SIGNER, signer_of("another key of an installation"))
        for endpoint in (ENDPOINT, uuid4())
        for version in (1, 2)
    }
    assert len(secrets) == 8
    assert SIGNER.public_key() != signer_of("another key of an installation").public_key()


def test_keys_follow_from_the_secret_key_alone_so_that_they_outlive_a_restart_and_an_update():
    assert SIGNER.endpoint_secret(ENDPOINT, 1) == ("whsec_f/ZpZmqA2Ce2OP/8nLfpP/vyXpd1wv2p6rL8ZqhRSzU=")
    assert SIGNER.public_key() == "whpk_ioz4Rj1kR6NOTdszwyarz9h4zUIs2Y89agU9oIBanso="
