"""Files over HTTP: uploads that work is done on, and the files of a job."""

from collections.abc import Iterator
from uuid import UUID, uuid4

from flask import Blueprint, Response, current_app, request, send_file, url_for
from werkzeug.exceptions import UnsupportedMediaType

from backend.api.answers import accepted, answer
from backend.api.guard import requires
from backend.api.jobs import awaited
from backend.api.parse import body_as, query_as, refuse_compressed
from backend.api.terms import TermsQuery, admitted
from backend.api.uploads import chunks_of_body
from backend.batches.imports import IMPORT_FILE
from backend.batches.predict import PREDICT_FILE
from backend.batches.schemas import BatchQuery, RowsRequest
from backend.batches.submit import submit_batch, submit_import, submit_rows
from backend.batches.views import get_file_work
from backend.clock import utc_now
from backend.errors import BadFile
from backend.files.storage import current_storage
from backend.files.views import FileList, find_file, list_files
from backend.jobs.states import FINAL
from backend.jobs.views import JobView, get_job
from backend.security.permissions import Permission
from backend.settings import Settings
from backend.tabular.formats import Format, format_of

RETRY_AFTER = "2"  # seconds

blueprint = Blueprint("files", __name__)


@blueprint.post("/batches")
@requires(Permission.PREDICT)
def predict() -> Response:
    """Predict rows that are in the request, or in an upload."""
    new = uuid4()
    if request.is_json:
        rows = body_as(RowsRequest)
        return _submitted(submit_rows(rows, terms=admitted({PREDICT_FILE.queue: 1}), job_id=new), new)
    format_, asked = _format(), query_as(BatchQuery, TermsQuery)
    terms = admitted({PREDICT_FILE.queue: 1}, besides=BatchQuery)
    return _submitted(submit_batch(asked, format_, _upload(), terms=terms, job_id=new), new)


@blueprint.post("/imports/<name>")
@requires(Permission.WRITE_RECORDS)
def import_(name: str) -> Response:
    """Import the rows of an upload."""
    format_, terms, new = _format(), admitted({IMPORT_FILE.queue: 1}), uuid4()
    return _submitted(submit_import(name, format_, _upload(), terms=terms, job_id=new), new)


@blueprint.get("/batches/<uuid:job_id>")
@requires(Permission.PREDICT)
def progress(job_id: UUID) -> Response:
    """Say how far a batch or an import has come."""
    work = get_file_work(job_id)
    return answer(work, headers={} if work.state in FINAL else {"Retry-After": RETRY_AFTER})


@blueprint.get("/jobs/<uuid:job_id>/files")
@requires(Permission.PREDICT)
def list_(job_id: UUID) -> Response:
    """List the files of a job."""
    get_job(job_id)
    return answer(FileList(files=list_files(job_id)))


@blueprint.get("/jobs/<uuid:job_id>/files/<role>")
@requires(Permission.PREDICT)
def download(job_id: UUID, role: str) -> Response:
    """Send a file of a job, or a range of it."""
    file, path = find_file(current_storage(), job_id, role, now=utc_now())
    sent = send_file(
        path,
        mimetype=Format(file.format).media_type,
        as_attachment=True,
        download_name=f"{job_id}-{role}.{file.format}",
        etag=file.sha256,
        last_modified=file.created_at,
        conditional=True,
    )
    sent.headers["Cache-Control"] = "private, no-cache"
    sent.expires = file.expires_at
    return sent


def _format() -> Format:
    refuse_compressed()
    try:
        return format_of(request.headers.get("Content-Type", ""))
    except BadFile as error:
        raise UnsupportedMediaType(str(error)) from error


def _upload() -> Iterator[bytes]:
    settings: Settings = current_app.extensions["settings"]
    return chunks_of_body(most=settings.max_upload_bytes)


def _submitted(job: JobView, new: UUID) -> Response:
    _, waited = awaited(job)
    work = get_file_work(job.id)
    return accepted(
        work,
        location=url_for("api.files.progress", job_id=job.id),
        ended=work.state in FINAL,
        retry_after=RETRY_AFTER,
        repeated=job.id != new,
        waited=waited,
    )
