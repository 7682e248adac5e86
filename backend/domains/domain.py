"""What a domain declares; routes, documentation, Celery tasks, schedules and preloading are derived from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from backend.audit.retention import Retention
from backend.jobs.kinds import JobKind
from backend.jobs.schedules.declaration import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A read that is answered at once: GET `path` with the fields of `query` as query parameters."""

    name: str
    path: str
    summary: str
    query: type[BaseModel]
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
    schedules: tuple[Schedule, ...] = ()  # which of the job kinds run by the clock
    retentions: tuple[Retention, ...] = ()  # which rows are archived and deleted when they are old
    models: tuple[str, ...] = ()  # names in the catalogue, preloaded by the workers
    preload: Callable[[], object] | None = None  # called once per interactive worker process before it takes work
    seed: Callable[..., str] | None = None  # fills an empty database with simulated data; returns one line for people
