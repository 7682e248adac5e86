"""`flask accounts password` as an operator sees it."""

import io
import sys

import pytest
from click.testing import CliRunner
from flask import Flask

from backend.clock import utc_now
from backend.errors import Unauthenticated
from backend.security import password_command as module
from backend.security.logins import log_in
from backend.security.password_command import password_command
from tests.people import PASSWORD, add_person, quick_passwords

NEW = "another four words"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _asha(app: Flask):
    with quick_passwords():
        add_person()
        yield


def run(name: str, sent: str):
    return CliRunner().invoke(password_command, [name], input=sent)


def gets_in(password: str) -> bool:
    try:
        return log_in("asha", password, utc_now()) is not None
    except Unauthenticated:
        return False


@pytest.mark.parametrize("line", [NEW, f"{NEW}\n", f"{NEW}\r\n", f"{NEW}\nand nothing after it\n"])
def test_without_a_terminal_the_password_is_one_line(line: str):
    ended = run("asha", line)
    assert ended.exit_code == 0, ended.output
    assert NEW not in ended.output
    assert gets_in(NEW)
    assert not gets_in(PASSWORD)


def test_spaces_around_a_password_are_part_of_it():
    assert run("asha", f"  {NEW} \n").exit_code == 0
    assert gets_in(f"  {NEW} ")


def test_at_a_terminal_it_is_asked_for_twice_and_hidden(monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(module.click, "prompt", lambda text, **how: asked.append((text, how)) or NEW)
    password_command.callback("asha")
    assert asked == [("Password", {"hide_input": True, "confirmation_prompt": True})]
    assert gets_in(NEW)


@pytest.mark.parametrize(("name", "line", "why"), [("asha", "", "12 to 200"), ("asha", "short\n", "12 to 200")])
def test_a_password_that_is_refused_is_not_repeated(name: str, line: str, why: str):
    ended = run(name, line)
    assert ended.exit_code == 1
    assert why in ended.output
    assert "short" not in ended.output
    assert gets_in(PASSWORD)


def test_an_account_that_is_not_there_is_named():
    ended = run("nobody", NEW)
    assert (ended.exit_code, ended.stderr) == (1, "Error: no account nobody\n")
