"""Taking in the work on a file: the upload is complete and its header fits before anything is stored."""

import json
from collections.abc import Iterable
from uuid import UUID, uuid4

from backend.batches.imports import IMPORT_FILE, check_header, importer_named
from backend.batches.parts import input_path
from backend.batches.predict import PREDICT_FILE
from backend.batches.schemas import BatchQuery, BatchRequest, ImportRequest, RowsRequest, Upload
from backend.batches.targets import target_of
from backend.files.storage import Storage, Stored, current_storage
from backend.jobs.clock import utc_now
from backend.jobs.submit import submit
from backend.jobs.views import JobView
from backend.tabular.formats import Format
from backend.tabular.layout import columns_of


def submit_batch(asked: BatchQuery, format_: Format, chunks: Iterable[bytes]) -> JobView:
    """Store an upload and a job that predicts its rows.

    Raises:
        InputError: it cannot be served; nothing is left behind.
        ArtifactError: the catalogue cannot be read.
        Unavailable: the data folder or the database cannot be written.
    """
    target = target_of(asked)
    job_id, storage, stored = _receive(format_, chunks)
    try:
        target.reads(columns_of(input_path(storage, job_id, format_), format_))
        request = BatchRequest(
            model=asked.model,
            scorer=asked.scorer,
            as_of=asked.as_of or utc_now(),
            upload=Upload(format=format_, bytes=stored.bytes, sha256=stored.sha256),
            format=asked.format or format_,
        )
        return submit(PREDICT_FILE, request, job_id=job_id)
    except BaseException:
        storage.remove(job_id)
        raise


def submit_rows(asked: RowsRequest) -> JobView:
    """Store rows that came in the request, as an upload of lines of JSON.

    Raises:
        InputError, ArtifactError, Unavailable: as `submit_batch`.
    """
    return submit_batch(asked, Format.NDJSON, (json.dumps(row).encode() + b"\n" for row in asked.rows))


def submit_import(name: str, format_: Format, chunks: Iterable[bytes]) -> JobView:
    """Store an upload and a job that imports its rows.

    Raises:
        InputError: it cannot be imported; nothing is left behind.
        Unavailable: the data folder or the database cannot be written.
    """
    importer = importer_named(name)
    job_id, storage, stored = _receive(format_, chunks)
    try:
        check_header(importer, columns_of(input_path(storage, job_id, format_), format_))
        upload = Upload(format=format_, bytes=stored.bytes, sha256=stored.sha256)
        return submit(IMPORT_FILE, ImportRequest(into=name, upload=upload), job_id=job_id)
    except BaseException:
        storage.remove(job_id)
        raise


def _receive(format_: Format, chunks: Iterable[bytes]) -> tuple[UUID, Storage, Stored]:
    job_id, storage = uuid4(), current_storage()
    return job_id, storage, storage.receive(job_id, input_path(storage, job_id, format_).name, chunks)
