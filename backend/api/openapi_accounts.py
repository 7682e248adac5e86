"""The description of the routes of accounts and their keys."""

from typing import Any

from pydantic import BaseModel

from backend.api.accounts import KeyNew, Rotation
from backend.api.openapi_parts import Described, Paths, operation
from backend.security.schemas import AccountList, AccountNew, AccountPatch, AccountView, KeyList, KeyWithText

INPUTS: tuple[type[BaseModel], ...] = (AccountNew, AccountPatch, KeyNew, Rotation)
OUTPUTS: tuple[type[BaseModel], ...] = (AccountView, AccountList, KeyList, KeyWithText)


def describe_accounts(paths: Paths) -> None:
    """Describe accounts, and the keys by which they show who they are."""
    every, its, key = "/accounts", "/accounts/<name>", "/keys/<key_id>"
    one, shown = paths.ok(AccountView), "Made; `key` is shown here only."
    made = paths.ok(AccountView, status="201", says="Made; `Location` is its address.")
    made_key = paths.ok(KeyWithText, status="201", says=shown)
    asked, missing = paths.problems(401, 403, 503), paths.problems(404)
    body = paths.problems(400, 409, 413, 415, 422)

    def add(method: str, path: str, name: str, summary: str, answers: Described, **more: Any) -> None:
        paths.add(method, path, operation(name, "accounts", summary, answers | asked), **more)

    def sent(model: type[BaseModel], path: str = "") -> Described:
        return {"requestBody": paths.body(model, path=path)}

    add("get", every, "accounts.list", "List the accounts", paths.ok(AccountList))
    add("post", every, "accounts.create", "Make an account", made | body, **sent(AccountNew))
    add("get", its, "accounts.get", "Get one account", one | missing)
    summary = "Change an account's role, disable or enable it"
    add("patch", its, "accounts.change", summary, one | body | missing, **sent(AccountPatch))
    add("get", f"{its}/keys", "keys.list", "List the keys of an account", paths.ok(KeyList) | missing)
    add("post", f"{its}/keys", "keys.create", "Make a key", made_key | body | missing, **sent(KeyNew, its))
    summary = "Make a key in place of another"
    add("post", f"{key}/rotate", "keys.rotate", summary, made_key | body | missing, **sent(Rotation, key))
    revoked = {"204": {"description": "It is revoked."}}
    add("delete", key, "keys.revoke", "Revoke a key", revoked | missing)
