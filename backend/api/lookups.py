"""Reads and commands that domains declare and that are answered at once."""

from functools import partial

from flask import Blueprint, Response

from backend.api.answers import answer
from backend.api.guard import guarded
from backend.api.parse import body_as, query_as
from backend.domains.domain import Command, Lookup


def add_lookup_routes(blueprint: Blueprint, lookups: tuple[Lookup, ...]) -> None:
    """Give every lookup its route."""
    for lookup in lookups:
        endpoint = f"lookup {lookup.name}".replace(".", " ")
        blueprint.add_url_rule(lookup.path, endpoint, guarded(partial(_look_up, lookup), lookup.permission))


def add_command_routes(blueprint: Blueprint, commands: tuple[Command, ...]) -> None:
    """Give every command its route."""
    for command in commands:
        endpoint = f"command {command.name}".replace(".", " ")
        view = guarded(partial(_carry_out, command), command.permission)
        blueprint.add_url_rule(command.path, endpoint, view, methods=["POST"])


def _look_up(lookup: Lookup, **from_path: object) -> Response:
    return answer(lookup.run(query_as(lookup.query, **from_path)))


def _carry_out(command: Command, **from_path: object) -> Response:
    return answer(command.run(body_as(command.request, **from_path)))
