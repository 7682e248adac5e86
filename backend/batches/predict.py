"""Predictions for the rows of a file: each part predicts its rows, the parent joins what they answered."""

from typing import cast

from backend.batches.ahead import one_ahead
from backend.batches.parts import gather, look_through, part_file, upload_of
from backend.batches.schemas import BatchRequest, BatchResult, PartRequest, PartResult
from backend.batches.targets import target_of
from backend.errors import Unavailable
from backend.files.tables import FileRole
from backend.jobs.context import JobContext
from backend.jobs.kinds import JobKind
from backend.jobs.parts import Parts
from backend.tabular.columns import ERROR_COLUMNS, error_cells
from backend.tabular.layout import PART_BYTES, Layout
from backend.tabular.reading import read_part


def predict_file(request: BatchRequest, context: JobContext) -> BatchResult | Parts:
    """Cut the file into parts, and join what they made when they are done.

    Raises:
        BadFile: the file is not what its format says, or lacks a column.
        ModelError: a model cannot be served.
    """
    target = target_of(request)
    if context.checkpoint is None:
        layout = look_through(request, context, part_bytes=PART_BYTES)
        target.reads(layout.columns)
        identities = {name: context.models.manifest(name).identity for name in target.models}
        versions = {name: context.models.manifest(name).version for name in target.models}
        requests = [
            PartRequest(file_of=context.job_id, work=request, columns=layout.columns, part=part, identities=identities)
            for part in layout.parts
        ]
        return Parts(PREDICT_PART, requests, {"rows": layout.rows, "versions": versions})
    results = [PartResult.model_validate(result) for result in context.part_results()]
    failed = sum(result.failed for result in results)
    files = gather(context, results, format_=request.format, result=target.columns)
    rows: int = context.checkpoint["rows"]
    return BatchResult(rows=rows, done=rows - failed, failed=failed, models=context.checkpoint["versions"], files=files)


def predict_part(request: PartRequest, context: JobContext) -> PartResult:
    """Answer about the rows of one part and write its answers and errors.

    Raises:
        BadFile: the file changed or is gone.
        ModelError: a model cannot be served, or not the version with which the batch began.
    """
    work = cast("BatchRequest", request.work)
    target = target_of(work)
    for name, identity in request.identities.items():
        context.models.use(name, identity)  # that with which the batch began
    layout = Layout(format=work.upload.format, columns=request.columns, rows=request.part.rows, parts=(request.part,))
    reads = target.reads(request.columns)
    path = upload_of(request.file_of, work.upload.format)
    number, seen, failed = request.part.number, 0, 0
    with (
        part_file(request.file_of, number, FileRole.RESULT, work.format, target.columns) as answers,
        part_file(request.file_of, number, FileRole.ERRORS, work.format, ERROR_COLUMNS) as errors,
    ):
        blocks = read_part(path, layout, request.part, columns=reads)
        asked = one_ahead((block.size, target.read(block, reads)) for block in blocks)
        # Three threads: one reads a block, one answers about the one before it, this one writes the one before that.
        for size, answered in one_ahead((size, target.answer(one, context.models, work.as_of)) for size, one in asked):
            answers.write(answered.columns)
            errors.write(error_cells(answered.errors))
            seen += size
            failed += len({error.row for error in answered.errors})
            context.progress(seen / request.part.rows)
    return PartResult(rows=seen, failed=failed)


PREDICT_PART = JobKind(
    name="platform.predict_part",
    path=None,
    summary="Predict the rows of one part of a file",
    request=PartRequest,
    result=PartResult,
    run=predict_part,
    queue="batch",
    timeout=1800,  # a part of Parquet is a row group, which may be the whole file
    retries=3,
    retry_on=(Unavailable, OSError),  # a full disk
)
PREDICT_FILE = JobKind(
    name="platform.predict_file",
    path=None,
    summary="Predict the rows of a file",
    request=BatchRequest,
    result=BatchResult,
    run=predict_file,
    queue="batch",
    timeout=1800,
    retries=3,
    retry_on=(Unavailable, OSError),
    replayable=False,
)
