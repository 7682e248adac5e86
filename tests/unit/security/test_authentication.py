"""From what a request shows to who it comes from."""

from datetime import timedelta
from uuid import uuid4

import pytest
from flask import Flask
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from werkzeug.datastructures import Headers

from backend.clock import utc_now
from backend.errors import Unauthenticated
from backend.extensions import transaction
from backend.security import keys
from backend.security.accounts import set_role
from backend.security.authentication import FORWARDED, Authenticator, Shown, shown_by
from backend.security.directory import Directory
from backend.security.permissions import PERMISSIONS, Permission, Role
from backend.security.principals import DEVELOPMENT, Principal
from backend.security.tables import Account, ApiKey, Login
from backend.security.tokens import LIFETIME, AccessTokens
from backend.settings import Settings
from tests.accounts import headers_of
from tests.people import add_person

SECRET = "one secret of this installation, long enough"  # noqa: S105 - of no installation
ANONYMOUS = Shown(authorization=None, remote="10.0.0.9", host="sanguine.example.org", forwarded=False)


@pytest.fixture
def authenticator(app: Flask) -> Authenticator:
    return app.extensions["authenticator"]


@pytest.fixture
def production(app: Flask) -> Authenticator:
    """An authenticator of a production installation on the same database."""
    made = Settings(
        environment="production",
        secret_key=SecretStr(SECRET),
        database_url="postgresql://unused",
        broker_url="redis://unused",
        _env_file=None,
    )
    return Authenticator(made, Directory())


def identify(authenticator: Authenticator, authorization: str) -> Principal:
    return authenticator.identify(Shown(authorization, remote="10.0.0.9", host="sanguine", forwarded=True))


def refused(authenticator: Authenticator, authorization: str) -> str:
    with pytest.raises(Unauthenticated) as error:
        identify(authenticator, authorization)
    return str(error.value)


def asking(remote: str | None = "127.0.0.1", **headers: str) -> Shown:
    """Return what a request to a development machine shows."""
    return shown_by(
        Headers({"Host": "localhost:8000"} | {k.replace("_", "-"): v for k, v in headers.items()}).get, remote
    )


def signed(settings_: Settings, account: str, *, ended: bool = False) -> str:
    """Store a login of an account, and return its access token."""
    now, login = utc_now(), uuid4()
    with transaction() as session:
        row = Login(id=login, account=account, refresh_digest="0" * 64, created_at=now, refreshed_at=now)
        row.expires_at, row.ended_at = now + timedelta(hours=1), now if ended else None
        session.add(row)
    return AccessTokens(settings_).sign(account, login, at=now, until=now + LIFETIME)


def test_a_key_speaks_for_its_account(authenticator: Authenticator):
    shown = headers_of("lab", Role.SERVICE)["Authorization"]
    principal = identify(authenticator, shown)
    assert (principal.account, principal.role) == ("lab", Role.SERVICE)
    assert principal.permissions == PERMISSIONS[Role.SERVICE]
    assert principal.through == f"key {shown.split('_')[1]}"


def test_a_key_allows_what_both_it_and_its_role_allow(authenticator: Authenticator):
    only = (Permission.PREDICT, Permission.MANAGE_ACCOUNTS)
    shown = headers_of("lab", Role.SERVICE, permissions=only)["Authorization"]
    assert identify(authenticator, shown).permissions == {Permission.PREDICT}
    nothing = headers_of("lab", Role.SERVICE, permissions=())["Authorization"]
    assert identify(authenticator, nothing).permissions == frozenset()


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_may_be_written_as_one_likes(authenticator: Authenticator, scheme: str):
    _, _, key = headers_of("lab")["Authorization"].partition(" ")
    assert identify(authenticator, f"{scheme} {key}").account == "lab"


