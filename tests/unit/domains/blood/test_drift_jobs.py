"""Measuring drift on a real SQLite file, with the committed models and their references."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from flask import Flask
from pydantic import ValidationError
from sqlalchemy import delete, update

from backend.app import create_app
from backend.domains.blood import seed as seeding
from backend.domains.blood.drift_jobs import OUTPUT, WINDOW, WORST, measure_drift
from backend.domains.blood.drift_lookup import drift_report
from backend.domains.blood.drift_queries import AsksMade, read_asks
from backend.domains.blood.drift_rows import WATCHED
from backend.domains.blood.drift_schemas import DriftPage, DriftQuery, DriftRequest, DriftResult
from backend.domains.blood.horizons import DAY
from backend.domains.blood.simulate import World, simulate
from backend.domains.blood.tables import BloodRequest, ContactOutcome, Donor
from backend.domains.blood.training.dataset import Dataset
from backend.errors import NotFound
from backend.extensions import db, transaction
from backend.jobs.context import JobContext, RecordingModels
from backend.jobs.tables import Job
from backend.settings import Settings
from tests.unit.conftest import create_tables

NOW = datetime(2026, 6, 1, 6, 0, tzinfo=UTC)
HARDLY_VARY = ("distance_km", "urgency", "group_match", "is_weekend", "hour_sin", "hour_cos")


@pytest.fixture(scope="module")
def world() -> World:
    """A simulated service that ends at `NOW`."""
    return simulate(donors=1600, seed=4, end=NOW.timestamp(), years=0.5)


@pytest.fixture(scope="module")
def seeded(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with that service."""
    folder = tmp_path_factory.mktemp("seeded")
    app = create_app(Settings(data_dir=folder, log_level="ERROR", _env_file=None))
    with app.app_context(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(seeding, "utc_now", lambda: NOW)
        patch.setattr(seeding, "simulate", lambda **_arguments: world)
        create_tables()
        seeding.seed(donors=len(world.donors), seed=4, progress=lambda _fraction, _note: None)
        db.engine.dispose()
    return folder / "sanguine.sqlite"


@pytest.fixture
def service(seeded: Path, tmp_path: Path) -> Iterator[Flask]:
    shutil.copy(seeded, tmp_path)
    app = create_app(Settings(data_dir=tmp_path, log_level="ERROR", _env_file=None))
    with app.app_context():
        yield app
        db.engine.dispose()


def measure(app: Flask, *, at: datetime = NOW) -> DriftResult:
    job_id = uuid4()
    with transaction() as session:
        session.add(Job(id=job_id, kind="a", queue="batch", request={}, max_attempts=1, created_at=at, available_at=at))
    context = JobContext(job_id=job_id, models=RecordingModels(app.extensions["models"]), clock=lambda: at)
    result = measure_drift(DriftRequest(), context)
    with transaction() as session:
        session.add_all(context.stored)
    return result


def read(model: str | None = None) -> DriftPage:
    return drift_report(DriftQuery(model=model))


def verdicts_of(model: str) -> dict[str, str]:
    return {row.column: row.verdict for row in read(model).columns}


def asks_made() -> AsksMade:
    with transaction(read_only=True) as session:
        return read_asks(session, since=NOW - WINDOW, until=NOW)


def test_an_empty_service_has_too_few_asks(blood_app: Flask):
    result = measure(blood_app)
    assert [model.model for model in result.models] == list(WATCHED)
    for model in result.models:
        assert (model.n, model.drifted, model.worst) == (0, 0, [])
        assert model.reason == "too few asks or requests to say anything"
    rows = read().columns
    assert {(row.n, row.effect, row.p, row.verdict) for row in rows} == {(0, None, None, "too_few")}


def test_too_few_requests_say_nothing_however_many_were_asked(service: Flask):
    kept = np.unique(asks_made().request)[:49].tolist()
    with transaction() as session:
        session.execute(update(BloodRequest).where(BloodRequest.id.not_in(kept)).values(cancelled_at=NOW))
    result = measure(service)
    assert {model.n >= 200 for model in result.models} == {True}
    assert {model.reason for model in result.models} == {"too few asks or requests to say anything"}


def test_what_the_simulated_world_keeps_is_stable(service: Flask):
    result = measure(service)
    assert {model.reason for model in result.models} == {None}
    found = verdicts_of("donor_availability")
    assert {column: found[column] for column in HARDLY_VARY} == dict.fromkeys(HARDLY_VARY, "stable")
    for model in ("donor_availability", "donor_response_time", "donor_seeker_match"):
        assert verdicts_of(model)[OUTPUT] == "stable"


def test_a_column_that_was_altered_drifts_and_leaves_the_others(service: Flask):
    measure(service)
    before = {row.column: row for row in read("donor_seeker_match").columns}
    with transaction() as session:
        session.execute(update(Donor).values(weight_kg=Donor.weight_kg * 2.2))  # pounds
    result = measure(service, at=NOW + timedelta(seconds=1))
    after = {row.column: row for row in read("donor_seeker_match").columns}
    assert (before["weight_kg"].verdict, after["weight_kg"].verdict) == ("stable", "drifted")
    assert {name for name in before if before[name].effect != after[name].effect} <= {"weight_kg", OUTPUT}
    (match,) = (model for model in result.models if model.model == "donor_seeker_match")
    assert match.worst[0].column == "weight_kg"
    assert [column.effect for column in match.worst] == sorted((c.effect for c in match.worst), reverse=True)
    assert len(match.worst) == min(match.drifted, WORST)


def test_the_report_is_that_of_the_latest_run_by_model_or_of_all(service: Flask):
    first = measure(service)
    second = measure(service, at=NOW + timedelta(days=1))
    everything = read()
    assert everything.at == second.at > first.at
    assert {row.model for row in everything.columns} == set(WATCHED)
    for model in second.models:
        page = read(model.model)
        assert page.job_id == everything.job_id
        assert {(row.model, row.version, row.n) for row in page.columns} == {(model.model, model.version, model.n)}
        names = service.extensions["models"].manifest(model.model).column_names
        assert [row.column for row in page.columns] == [*names, OUTPUT]
        assert sum(row.verdict == "drifted" for row in page.columns) == model.drifted


def test_before_the_first_run_there_is_nothing_to_read(blood_app: Flask):
    with pytest.raises(NotFound, match="POST /drift"):
        read()
    with pytest.raises(NotFound, match="donor_reliability"):
        read("donor_reliability")


def test_a_model_nobody_knows_is_refused():
    with pytest.raises(ValidationError, match="unknown model; one of donor_availability"):
        DriftQuery(model="oracle")


def test_a_version_without_a_reference_is_said_to_need_training(service: Flask, monkeypatch: pytest.MonkeyPatch):
    loaded = service.extensions["models"].pin("donor_reliability")._model
    monkeypatch.setattr(loaded, "manifest", loaded.manifest.model_copy(update={"reference": None}))
    by_name = {model.model: model for model in measure(service).models}
    assert by_name["donor_reliability"].reason == "this version has no reference: train it again"
    assert by_name["donor_reliability"].columns == 0
    assert by_name["donor_seeker_match"].reason is None
    assert "donor_reliability" not in {row.model for row in read().columns}


def test_asks_of_cancelled_requests_and_of_other_weeks_are_left_out(service: Flask):
    made = asks_made()
    assert (made.asks.as_of >= (NOW - WINDOW).timestamp()).all()
    assert (made.asks.as_of < NOW.timestamp()).all()
    chosen = int(made.request[0])
    with transaction() as session:
        session.execute(update(BloodRequest).where(BloodRequest.id == chosen).values(cancelled_at=NOW))
    assert len(asks_made().asks) == (made.request != chosen).sum()


def test_what_a_donor_did_before_the_window_is_known(service: Flask):
    before = asks_made()
    with transaction() as session:
        session.execute(delete(ContactOutcome).where(ContactOutcome.asked_at < NOW - WINDOW))
    after = asks_made()
    assert len(after.asks) == len(before.asks)
    earlier, later = (WATCHED["donor_reliability"](made.history, made.asks) for made in (before, after))
    assert np.count_nonzero(earlier != later) > 0.5 * len(earlier)


def test_rows_read_from_the_database_are_those_that_training_makes_of_the_same_world(service: Flask, world: World):
    # The database keeps the date of birth without its hour.
    donors = replace(world.donors, born_at=world.donors.born_at // DAY * DAY)
    made, data = asks_made(), Dataset.build(replace(world, donors=donors), seed=4)
    requests, contacts = world.requests, world.contacts
    kept = np.isnan(requests.cancelled_at[np.searchsorted(requests.id, contacts.request)])
    rows = np.flatnonzero(kept & (contacts.asked_at >= (NOW - WINDOW).timestamp()))
    rows = rows[np.lexsort((world.donors.id[contacts.donor[rows]], contacts.request[rows]))]
    order = np.lexsort((made.history.donors.id[made.asks.donor], made.request))
    for watched in WATCHED.values():
        expected, found = watched(data.history, data.asks_at(rows)), watched(made.history, made.asks)[order]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
