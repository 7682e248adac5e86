"""What refresh tokens look like, and which are ours."""

import re
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from backend.security.refresh_tokens import RefreshTokens, digest
from backend.settings import Settings

LOGIN = UUID("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0")


def made_with(secret: str) -> RefreshTokens:
    return RefreshTokens(Settings(data_dir=Path("nowhere"), secret_key=SecretStr(secret), _env_file=None))


OURS = made_with("one secret of an installation")


def test_a_token_names_its_login_and_is_new_each_time():
    one, other = OURS.first(LOGIN), OURS.first(LOGIN)
    assert re.fullmatch(rf"sgr_{LOGIN.hex}_[A-Za-z0-9_-]{{43}}", one)
    assert one != other
    assert OURS.login_of(one) == OURS.login_of(other) == LOGIN


def test_a_token_is_followed_by_the_same_one_always_and_by_none_before():
    token = OURS.first(LOGIN)
    chain = [token]
    for _ in range(20):
        assert OURS.following(chain[-1], LOGIN) == OURS.following(chain[-1], LOGIN)
        chain.append(OURS.following(chain[-1], LOGIN))
    assert len({digest(one) for one in chain}) == len(chain)
    assert {OURS.login_of(one) for one in chain} == {LOGIN}


@given(st.data())
def test_a_changed_token_is_not_ours(data: st.DataObject):
    token = OURS.first(LOGIN)
    place = data.draw(st.integers(0, len(token) - 1))
    changed = token[:place] + data.draw(st.characters()) + token[place + 1 :]
    assert (OURS.login_of(changed) == LOGIN) is (changed == token)


def test_another_text_for_the_same_bytes_is_not_ours():
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = OURS.first(LOGIN)
    same_bytes = token[:-1] + letters[letters.index(token[-1]) ^ 1]
    assert OURS.login_of(same_bytes) is None


def test_a_token_for_another_login_or_of_another_installation_is_not_ours():
    token = OURS.first(LOGIN)
    assert OURS.login_of(token.replace(LOGIN.hex, uuid4().hex)) is None
    assert made_with("the secret of another installation").login_of(token) is None


@given(st.text())
@example(f"sgr_{LOGIN.hex}_{'A' * 43}")
@example(f"sgr_{LOGIN.hex}_{'A' * 43}\n")
@example("sgr_" + "0" * 100_000)
def test_no_other_text_is_ours(text: str):
    assert OURS.login_of(text) is None


@pytest.mark.parametrize("ending", ["", " ", "\n", "="])
def test_a_token_has_an_end(ending: str):
    assert (OURS.login_of(OURS.first(LOGIN) + ending) is None) is bool(ending)