@pytest.mark.parametrize("form", ["", "Bearer", "Bearer ", "Basic {key}", "{key}", "Token {key}", "Bearer\t{key}"])
def test_another_scheme_is_refused_with_what_to_write(authenticator: Authenticator, form: str):
    _, _, key = headers_of("lab")["Authorization"].partition(" ")
    assert "must read `Authorization: Bearer …`" in refused(authenticator, form.format(key=key))


def test_a_wrong_secret_and_an_unknown_key_are_refused_alike(authenticator: Authenticator):
    shown = headers_of("lab")["Authorization"]
    other_secret = shown[:-1] + ("A" if shown[-1] != "A" else "B")
    unknown = f"Bearer sgk_00000000_{'A' * 43}"
    said = {refused(authenticator, other_secret), refused(authenticator, unknown)}
    assert said == {"there is no such API key, or it was revoked"}


def test_an_unknown_key_is_hashed_like_a_known_one(authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch):
    made = []
    digest = keys.digest
    monkeypatch.setattr(keys, "digest", lambda secret, pepper: made.append(secret) or digest(secret, pepper))
    refused(authenticator, f"Bearer sgk_00000000_{'A' * 43}")
    assert made == ["A" * 43]


@pytest.mark.parametrize("change", ["revoked_at", "expires_at"])
def test_a_key_that_was_revoked_or_has_expired_is_refused(authenticator: Authenticator, change: str):
    shown = headers_of("lab")["Authorization"]
    with transaction() as session:
        setattr(session.get_one(ApiKey, shown.split("_")[1]), change, utc_now())
    assert ("expired" if change == "expires_at" else "revoked") in refused(authenticator, shown)


def test_a_token_speaks_for_the_account_of_its_login(app: Flask, authenticator: Authenticator):
    token = signed(app.extensions["settings"], add_person(role=Role.AUDITOR))
    principal = identify(authenticator, f"Bearer {token}")
    assert (principal.account, principal.permissions) == ("asha", PERMISSIONS[Role.AUDITOR])
    assert principal.through.startswith("login ")


def test_roles_are_read_when_asked_and_not_from_the_token(app: Flask, authenticator: Authenticator):
    token = signed(app.extensions["settings"], add_person(role=Role.CLINICIAN))
    assert identify(authenticator, f"Bearer {token}").may(Permission.READ_RECORDS)
    set_role("asha", Role.AUDITOR, at=utc_now())
    assert not identify(authenticator, f"Bearer {token}").may(Permission.READ_RECORDS)


def test_a_token_of_a_login_that_ended_or_is_somebody_elses_is_refused(app: Flask, authenticator: Authenticator):
    own = app.extensions["settings"]
    add_person()
    add_person("bala")
    assert "log in again" in refused(authenticator, f"Bearer {signed(own, 'asha', ended=True)}")
    login = AccessTokens(own).read(signed(own, "asha")).login
    for name in ("bala", "nobody"):
        mixed = AccessTokens(own).sign(name, login, at=utc_now(), until=utc_now() + LIFETIME)
        assert "log in again" in refused(authenticator, f"Bearer {mixed}")
    of_no_login = AccessTokens(own).sign("asha", uuid4(), at=utc_now(), until=utc_now() + LIFETIME)
    assert "log in again" in refused(authenticator, f"Bearer {of_no_login}")


def test_a_disabled_accounts_token_and_key_are_refused(app: Flask, authenticator: Authenticator):
    key = headers_of("asha", Role.CLINICIAN)["Authorization"]
    token = signed(app.extensions["settings"], "asha")
    assert identify(authenticator, key)
    assert identify(authenticator, f"Bearer {token}")
    with transaction() as session:
        session.get_one(Account, "asha").disabled_at = utc_now()
    app.extensions["directory"].forget()
    assert "revoked" in refused(authenticator, key)
    assert "log in again" in refused(authenticator, f"Bearer {token}")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text())
