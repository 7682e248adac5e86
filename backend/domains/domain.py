"""What a domain declares; routes, documentation, Celery tasks, schedules and preloading are derived from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from backend.audit.retention import Retention
from backend.batches.declaration import RowScorer
from backend.jobs.kinds import JobKind
from backend.jobs.schedules.declaration import Schedule
from backend.resources.declaration import Importer, Resource
from backend.security.permissions import Permission


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A read that is answered at once: GET `path`; the fields of `query` are query parameters, or <int:field> in it."""

    name: str
    path: str
    summary: str
    permission: Permission
    query: type[BaseModel]
    result: type[BaseModel]
    run: Callable[[Any], BaseModel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A write that is carried out at once: POST `path` with `request` as body; `run` opens its own transaction."""

    name: str
    path: str
    summary: str
    permission: Permission
    request: type[BaseModel]
    result: type[BaseModel]
    run: Callable[[Any], BaseModel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """One field of health care: its jobs, its reads, its models and what its workers hold in memory.

    `platform` is the one that is no field of care: what every installation does for itself.
    """

    name: str
    tables: str  # dotted path of the module that declares the tables, imported with the application
    job_kinds: tuple[JobKind, ...]
    lookups: tuple[Lookup, ...] = ()
    commands: tuple[Command, ...] = ()
    resources: tuple[Resource, ...] = ()  # the records it keeps for its users, which can also be imported
    importers: tuple[Importer, ...] = ()  # what else can be imported
    scorers: tuple[RowScorer, ...] = ()  # what can be asked about the rows of a file, beside the models
    schedules: tuple[Schedule, ...] = ()  # which of the job kinds run by the clock
    retentions: tuple[Retention, ...] = ()  # which rows are archived and deleted when they are old
    models: tuple[str, ...] = ()  # names in the catalogue, preloaded by the workers
    preload: Callable[[], object] | None = None  # called once per interactive worker process before it takes work
    seed: Callable[..., str] | None = None  # fills an empty database with simulated data; returns one line for people
