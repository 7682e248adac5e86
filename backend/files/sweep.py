"""Removing what is over: files that expired, uploads and parts of finished jobs, folders that belong to no job."""

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import structlog
from sqlalchemy import select, update

from backend.extensions import transaction
from backend.files.storage import Storage
from backend.files.tables import JOB_FILE
from backend.jobs.states import FINAL
from backend.jobs.tables import JOB

log = structlog.get_logger()

UPLOADING = timedelta(hours=1)
"""A folder of no job may be an upload that is still coming in, unless nothing in it changed for so long."""

_AT_ONCE = 500


def sweep(storage: Storage, *, now: datetime) -> int:
    """Leave in each folder what its job still needs or somebody may still download; returns how many paths went."""
    found = list(storage.jobs())
    removed = 0
    for start in range(0, len(found), _AT_ONCE):
        some = found[start : start + _AT_ONCE]
        finished, kept = _what_stays(some, now)
        for job_id in some:
            if job_id not in finished:
                removed += _remove_forgotten(storage.folder(job_id), now)
            elif finished[job_id]:
                removed += _remove_others(storage.folder(job_id), keep=kept.get(job_id, set()))
    _mark_expired(now)
    if removed:
        log.info("files_swept", removed=removed)
    return removed


def _what_stays(job_ids: list[UUID], now: datetime) -> tuple[dict[UUID, bool], dict[UUID, set[str]]]:
    """Return which of the jobs exist and whether they are finished, and the names of files that can be downloaded."""
    states = select(JOB.c.id, JOB.c.state).where(JOB.c.id.in_(job_ids))
    files = select(JOB_FILE.c.job_id, JOB_FILE.c.role, JOB_FILE.c.format).where(
        JOB_FILE.c.job_id.in_(job_ids), JOB_FILE.c.expires_at >= now
    )
    with transaction(read_only=True) as session:
        finished = {job_id: state in FINAL for job_id, state in session.execute(states)}
        kept: dict[UUID, set[str]] = {}
        for job_id, role, suffix in session.execute(files):
            kept.setdefault(job_id, set()).add(f"{role}.{suffix}")
    return finished, kept


def _mark_expired(now: datetime) -> None:
    over = (JOB_FILE.c.expires_at < now, JOB_FILE.c.removed_at.is_(None))
    with transaction(read_only=True) as session:
        if session.scalar(select(JOB_FILE.c.job_id).where(*over).limit(1)) is None:
            return  # nearly always: no write, for which others would have to wait
    with transaction() as session:
        session.execute(update(JOB_FILE).where(*over).values(removed_at=now))


def _remove_forgotten(folder: Path, now: datetime) -> int:
    try:
        changed = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    except FileNotFoundError:  # somebody else removed it
        return 0
    if changed > (now - UPLOADING).timestamp():
        return 0
    shutil.rmtree(folder, ignore_errors=True)
    return 1


def _remove_others(folder: Path, *, keep: set[str]) -> int:
    removed = 0
    try:
        paths = list(folder.iterdir())
    except FileNotFoundError:  # another worker swept at the same moment
        return 0
    for path in paths:
        if path.name in keep:
            continue
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        removed += 1
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
    return removed
