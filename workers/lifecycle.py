"""What a worker process holds, from its start to its end: the application, the models, the leases of its jobs."""

import os
import sys
import threading
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from celery import signals
from celery.concurrency.thread import TaskPool as ThreadPool
from celery.utils.nodenames import worker_direct
from celery.worker import WorkController
from celery.worker.consumer import Consumer
from flask import Flask

from backend.app import create_app
from backend.clock import utc_now
from backend.domains.catalog import domains, model_names
from backend.errors import SanguineError, Unavailable
from backend.inference.client import ModelClient
from backend.inference.tables import enter_loaded
from backend.jobs.broker import make_celery
from backend.jobs.execute import Worker
from backend.jobs.leases import LeaseKeeper
from backend.logs import own_standard_error
from backend.registry.shipped import adopt_shipped
from backend.settings import Settings, load_settings
from backend.webhooks.dispatch import dispatch
from workers.presence import Presence
from workers.shutdown import StopWish
from workers.watchdog import Watchdog, add_echo_task, end_process, is_at_work, send_echo

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
_stop = StopWish()
_watchdog: Watchdog | None = None
_presence: Presence | None = None


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
    signals.task_received.connect(_on_received)
    signals.worker_shutting_down.connect(_on_shutting_down)
    signals.worker_shutdown.connect(_on_shutdown)


def _make_process() -> Process:
    settings: Settings = load_settings()
    app = create_app(settings)
    models: ModelClient = app.extensions["models"]
    name = app.extensions["live_models"].process = f"{_node_name}/{os.getpid()}"
    lease = timedelta(seconds=settings.lease_seconds)
    worker = Worker(
        name=name,
        models=models,
        leases=LeaseKeeper(app.app_context, lease=lease, stopping=_stop.is_due),
        lease=lease,
        news=app.extensions["news"],
        announce=dispatch,
    )
    return Process(pid=os.getpid(), app=app, worker=worker)


def _on_setup_logging(**_: Any) -> None:
    own_standard_error(load_settings())


def _on_setup(sender: str, instance: WorkController, **_: Any) -> None:
    """Load everything before the first job where threads share it; prefork children load after the fork."""
    global _node_name, _loaded  # noqa: PLW0603 - Celery says it once, before anything is made
    _node_name = sender
    add_echo_task(instance.app)
    predicts = "interactive" in instance.app.amqp.queues.consume_from
    if predicts and instance.pool_cls is ThreadPool:  # type: ignore[attr-defined] # missing from the stubs
        _loaded = _preload(current_process())


def _on_child_start(**_: Any) -> None:
    _load_models(current_process())  # no more: its pool waits for it


def _on_ready(sender: Consumer, **_: Any) -> None:
    global _watchdog, _presence  # noqa: PLW0603 - one per worker, and Celery's signals reach functions only
    process, node = current_process(), _node_name
    _watchdog = Watchdog(
        echo=partial(send_echo, make_celery(load_settings(), impatient=True), node),
        at_work=is_at_work,
        overdue=process.worker.leases.overdue,
        end=end_process,
    )
    queues = sorted(set(sender.app.amqp.queues.consume_from) - {worker_direct(node).name})
    _presence = Presence(process.app, _watchdog, name=node, pid=process.pid, queues=queues, models=_loaded)
    _watchdog.start()
    _presence.start()
    log.info("worker_ready", worker=node, queues=queues)


def _preload(process: Process) -> dict[str, str | None]:
    """Load every model and what the domains keep in memory; one that fails leaves the others serving."""
    loaded = _load_models(process)
    with process.app.app_context():
        for domain in domains():
            if domain.preload is not None:
                try:
                    domain.preload()
                except SanguineError as error:
                    log.warning("preload_failed", domain=domain.name, reason=error)
    return loaded


def _load_models(process: Process) -> dict[str, str | None]:
    """Load every model and return the digests of those that serve."""
    models = process.worker.models
    _adopt_shipped(process)
    outcome = models.preload(model_names())
    for name, error in outcome.items():
        if error is not None:
            log.error("model_not_loaded", model=name, reason=error)
    manifests = {name: models.manifest(name) for name, error in outcome.items() if error is None}
    try:
        with process.app.app_context():
            enter_loaded(manifests.values(), at=utc_now())
    except Unavailable as error:  # they serve all the same
        log.warning("loading_not_entered", reason=error)
    return {name: manifests[name].sha256 if name in manifests else None for name in outcome}


def _adopt_shipped(process: Process) -> None:
    """Enter what was shipped since the last start; a newer release takes the place of an older one."""
    try:
        with process.app.app_context():
            adopt_shipped(process.app.extensions["registry"], at=utc_now())
    except SanguineError as error:  # what was decided before is served all the same
        log.warning("shipped_models_not_entered", reason=error)


def _on_received(**_: Any) -> None:
    if _watchdog is not None:
        _watchdog.heard()


def _on_shutting_down(**_: Any) -> None:
    """Let what runs finish soon; runs inside a signal handler, so it may wait for nothing."""
    _stop.ask()
    if _watchdog is not None:
        _watchdog.rest()
    if _presence is not None:
        _presence.leave()


def _on_shutdown(sender: WorkController, **_: Any) -> None:
    """Leave: all is handed back and closed, and taking the interpreter apart takes seconds on a busy machine."""
    _on_shutting_down()  # also when Celery stopped without a signal
    if _presence is not None:
        _presence.join()
    sys.stdout.flush()
    os._exit(sender.exitcode or 0)
