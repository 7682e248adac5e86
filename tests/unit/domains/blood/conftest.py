import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from flask import Flask
from numpy.typing import ArrayLike
from sqlalchemy import delete, update

from backend.app import create_app
from backend.domains.blood import outreach_jobs
from backend.domains.blood.donor_pool import DonorPool
from backend.domains.blood.outreach_schemas import PlanRequest, PlanResult
from backend.domains.blood.records import GROUP_CODE, Donors, Sex
from backend.domains.blood.seed import seed
from backend.domains.blood.tables import BloodUnit, ContactOutcome
from backend.extensions import db, transaction
from backend.inference.catalogue import Catalogue
from backend.inference.client import ModelClient
from backend.jobs.claim import claim
from backend.jobs.context import JobContext, RecordingModels
from backend.jobs.submit import submit
from backend.settings import PROJECT, Settings
from tests.unit.batches.file_service import FileService
from tests.unit.conftest import create_tables
from tests.unit.domains.blood.outcome_cases import a_donor
from tests.unit.domains.blood.outreach_service import KIND, NOON

SEEDED_DONORS = 600

# column: its type, and the value of donors who are adult, well and willing, in the middle of Kerala
COLUMNS: dict[str, tuple[type[np.generic], float]] = {
    "latitude": (np.float64, 10.0),
    "longitude": (np.float64, 76.5),
    "district": (np.int8, 6),
    "blood_group": (np.int8, GROUP_CODE["O-"]),
    "sex": (np.int8, Sex.MALE),
    "born_at": (np.float64, 631_132_200.0),  # 1990-01-01 in India
    "weight_kg": (np.float32, 70.0),
    "hemoglobin_g_dl": (np.float32, 14.5),
    "registered_at": (np.float64, 1_600_000_000.0),
    "consented": (np.bool_, True),
    "deferred_until": (np.float64, np.nan),
}


@pytest.fixture(scope="session")
def make_donors() -> Callable[..., Donors]:
    """Donors by column; a column that is not given is that of an adult, well and willing donor."""

    def make(count: int, **columns: ArrayLike) -> Donors:
        filled = {
            name: np.broadcast_to(np.asarray(columns.get(name, default), dtype=dtype), count).copy()
            for name, (dtype, default) in COLUMNS.items()
        }
        return Donors(id=np.arange(1, count + 1), **filled)

    return make


@contextmanager
def application(folder: Path) -> Iterator[Flask]:
    """The whole application on the SQLite file of a folder, empty if there is none, with the committed models."""
    app = create_app(Settings(data_dir=folder, log_level="ERROR", _env_file=None))
    with app.app_context():
        create_tables()
        yield app
        db.engine.dispose()


@pytest.fixture
def blood_app(tmp_path: Path) -> Iterator[Flask]:
    """The application without a donor."""
    with application(tmp_path) as app:
        yield app


@pytest.fixture(scope="session")
def seeded_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a simulated service, to be copied."""
    folder = tmp_path_factory.mktemp("seeded")
    with application(folder):
        seed(donors=SEEDED_DONORS, seed=5, progress=lambda _fraction, _note: None)
    return folder


@pytest.fixture
def seeded_app(seeded_folder: Path, tmp_path: Path) -> Iterator[Flask]:
    """The application with a simulated service of `SEEDED_DONORS` donors, its own to change."""
    shutil.copytree(seeded_folder, tmp_path, dirs_exist_ok=True)
    with application(tmp_path) as app:
        yield app


@pytest.fixture(scope="session")
def released_models() -> ModelClient:
    return ModelClient(Catalogue(PROJECT / "models_artifacts"))


@pytest.fixture
def outreach(seeded_app: Flask, released_models, monkeypatch) -> FileService:
    monkeypatch.setattr(outreach_jobs, "POOL", DonorPool())
    seeded_app.extensions["models"] = released_models
    with transaction() as session:  # no stock, and nobody is bound by what the simulation left open
        session.execute(delete(BloodUnit))
        session.execute(update(ContactOutcome).where(ContactOutcome.outcome.is_(None)).values(outcome="late_cancel"))
        session.add_all(a_donor(district="Ernakulam", latitude=9.97, longitude=76.28 + n / 500) for n in range(12))
    return FileService(seeded_app)


@pytest.fixture
def plan(outreach: FileService, released_models) -> Callable[..., PlanResult]:
    """Plans for a request at noon, or at another moment."""

    def planned(request_id: int, *, at=NOON, hold=True) -> PlanResult:
        request = PlanRequest(request_id=request_id, hold=hold)
        job = submit(KIND, request)
        (held,) = claim(KIND, job.id, worker="w", lease=timedelta(seconds=30))
        recording = RecordingModels(released_models)
        context = JobContext(job_id=held.job_id, attempt=held.attempt, models=recording, clock=lambda: at)
        return outreach_jobs.plan_outreach(request, context)

    return planned
