"""Access tokens: only what this installation signed, unaltered and for a while."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from backend.clock import utc_now
from backend.errors import Unauthenticated
from backend.security.tokens import LIFETIME, LONGEST, AccessTokens, Claims
from backend.settings import Settings

LOGIN = UUID("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0")


def made_with(secret: str) -> AccessTokens:
    return AccessTokens(Settings(data_dir=Path("nowhere"), secret_key=SecretStr(secret), _env_file=None))


OURS = made_with("one secret of an installation")


def signed() -> str:
    return OURS.sign("asha", LOGIN, at=utc_now(), until=utc_now() + LIFETIME)


def said(**changed: object) -> dict[str, object]:
    """Return claims as ours, with some changed, or left out where they are None."""
    now = utc_now()
    claims = {"iss": "sanguine", "aud": "sanguine", "sub": "asha", "sid": str(LOGIN), "jti": "1", "iat": now}
    claims = claims | {"exp": now + LIFETIME} | changed
    return {name: value for name, value in claims.items() if value is not None}


def signed_anew(**changed: object) -> str:
    """Sign claims with our own key, as if we had made a mistake."""
    content = json.dumps(said(**changed), default=lambda moment: int(moment.timestamp())).encode()
    return jwt.api_jws.encode(content, OURS._private, algorithm="EdDSA")


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def refused(text: str) -> str:
    with pytest.raises(Unauthenticated) as error:
        OURS.read(text)
    assert len(text) < 20 or text[-20:] not in str(error.value)
    return str(error.value)


def test_a_token_says_whose_it_is_and_nothing_of_what_they_may_do():
    token = signed()
    assert OURS.read(token) == Claims(account="asha", login=LOGIN)
    assert len(token) < LONGEST / 2
    claims = jwt.decode(token, options={"verify_signature": False})
    assert set(claims) == {"iss", "aud", "sub", "sid", "jti", "iat", "exp"}
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "typ": "JWT"}


def test_tokens_of_one_login_differ():
    assert signed() != signed()


def test_a_token_ends_to_the_second(monkeypatch: pytest.MonkeyPatch):
    at = utc_now().replace(microsecond=0)
    token = OURS.sign("asha", LOGIN, at=at, until=at + LIFETIME)
    monkeypatch.setattr("backend.security.tokens.utc_now", lambda: at + LIFETIME - timedelta(milliseconds=1))
    assert OURS.read(token).login == LOGIN
    monkeypatch.setattr("backend.security.tokens.utc_now", lambda: at + LIFETIME)
    assert "has expired" in refused(token)


def test_a_token_without_a_signature_is_refused():
    none = jwt.encode(said(), key=None, algorithm="none")
    refused(none)
    for alg in ("none", "None", "NONE", "nOnE"):
        header = encoded(json.dumps({"alg": alg, "typ": "JWT"}).encode())
        refused(f"{header}.{none.split('.')[1]}.")
        refused(f"{header}.{'.'.join(signed().split('.')[1:])}")


@pytest.mark.parametrize(
    "encoding", [(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), (Encoding.Raw, PublicFormat.Raw)]
)
def test_the_public_key_is_no_secret_to_sign_with(encoding):
    key = OURS._public.public_bytes(*encoding)
    for alg, hash_ in (("HS256", hashlib.sha256), ("HS512", hashlib.sha512)):
        payload = jwt.encode(said(), key=None, algorithm="none").split(".")[1]
        content = f"{encoded(json.dumps({'alg': alg, 'typ': 'JWT'}).encode())}.{payload}"
        refused(f"{content}.{encoded(hmac.digest(key, content.encode(), hash_))}")


def test_a_token_signed_by_another_key_is_refused():
    refused(jwt.encode(said(), Ed25519PrivateKey.generate(), algorithm="EdDSA"))
    refused(made_with("the secret of another").sign("asha", LOGIN, at=utc_now(), until=utc_now() + LIFETIME))


def test_every_part_of_a_token_that_is_cut_off_is_missed():
    token = signed()
    for length in range(len(token)):
        refused(token[:length])


@given(st.data())
def test_an_altered_token_is_refused(data: st.DataObject):
    token = signed()
    place = data.draw(st.integers(0, len(token) - 2))  # of the last character four bits say nothing
    other = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."))
    changed = token[:place] + other + token[place + 1 :]
    if changed != token:
        refused(changed)


def test_another_payload_under_the_same_signature_is_refused():
    header, _, signature = signed().split(".")
    payload = encoded(json.dumps(said(sub="admin", iat=0, exp=2e9)).encode())
    refused(f"{header}.{payload}.{signature}")


@pytest.mark.parametrize(
    "changed",
    [
        *({name: None} for name in ("iss", "aud", "sub", "sid", "jti", "iat", "exp")),
        *({"iss": one} for one in ("other", ["sanguine"], 1)),
        *({"aud": one} for one in ("other", ["other"], [], 1)),
        *({"sid": one} for one in ("", "no id", 1, {}, [])),
        *({"sub": one} for one in (1, [], {})),
        *({"exp": one} for one in ("soon", [], {}, float("nan"), 0, -1)),
        {"nbf": 4_000_000_000},
    ],
    ids=str,
)
def test_claims_that_are_missing_or_wrong_are_refused_even_with_our_signature(changed):
    assert OURS.read(signed_anew()).account == "asha"
    refused(signed_anew(**changed))


def deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize("levels", [100, 700, 10_000])
def test_a_header_or_payload_as_deep_as_a_well_is_refused(levels: int):
    header, payload, signature = signed().split(".")
    for content in (deep(levels), b"[" * levels, b'{"alg":' * levels, b'{"alg":"EdDSA","typ":' + deep(levels) + b"}"):
        refused(f"{encoded(content)}.{payload}.{signature}")
        refused(f"{header}.{encoded(content)}.{signature}")


def test_even_a_short_text_that_is_too_deep_for_the_parser_is_refused():
    text = f"{encoded(b'[' * 1_400)}.e30.AAAA"
    assert len(text) < LONGEST
    refused(text)


def test_a_payload_that_is_too_deep_is_refused_even_with_our_signature():
    token = jwt.api_jws.encode(deep(600), OURS._private, algorithm="EdDSA")
    assert len(token) < LONGEST
    refused(token)


@pytest.mark.parametrize("text", ["a" * 100_000, "." * 100_000, "e30." * 25_000, "\x00" * 100_000])
def test_100_kb_are_refused_unread(text: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jwt, "decode", lambda *_, **__: pytest.fail("it was read"))
    refused(text)


@pytest.mark.parametrize(
    "header",
    [
        *({"alg": one} for one in (None, [], {}, 1, "", "EdDSA ", "eddsa", "RS256", "ES256", ["EdDSA"])),
        {"alg": "EdDSA", "crit": ["exp"]},
        {"alg": "EdDSA", "b64": False, "crit": ["b64"]},
        {"alg": "EdDSA", "kid": 7},
        {"alg": "EdDSA", "jku": "https://example.org/keys"},
        [],
        "EdDSA",
        None,
    ],
    ids=str,
)
def test_no_header_changes_what_is_verified(header):
    _, payload, signature = signed().split(".")
    refused(f"{encoded(json.dumps(header).encode())}.{payload}.{signature}")


@given(st.text())
@example("")
@example(".")
@example("..")
@example("a.b.c")
@example("\ud800")
@example("é.é.é")
@example("e30.e30.")
def test_no_text_gives_anything_but_a_refusal(text: str):
    with pytest.raises(Unauthenticated):
        OURS.read(text)


@given(st.lists(st.binary(max_size=200), min_size=3, max_size=3))
def test_no_three_parts_give_anything_but_a_refusal(parts: list[bytes]):
    with pytest.raises(Unauthenticated):
        OURS.read(".".join(map(encoded, parts)))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(
    json_values, st.dictionaries(st.sampled_from(["iss", "aud", "sub", "sid", "jti", "iat", "exp", "nbf"]), json_values)
)
def test_no_header_and_no_claims_give_anything_but_a_refusal(header, claims):
    refused_text = ".".join((encoded(json.dumps(header).encode()), encoded(json.dumps(claims).encode()), "AAAA"))
    with pytest.raises(Unauthenticated):
        OURS.read(refused_text)
    with pytest.raises(Unauthenticated):  # our signature over nonsense
        OURS.read(jwt.api_jws.encode(json.dumps(claims | {"aud": "other"}).encode(), OURS._private, algorithm="EdDSA"))