@example("Bearer " + "[" * 10_000)
@example("Bearer " + "a" * 100_000)
@example("Bearer \ud800")
@example("Bearer sgk_00000000_" + "A" * 43 + "\n")
def test_no_text_gives_anything_but_a_refusal_that_does_not_repeat_it(authenticator: Authenticator, text: str):
    for shown in (text, f"Bearer {text}"):
        said = refused(authenticator, shown)
        assert len(text) < 20 or text not in said


@pytest.mark.parametrize("remote", ["127.0.0.1", "127.8.9.10", "::1"])
@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8000"])
def test_whoever_sits_at_a_development_machine_is_not_asked(authenticator: Authenticator, remote: str, host: str):
    assert authenticator.identify(asking(remote, Host=host)) is DEVELOPMENT


def is_asked(authenticator: Authenticator, shown: Shown) -> None:
    with pytest.raises(Unauthenticated, match="show who you are"):
        authenticator.identify(shown)


@pytest.mark.parametrize("remote", [None, "", "10.0.0.9", "192.168.1.4", "fe80::1%eth0", "0.0.0.0", "::", "localhost"])  # noqa: S104
def test_another_machine_is_asked(authenticator: Authenticator, remote: str | None):
    is_asked(authenticator, asking(remote))


@pytest.mark.parametrize(
    "host",
    [
        "",
        "sanguine.example.org",
        "localhost.example.org",
        "localhost:",
        "localhost:80:80",
        "127.0.0.1.nip.io:80",
        "::1",
    ],
)
def test_a_page_whose_name_leads_to_this_machine_is_asked(authenticator: Authenticator, host: str):
    is_asked(authenticator, asking(Host=host))


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "anything"])
def test_a_page_of_another_site_is_asked_though_it_says_no_origin(authenticator: Authenticator, site: str):
    is_asked(authenticator, asking(**{"Sec-Fetch-Site": site}))


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_a_page_of_this_site_and_an_address_that_was_typed_in_are_not(authenticator: Authenticator, site: str):
    assert authenticator.identify(asking(**{"Sec-Fetch-Site": site})) is DEVELOPMENT


@pytest.mark.parametrize("name", FORWARDED)
def test_whoever_comes_through_a_proxy_is_asked(authenticator: Authenticator, name: str):
    is_asked(authenticator, asking(**{name: "127.0.0.1"}))
    is_asked(authenticator, asking(**{name.lower(): ""}))


@pytest.mark.parametrize("origin", ["https://example.org", "null", "http://localhost:3000", "", "localhost:8000"])
def test_a_page_of_another_site_is_asked(authenticator: Authenticator, origin: str):
    is_asked(authenticator, asking(Origin=origin))


def test_a_page_of_this_site_is_not_asked(authenticator: Authenticator):
    assert authenticator.identify(asking(Origin="http://localhost:8000")) is DEVELOPMENT


def test_whoever_shows_something_at_a_development_machine_is_taken_at_their_word(authenticator: Authenticator):
    key = headers_of("lab", Role.VIEWER)["Authorization"]
    assert authenticator.identify(asking(Authorization=key)).account == "lab"
    for wrong in ("", "Bearer nonsense", "Basic eDp5"):
        with pytest.raises(Unauthenticated):
            authenticator.identify(asking(Authorization=wrong))


def test_production_asks_everybody_also_at_the_machine_itself(production: Authenticator):
    is_asked(production, asking())
    is_asked(production, ANONYMOUS)


def test_what_one_installation_gave_out_is_nothing_to_another(app: Flask, production: Authenticator):
    key = headers_of("lab")["Authorization"]
    token = signed(app.extensions["settings"], "lab")
    refused(production, key)
    refused(production, f"Bearer {token}")


def test_a_header_is_found_whatever_its_case():
    shown = shown_by(
        Headers({"host": "localhost", "AUTHORIZATION": "Bearer x", "x-forwarded-for": "1.2.3.4"}).get, "::1"
    )
    assert shown == Shown(authorization="Bearer x", remote="::1", host="localhost", forwarded=True)
