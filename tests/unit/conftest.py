import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import ClassVar
from uuid import UUID

import pytest
from flask import Flask
from pydantic import BaseModel, ConfigDict
from sqlalchemy import create_engine
from werkzeug.routing import Rule

from backend.app import create_app
from backend.domains.domain import Domain
from backend.errors import Unavailable
from backend.extensions import Table, db
from backend.inference.catalogue import Catalogue
from backend.inference.client import ModelClient
from backend.jobs.context import JobContext
from backend.jobs.execute import Worker
from backend.jobs.kinds import JobKind
from backend.jobs.leases import LeaseKeeper
from backend.settings import Settings

LEASE = timedelta(seconds=30)


class QuickRule(Rule):
    """A route whose functions that build its URL are compiled once for all applications: the most of making one."""

    _compiled: ClassVar[dict[object, Callable[..., tuple[str, str]]]] = {}

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:  # noqa: FBT001, FBT002 - werkzeug's signature
        key = (self.rule, tuple(self._trace), tuple((self.defaults or {}).items()), append_unknown)
        if key not in self._compiled:
            self._compiled[key] = super()._compile_builder(append_unknown)
        return self._compiled[key]


Flask.url_rule_class = QuickRule


_made: dict[frozenset[str], bytes] = {}


def create_tables() -> None:
    """Give the current application's empty SQLite file the tables: made once, then copied."""
    names = frozenset(Table.metadata.tables)
    if names not in _made:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "made.sqlite"
            engine = create_engine(f"sqlite:///{path}")
            Table.metadata.create_all(engine)
            engine.dispose()
            _made[names] = path.read_bytes()
    file = Path(db.engine.url.database or "")
    if not file.exists():
        file.write_bytes(_made[names])


class Number(BaseModel):
    model_config = ConfigDict(extra="forbid")
    value: int = 0


class Doubled(BaseModel):
    value: int


@dataclass
class SilentDoorbell:
    """Remembers rings instead of sending them; `waiting` is what the broker would hold."""

    rings: list[tuple[str, str, UUID]] = field(default_factory=list)
    held: int = 0

    def ring(self, kind: str, queue: str, job_id: UUID, *, priority: int = 3) -> None:
        assert priority in (0, 3, 6)
        self.rings.append((kind, queue, job_id))

    def publish(self, kind: str, queue: str, job_id: UUID, *, priority: int = 3) -> None:
        self.ring(kind, queue, job_id, priority=priority)

    def waiting(self, queue: str) -> int:
        assert queue
        return self.held


class Behaviour:
    """What the test job does; tests replace `act`."""

    def __init__(self) -> None:
        self.calls = 0

    def act(self, request: Number, context: JobContext) -> Doubled:
        assert context.job_id
        return Doubled(value=2 * request.value)

    def run(self, request: Number, context: JobContext) -> Doubled:
        self.calls += 1
        return self.act(request, context)


@pytest.fixture
def behaviour() -> Behaviour:
    return Behaviour()


@pytest.fixture
def kind(behaviour: Behaviour) -> JobKind:
    return JobKind(
        name="test.double",
        path="/double",
        summary="Double a number",
        request=Number,
        result=Doubled,
        run=behaviour.run,
        timeout=5,
        retries=2,
        retry_on=(Unavailable,),
    )


@pytest.fixture
def app(tmp_path: Path, kind: JobKind) -> Iterator[Flask]:
    settings = Settings(data_dir=tmp_path, models_dir=tmp_path / "models", log_level="ERROR", _env_file=None)
    domain = Domain(name="test", tables="backend.jobs.tables", job_kinds=(kind,))
    app = create_app(settings, (domain,))
    app.extensions["doorbell"] = SilentDoorbell()
    with app.app_context():
        create_tables()
        yield app
        db.engine.dispose()


@pytest.fixture
def doorbell(app: Flask) -> SilentDoorbell:
    doorbell: SilentDoorbell = app.extensions["doorbell"]
    return doorbell


@pytest.fixture
def worker(app: Flask, tmp_path: Path) -> Worker:
    models = ModelClient(Catalogue(tmp_path / "models"))
    leases = LeaseKeeper(app.app_context, lease=LEASE)
    return Worker(name="w1", models=models, leases=leases, lease=LEASE, news=app.extensions["news"])
