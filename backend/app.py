"""The application factory: a list of things to initialise, nothing opened."""

from flask import Flask

from backend.api import init_api
from backend.audit.retention import children_first
from backend.cli import init_cli
from backend.domains import catalog
from backend.domains.domain import Domain
from backend.extensions import db, engine_options, migrate, prepare_engine
from backend.files.storage import FOLDER, Storage
from backend.inference.client import ModelClient
from backend.jobs.intake import Intake
from backend.jobs.limits import Limits
from backend.jobs.news import News
from backend.jobs.ring import Doorbell
from backend.jobs.schedules.book import ScheduleBook
from backend.logs import configure_logging
from backend.registry.hints import Hints
from backend.registry.live import LiveModels
from backend.registry.registry import make_registry
from backend.resources.store import importer_of
from backend.security.authentication import Authenticator
from backend.security.directory import Directory
from backend.settings import PROJECT, Settings, load_settings
from backend.webhooks.subscriptions import Subscriptions


def create_app(settings: Settings | None = None, domains: tuple[Domain, ...] | None = None) -> Flask:
    """Return the application, ready for a WSGI server, a worker or a command; by default with every domain.

    Raises:
        SettingsError: the environment cannot be used.
        ValueError: a schedule could never run, or a table has two retentions.
    """
    domains = catalog.domains() if domains is None else domains
    settings = settings or load_settings()
    configure_logging(settings)
    app = Flask("backend", template_folder="api/templates", static_folder="api/static", static_url_path="/static")
    app.config.update(
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        SQLALCHEMY_DATABASE_URI=settings.sqlalchemy_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(settings.sqlalchemy_url),
    )
    if not settings.database_url:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    db.init_app(app)
    migrate.init_app(app, db, directory=str(PROJECT / "migrations"), render_as_batch=True)
    with app.app_context():
        prepare_engine(db.engine)
    app.extensions["settings"] = settings
    app.extensions["directory"] = Directory()
    app.extensions["authenticator"] = Authenticator(settings, app.extensions["directory"])
    registry, hints = make_registry(settings), Hints(settings)
    app.extensions["registry"], app.extensions["hints"] = registry, hints
    app.extensions["live_models"] = LiveModels(app.app_context, registry, hints)
    app.extensions["models"] = ModelClient(app.extensions["live_models"], threads=settings.model_threads)
    kinds = {kind.name: kind for domain in domains for kind in domain.job_kinds}
    app.extensions["kinds"] = kinds
    app.extensions["intake"] = Intake()
    app.extensions["limits"] = Limits(settings)
    app.extensions["doorbell"] = Doorbell(settings, claims={kind.name: kind.claims for kind in kinds.values()})
    app.extensions["subscriptions"] = Subscriptions()
    app.extensions["news"] = News(settings)
    app.extensions["retentions"] = children_first(one for domain in domains for one in domain.retentions)
    app.extensions["files"] = Storage(settings.data_dir / FOLDER)
    app.extensions["scorers"] = {scorer.name: scorer for domain in domains for scorer in domain.scorers}
    app.extensions["importers"] = {
        importer.name: importer
        for domain in domains
        for importer in (*map(importer_of, domain.resources), *domain.importers)
    }
    app.extensions["schedules"] = ScheduleBook(
        (schedule for domain in domains for schedule in domain.schedules),
        kinds.values(),
        timezone=settings.timezone,
    )
    init_api(app, domains)
    init_cli(app)
    return app
