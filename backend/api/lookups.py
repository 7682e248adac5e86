"""Reads that domains declare and that are answered at once."""

from functools import partial

from flask import Blueprint, Response

from backend.api.answers import answer
from backend.api.parse import query_as
from backend.domains.domain import Lookup


def add_lookup_routes(blueprint: Blueprint, lookups: tuple[Lookup, ...]) -> None:
    """Give every lookup its route."""
    for lookup in lookups:
        blueprint.add_url_rule(lookup.path, f"lookup {lookup.name}".replace(".", " "), partial(_look_up, lookup))


def _look_up(lookup: Lookup) -> Response:
    return answer(lookup.run(query_as(lookup.query)))
