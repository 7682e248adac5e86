"""Every migration runs up and down on SQLite and PostgreSQL, and leaves nothing that the tables do not say."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import inspect

from backend.app import create_app
from backend.extensions import Table, db
from backend.settings import PROJECT, Settings

MIGRATIONS = str(PROJECT / "migrations")


@pytest.fixture
def app(database_url: str, tmp_path: Path) -> Flask:
    return create_app(Settings(database_url=database_url, data_dir=tmp_path, log_level="ERROR", _env_file=None))


def test_migrations_lead_from_nothing_to_the_tables_and_back(app: Flask):
    with app.app_context():
        upgrade(MIGRATIONS)
        with db.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, Table.metadata) == []
        downgrade(MIGRATIONS, revision="base")
        assert set(inspect(db.engine).get_table_names()) <= {"alembic_version"}
        upgrade(MIGRATIONS)
        assert {"job", "donor", "match_prediction", "schedule_firing"} <= set(inspect(db.engine).get_table_names())
        db.engine.dispose()
