"""What a worker process holds, from its start to its end: the application, the models, the leases of its jobs."""

import os
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from celery import signals
from celery.concurrency.thread import TaskPool as ThreadPool
from celery.worker import WorkController
from celery.worker.consumer import Consumer
from flask import Flask

from backend.app import create_app
from backend.domains.catalog import domains, model_names
from backend.errors import SanguineError, Unavailable
from backend.inference.client import ModelClient
from backend.inference.tables import enter_loaded
from backend.jobs.clock import utc_now
from backend.jobs.execute import Worker
from backend.jobs.leases import LeaseKeeper
from backend.jobs.workers import SEEN_EVERY, register_worker, worker_left, worker_seen
from backend.logs import configure_logging
from backend.settings import Settings, load_settings

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Process:
    """This process's application and what it brings to jobs; never shared across a fork."""

    pid: int
    app: Flask
    worker: Worker


_lock = threading.Lock()
_process: Process | None = None
_node_name = "worker"
_loaded: dict[str, str | None] = {}


def current_process() -> Process:
    """Return what this process holds, made on first use and again after a fork."""
    global _process  # noqa: PLW0603 - one per process is the point
    with _lock:
        if _process is None or _process.pid != os.getpid():
            _process = _make_process()
        return _process


def connect_signals() -> None:
    """Follow the worker's life."""
    signals.setup_logging.connect(_on_setup_logging)
    signals.celeryd_after_setup.connect(_on_setup)
    signals.worker_process_init.connect(_on_child_start)
    signals.worker_ready.connect(_on_ready)
    signals.heartbeat_sent.connect(_on_heartbeat)
    signals.worker_shutdown.connect(_on_shutdown)  # not `worker_shutting_down`: that one runs inside a signal handler


def _make_process() -> Process:
    settings: Settings = load_settings()
    app = create_app(settings)
    models: ModelClient = app.extensions["models"]
    lease = timedelta(seconds=settings.lease_seconds)
    worker = Worker(
        name=f"{_node_name}/{os.getpid()}",
        models=models,
        leases=LeaseKeeper(app.app_context, lease=lease),
        lease=lease,
        news=app.extensions["news"],
    )
    return Process(pid=os.getpid(), app=app, worker=worker)


def _on_setup_logging(**_: Any) -> None:
    configure_logging(load_settings())


def _on_setup(sender: str, instance: WorkController, **_: Any) -> None:
    """Load everything before the first job where threads share it; prefork children load after the fork."""
    global _node_name, _loaded  # noqa: PLW0603 - Celery says it once, before anything is made
    _node_name = sender
    if instance.pool_cls is ThreadPool:  # type: ignore[attr-defined] # missing from the stubs
        _loaded = _preload(current_process())


def _on_child_start(**_: Any) -> None:
    _load_models(current_process())  # no more: Celery ends a child that takes longer than four seconds to start


def _on_ready(sender: Consumer, **_: Any) -> None:
    queues = list(sender.app.amqp.queues.consume_from)
    with current_process().app.app_context():
        register_worker(name=_node_name, pid=os.getpid(), queues=queues, models=_loaded)
    log.info("worker_ready", worker=_node_name, queues=queues)


def _preload(process: Process) -> dict[str, str | None]:
    """Load every model and what the domains keep in memory; one that fails leaves the others serving."""
    loaded = _load_models(process)
    with process.app.app_context():
        for domain in domains():
            if domain.preload is not None:
                try:
                    domain.preload()
                except SanguineError as error:
                    log.warning("preload_failed", domain=domain.name, reason=str(error))
    return loaded


def _load_models(process: Process) -> dict[str, str | None]:
    """Load every model and return the digests of those that serve."""
    models = process.worker.models
    outcome = models.preload(model_names())
    for name, error in outcome.items():
        if error is not None:
            log.error("model_not_loaded", model=name, reason=str(error))
    manifests = {name: models.manifest(name) for name, error in outcome.items() if error is None}
    with process.app.app_context():
        enter_loaded(manifests.values(), at=utc_now())
    return {name: manifests[name].files[manifests[name].file] if name in manifests else None for name in outcome}


_last_seen = 0.0


def _on_heartbeat(**_: Any) -> None:
    """Celery heard from the broker; say so, but not each time."""
    global _last_seen  # noqa: PLW0603 - the worker's main thread only
    if time.monotonic() - _last_seen < SEEN_EVERY.total_seconds():
        return
    _last_seen = time.monotonic()
    try:
        with current_process().app.app_context():
            worker_seen(_node_name)
    except Unavailable as error:
        log.warning("worker_seen_missed", reason=str(error))


def _on_shutdown(**_: Any) -> None:
    try:
        with current_process().app.app_context():
            worker_left(_node_name)
    except Unavailable as error:
        log.warning("worker_left_missed", reason=str(error))
