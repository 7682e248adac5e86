"""The description of logging in and of passwords, and of what every route asks for."""

import re
from typing import Any, Final

from flask import Flask
from pydantic import BaseModel

from backend.api.auth import Credentials, NewPassword, PasswordChange, PrincipalView, Refresh, TokensView
from backend.api.guard import IDENTIFIED, OPEN
from backend.api.openapi_parts import Described, Paths, operation

INPUTS: tuple[type[BaseModel], ...] = (Credentials, Refresh, NewPassword, PasswordChange)
OUTPUTS: tuple[type[BaseModel], ...] = (TokensView, PrincipalView)
SCHEME: Final = "bearer"
SCHEMES: Final[Described] = {
    SCHEME: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "API key or JWT",
        "description": "An API key (`sgk_…`), or the access token of a login. A development machine asks for none.",
    }
}


def describe_auth(paths: Paths) -> None:
    """Describe logins, and passwords."""
    done = {"204": {"description": "Done."}}
    tokens, me = paths.ok(TokensView), paths.ok(PrincipalView)
    body, busy = paths.problems(400, 413, 415, 422), paths.problems(503)
    opened = tokens | paths.problems(401) | body | busy

    def add(method: str, path: str, name: str, summary: str, answers: Described, **more: Any) -> None:
        paths.add(method, path, operation(f"auth.{name}", "auth", summary, answers), **more)

    def sent(model: type[BaseModel]) -> Described:
        return {"requestBody": paths.body(model)}

    add("post", "/auth/login", "login", "Log in with a password", opened, **sent(Credentials))
    add("post", "/auth/refresh", "refresh", "Get new tokens for a refresh token", opened, **sent(Refresh))
    add("post", "/auth/logout", "logout", "End the login", done | paths.problems(409) | busy)
    add("get", "/auth/me", "me", "Say who I am and what I may do", me | busy)
    mine = done | body | paths.problems(404) | busy
    add("post", "/auth/password", "change_password", "Change my password", mine, **sent(PasswordChange))
    summary = "Give an account a password"
    add("put", "/accounts/<name>/password", "set_password", summary, mine, **sent(NewPassword))


def say_who_may(described: Described, app: Flask, *, refused: Described) -> None:
    """Add to described paths what their views ask for: nothing, a known principal, or one with a permission.

    Args:
        described: the operations, by path and method.
        app: the application whose views say what they ask for.
        refused: the answers 401 and 403.
    """
    for rule in app.url_map.iter_rules():
        operations = described.get(re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), {})
        for method in operations.keys() & {name.lower() for name in rule.methods or ()}:
            asked = vars(app.view_functions[rule.endpoint])["permission"]
            _say(operations[method], asked, refused)


def _say(one: Described, asked: str, refused: Described) -> None:
    if asked == OPEN:
        one["security"] = []
        return
    one["security"] = [{SCHEME: [] if asked == IDENTIFIED else [str(asked)]}]
    statuses = ("401",) if asked == IDENTIFIED else ("401", "403")
    one["responses"] = {status: refused[status] for status in statuses} | one["responses"]
