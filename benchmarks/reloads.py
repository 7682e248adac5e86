"""The live model is changed again and again under load: what fails, what is mixed up, how fast all processes follow."""

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.changing import ASKED, AT_ONCE, BULKS, MODEL, Load, corrupt, memory, packed, version_and_score
from benchmarks.client import call, post_and_wait
from benchmarks.jobs import postgresql
from benchmarks.processes import Installation
from benchmarks.report import Table

CHANGES = 50
REFUSE_EVERY = 5  # changes, after which an altered version is asked for
PATIENCE = 30.0  # seconds
WORKERS = {"interactive": ("threads", 4), "batch": ("prefork", 2)}
CORRUPT = "4"

NOTES = (
    (
        f"{CHANGES} changes between two registered versions, one as soon as the other is done, while {BULKS} bulks of "
        f"{AT_ONCE} predictions are always in flight; after every {REFUSE_EVERY} changes a version whose file was "
        "altered is asked for, which must be refused."
    ),
    (
        "Processes that serve the model: a worker of four threads and the two children of a prefork worker, beside the "
        "API on two cores that all of them share with the process that tries out each version."
    ),
    "Mixed: answers whose score is not the one that their version gave when nothing changed.",
    (
        "Until all follow: from the moment of the decision in the ledger to the moment at which the last process said "
        "what it serves. Before the decision the version is loaded in a process of its own, which the change's seconds "
        "contain."
    ),
    (
        "Memory: proportional set size of all processes of both workers, under load, before the first change and after "
        "the last."
    ),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened while the model was changed."""

    answers: int
    failed: int
    mixed: int
    refused: int
    changes: list[float]  # seconds from request to answer
    followed: list[float]  # seconds from decision to the last process
    processes: int
    memory: tuple[int, int]  # bytes before and after


def measure_reloads() -> list[Table]:
    """Change the model under load on SQLite and on PostgreSQL."""
    rows = []
    for name in ("SQLite", "PostgreSQL"):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sanguine-bench-")))
            url = "" if name == "SQLite" else stack.enter_context(postgresql(folder / "server"))
            (folder / "data").mkdir()
            installation = stack.enter_context(Installation(folder / "data", database_url=url))
            print(f"  {CHANGES} changes on {name}", flush=True)
            rows.append((name, *_cells(_run(installation))))
    columns = (
        *("database", "predictions", "failed", "mixed", "altered versions refused", "processes"),
        *("change p50, s", "until all follow p50, ms", "max, ms", "memory after / before"),
    )
    return [Table(title="Changing the live model under load", columns=columns, rows=rows, notes=NOTES)]


def _run(installation: Installation) -> Outcome:
    port = installation.port
    installation.migrate()
    installation.start_broker()
    installation.start_api("backend.app:create_app()")
    for name, (pool, threads) in WORKERS.items():
        installation.start_worker(name, "celery_worker", "-Q", "interactive,batch", pool=pool, concurrency=threads)
    scores = _register(port, installation.folder)
    with Load(port) as load:
        _wait_for_answers(load)
        groups = [installation.group(name) for name in WORKERS]
        before = memory(groups)
        changes, followed, rollout, refused = [], [], {}, 0
        for number in range(1, CHANGES + 1):
            started = time.monotonic()
            rollout = _promote(port, "32"[number % 2])
            changes.append(time.monotonic() - started)
            followed.append(_seconds_until_all_followed(port, rollout))
            if number % REFUSE_EVERY == 0:
                refused += _ask_for(port, CORRUPT)[0] == HTTPStatus.UNPROCESSABLE_ENTITY
        after = memory(groups)
    mixed = sum(count for (version, score), count in load.answers.items() if scores[version] != score)
    return Outcome(
        answers=load.answers.total(),
        failed=len(load.failed),
        mixed=mixed,
        refused=refused,
        changes=changes,
        followed=followed,
        processes=rollout["total"],
        memory=(before, after),
    )


def _register(port: int, folder: Path) -> dict[str, float]:
    """Register two versions and an altered one, serve each once, and return the score that each version gives."""
    scores = {}
    for version, shift in (("2", 0.7), ("3", -0.7), (CORRUPT, 0.0)):
        status, made = call(port, "POST", "/models/versions?by=Asha", packed(version, shift=shift))
        if status != HTTPStatus.CREATED:
            raise RuntimeError(f"version {version} was not registered: {made}")
        if version != CORRUPT:
            _promote(port, version)
            served, scores[version] = version_and_score(post_and_wait(port, "/predict_availability", ASKED))
            if served != version:
                raise RuntimeError(f"version {served} answered in place of {version}")
    corrupt(folder, CORRUPT)
    return scores


def _promote(port: int, version: str) -> dict[str, Any]:
    status, rollout = _ask_for(port, version)
    if status != HTTPStatus.OK:
        raise RuntimeError(f"version {version} was not promoted: {rollout}")
    return rollout


def _ask_for(port: int, version: str) -> tuple[int, dict[str, Any]]:
    return call(port, "POST", f"/models/{MODEL}/production", {"version": version, "by": "Bala", "reason": "benchmark"})


def _seconds_until_all_followed(port: int, rollout: dict[str, Any]) -> float:
    deadline = time.monotonic() + PATIENCE
    while rollout["converged"] < rollout["total"]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {rollout['summary']} within {PATIENCE:g} s: {rollout['processes']}")
        rollout = call(port, "GET", f"/models/{MODEL}/rollout")[1]
    _, ledger = call(port, "GET", f"/models/ledger?model={MODEL}&limit=1")
    last = max(datetime.fromisoformat(process["seen_at"]) for process in rollout["processes"])
    return (last - datetime.fromisoformat(ledger["entries"][0]["at"])).total_seconds()


def _wait_for_answers(load: Load) -> None:
    deadline = time.monotonic() + PATIENCE
    while not load.answers:
        if load.failed or time.monotonic() > deadline:
            raise RuntimeError(f"no prediction was answered: {load.failed[:1]}")
        time.sleep(0.05)


def _cells(outcome: Outcome) -> tuple[str, ...]:
    before, after = outcome.memory
    return (
        *(f"{count:,}" for count in (outcome.answers, outcome.failed, outcome.mixed, outcome.refused)),
        str(outcome.processes),
        f"{median(outcome.changes):.2f}",
        f"{1_000.0 * median(outcome.followed):.0f}",
        f"{1_000.0 * max(outcome.followed):.0f}",
        f"{after / before:.2f}",
    )
