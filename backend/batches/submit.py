"""Taking in the work on a file: the upload is complete and its header fits before anything is stored."""

import json
from collections.abc import Iterable
from uuid import UUID, uuid4

from backend.batches.imports import IMPORT_FILE, check_header, importer_named
from backend.batches.parts import input_path
from backend.batches.predict import PREDICT_FILE
from backend.batches.schemas import BatchQuery, BatchRequest, ImportRequest, RowsRequest, Upload
from backend.batches.targets import target_of
from backend.clock import utc_now
from backend.errors import Unavailable
from backend.files.storage import Storage, Stored, current_storage
from backend.jobs.kinds import JobKind
from backend.jobs.submit import NO_TERMS, submit
from backend.jobs.terms import Terms
from backend.jobs.views import JobView
from backend.tabular.formats import Format
from backend.tabular.layout import columns_of


def submit_batch(
    asked: BatchQuery,
    format_: Format,
    chunks: Iterable[bytes],
    *,
    terms: Terms = NO_TERMS,
    job_id: UUID | None = None,
) -> JobView:
    """Store an upload and a job that predicts its rows; an earlier job, if the client's key stands for the same.

    `job_id` is the new job's.

    Raises:
        InputError: it cannot be served; nothing is left behind.
        ArtifactError: the catalogue cannot be read.
        Unavailable: the data folder or the database cannot be written.
    """
    target = target_of(asked)
    job_id, storage, stored = _receive(format_, chunks, job_id)
    try:
        target.reads(columns_of(input_path(storage, job_id, format_), format_))
        request = BatchRequest(
            model=asked.model,
            scorer=asked.scorer,
            as_of=asked.as_of or utc_now(),
            upload=Upload(format=format_, bytes=stored.bytes, sha256=stored.sha256),
            format=asked.format or format_,
        )
        return _submit(PREDICT_FILE, request, storage, terms, job_id=job_id, identity=asked.model_dump_json())
    except Unavailable:  # perhaps only the answer to the COMMIT was lost: the sweep removes what belongs to no job
        raise
    except BaseException:
        storage.remove(job_id)
        raise


def submit_rows(asked: RowsRequest, *, terms: Terms = NO_TERMS, job_id: UUID | None = None) -> JobView:
    """Store rows that came in the request, as an upload of lines of JSON.

    `job_id` is the new job's.

    Raises:
        InputError, ArtifactError, Unavailable: as `submit_batch`.
    """
    target = BatchQuery(**asked.model_dump(exclude={"rows"}))
    rows = (json.dumps(row).encode() + b"\n" for row in asked.rows)
    return submit_batch(target, Format.NDJSON, rows, terms=terms, job_id=job_id)


def submit_import(
    name: str, format_: Format, chunks: Iterable[bytes], *, terms: Terms = NO_TERMS, job_id: UUID | None = None
) -> JobView:
    """Store an upload and a job that imports its rows; an earlier job, if the client's key stands for the same.

    `job_id` is the new job's.

    Raises:
        InputError: it cannot be imported; nothing is left behind.
        Unavailable: the data folder or the database cannot be written.
    """
    importer = importer_named(name)
    job_id, storage, stored = _receive(format_, chunks, job_id)
    try:
        check_header(importer, columns_of(input_path(storage, job_id, format_), format_))
        upload = Upload(format=format_, bytes=stored.bytes, sha256=stored.sha256)
        return _submit(
            IMPORT_FILE, ImportRequest(into=name, upload=upload), storage, terms, job_id=job_id, identity=name
        )
    except Unavailable:  # perhaps only the answer to the COMMIT was lost: the sweep removes what belongs to no job
        raise
    except BaseException:
        storage.remove(job_id)
        raise


def _submit(
    kind: JobKind,
    request: BatchRequest | ImportRequest,
    storage: Storage,
    terms: Terms,
    *,
    job_id: UUID,
    identity: str,
) -> JobView:
    job = submit(kind, request, terms=terms, job_id=job_id, identity=f"{identity} {request.upload.model_dump_json()}")
    if job.id != job_id:  # the upload was sent before
        storage.remove(job_id)
    return job


def _receive(format_: Format, chunks: Iterable[bytes], job_id: UUID | None) -> tuple[UUID, Storage, Stored]:
    job_id, storage = job_id or uuid4(), current_storage()
    return job_id, storage, storage.receive(job_id, input_path(storage, job_id, format_).name, chunks)
