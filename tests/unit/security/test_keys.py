"""The format of API keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.security.keys import digest, is_same, make_key, split

PEPPER = bytes(range(32))


def test_a_key_is_split_into_its_id_and_a_secret_that_has_its_digest():
    made = make_key(PEPPER)
    key_id, secret = split(made.text)
    assert key_id == made.id
    assert digest(secret, PEPPER) == made.digest
    assert len(made.digest) == 64


def test_neither_the_secret_nor_its_copy_is_in_what_is_kept():
    made = make_key(PEPPER)
    _, secret = split(made.text)
    assert secret not in made.id + made.digest
    assert digest(secret, bytes(32)) != made.digest, "without the pepper nobody can make the digest"


def test_no_two_keys_are_alike():
    made = [make_key(PEPPER) for _ in range(50)]
    assert len({one.id for one in made}) == len({one.digest for one in made}) == 50


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sgk_",
        f"sgk_3f9a1c02_{42 * 'a'}",
        f"sgk_3f9a1c02_{44 * 'a'}",
        f"sgk_3F9A1C02_{43 * 'a'}",
        f"sgk_3f9a1c0_{43 * 'a'}",
        f"SGK_3f9a1c02_{43 * 'a'}",
        f"sgk_3f9a1c02_{42 * 'a'}=",
        f" sgk_3f9a1c02_{43 * 'a'}",
        f"sgk_3f9a1c02_{43 * 'a'}\n",
        "eyJhbGciOiJFZERTQSJ9.e30.c2ln",
    ],
)
def test_what_is_no_key_is_not_split(text: str):
    assert split(text) is None


@given(st.text())
def test_any_text_is_split_or_not_and_nothing_is_raised(text: str):
    found = split(text)
    assert found is None or f"sgk_{found[0]}_{found[1]}" == text


@given(one=st.text(max_size=50), other=st.text(max_size=50))
def test_digests_are_the_same_only_for_the_same_secret(one: str, other: str):
    assert is_same(digest(one, PEPPER), digest(other, PEPPER)) == (one == other)
