"""Imports: the rows of a file become records; those that cannot are listed, and the same file twice changes nothing."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import IntegrityError

from backend.batches.parts import gather, look_through, part_file, upload_of
from backend.batches.schemas import ImportRequest, ImportResult, PartRequest, PartResult
from backend.batches.targets import row_errors
from backend.errors import BadFile, NotFound, Unavailable
from backend.extensions import current
from backend.files.tables import FileRole
from backend.jobs.context import JobContext
from backend.jobs.kinds import JobKind
from backend.jobs.parts import Parts
from backend.resources.declaration import Change, Importer, Refused
from backend.tabular.blocks import RowError, Value, in_order
from backend.tabular.columns import ERROR_COLUMNS, error_cells
from backend.tabular.formats import Format
from backend.tabular.layout import Layout
from backend.tabular.reading import read_part

PART_BYTES = 256 << 10
"""Some thousand rows, which are one transaction: others write after a fraction of a second."""

ROWS_AT_ONCE = 5_000
"""Rows that are looked up and written together: a row group of Parquet may have more than a statement takes."""

MOST_DOUBLES = 10_000


def importer_named(name: str) -> Importer:
    """Return what rows are imported into.

    Raises:
        NotFound: there is nothing of this name; the message lists what there is.
    """
    importers = cast("dict[str, Importer]", current("importers"))
    if name not in importers:
        raise NotFound("import", f"{name!r}; there are {', '.join(sorted(importers)) or 'none'}")
    return importers[name]


def check_header(importer: Importer, columns: Sequence[str]) -> None:
    """Refuse a file whose columns are not those of the import.

    Raises:
        BadFile: one is missing, or one is not known: it may be a misspelt one.
    """
    fields = importer.row.model_fields
    missing = [name for name, field in fields.items() if field.is_required() and name not in columns]
    # By their places: the header of a file that has none is its first row.
    unknown = [str(place) for place, name in enumerate(columns, start=1) if name not in fields]
    found = [f"it has no column {', '.join(missing)}"] if missing else []
    found += [f"it has columns that are not known: number {', '.join(unknown[:20])}"] if unknown else []
    if found:
        raise BadFile(
            f"the file cannot be imported into {importer.name}: {'; '.join(found)}; known are {', '.join(fields)}"
        )


def import_file(request: ImportRequest, context: JobContext) -> ImportResult | Parts:
    """Cut the file into parts, find rows that are there twice, and add up what the parts did.

    Raises:
        BadFile: the file is not what its format says, its columns are others, or too many rows are there twice.
    """
    if context.checkpoint is None:
        importer = importer_named(request.into)
        layout = look_through(request, context, part_bytes=PART_BYTES)
        check_header(importer, layout.columns)
        doubles = _doubles(importer, layout, context, upload_of(context.job_id, request.upload.format))
        requests = [
            PartRequest(
                file_of=context.job_id,
                work=request,
                columns=layout.columns,
                part=part,
                doubles=tuple(double for double in doubles if 0 <= double[0] - part.first_row < part.rows),
            )
            for part in layout.parts
        ]
        # In the order of the file: a row may refer to one before it, as an answer does to its ask.
        return Parts(IMPORT_PART, requests, {"rows": layout.rows}, at_once=1)
    results = [PartResult.model_validate(result) for result in context.part_results()]
    changes = sum((Counter(result.changes) for result in results), Counter[str]())
    files = gather(context, results, format_=request.upload.format, result=None)
    return ImportResult(
        rows=context.checkpoint["rows"],
        **{change.value: changes[change] for change in Change},
        failed=sum(result.failed for result in results),
        files=files,
    )


def import_part(request: PartRequest, context: JobContext) -> PartResult:
    """Store the rows of one part in one transaction, and list those that cannot be.

    Raises:
        BadFile: the file changed or is gone.
    """
    if context.checkpoint is not None:  # an earlier attempt stored them and was stopped right after
        return PartResult.model_validate(context.checkpoint)
    work = cast("ImportRequest", request.work)
    importer = importer_named(work.into)
    numbers, rows, errors = _validated(importer, request, work)
    context.check()
    done: dict[str, Any] = {}
    errors_file = part_file(request.file_of, request.part.number, FileRole.ERRORS, work.upload.format, ERROR_COLUMNS)
    with context.commit(done) as session, errors_file as writer:
        outcomes: list[Change | Refused] = []
        for start in range(0, len(rows), ROWS_AT_ONCE):
            outcomes += importer.store(session, rows[start : start + ROWS_AT_ONCE])
        pairs = list(zip(numbers, outcomes, strict=True))
        refused = [RowError(number, one.field, one.reason) for number, one in pairs if isinstance(one, Refused)]
        wrong = in_order(errors, refused)
        writer.write(error_cells(wrong))
        changes = Counter(one.value for _, one in pairs if not isinstance(one, Refused))
        failed = len({error.row for error in wrong})
        done |= PartResult(rows=request.part.rows, failed=failed, changes=dict(changes)).model_dump()
    return PartResult.model_validate(done)


def _validated(
    importer: Importer, request: PartRequest, work: ImportRequest
) -> tuple[list[int], list[BaseModel], list[RowError]]:
    """Return the numbers of the valid rows of a part, the rows, and what is wrong with the others."""
    numbers: list[int] = []
    rows: list[BaseModel] = []
    errors: list[RowError] = []
    path = upload_of(request.file_of, work.upload.format)
    layout = Layout(format=work.upload.format, columns=request.columns, rows=request.part.rows, parts=(request.part,))
    doubles = dict(request.doubles)
    reads = _reads(importer, work.upload.format, request.columns)
    for block in read_part(path, layout, request.part, columns=reads):
        records = block.records(reads)
        errors += records.errors
        for number, values in records.rows:
            if number in doubles:
                reason = f"row {doubles[number]} has the same; keep one of them"
                errors.append(RowError(number, importer.key[0], reason))
                continue
            try:
                rows.append(importer.row.model_validate(_said(importer, values)))
                numbers.append(number)
            except ValidationError as error:
                errors += row_errors(number, error)
    return numbers, rows, errors


def _reads(importer: Importer, format_: Format, columns: Sequence[str]) -> tuple[str, ...]:
    """Return what to read: a line of JSON may have a field that those at the beginning of the file do not."""
    return tuple(importer.row.model_fields) if format_ is Format.NDJSON else tuple(columns)


def _said(importer: Importer, values: Mapping[str, Value]) -> dict[str, Value]:
    """Return what a row says: an empty cell empties a field that may be empty, and leaves others to their default."""
    fields = importer.row.model_fields
    return {
        name: value
        for name, value in values.items()
        if value is not None or (not fields[name].is_required() and fields[name].default is None)
    }


def _doubles(importer: Importer, layout: Layout, context: JobContext, path: Path) -> list[tuple[int, int]]:
    """Return the rows whose key an earlier row has, and that row: which one is meant, only their owner knows.

    Raises:
        BadFile: there are more than can be listed.
    """
    keys = tuple(name for name in importer.key if name in _reads(importer, layout.format, layout.columns))
    first: dict[bytes, int] = {}
    doubles: list[tuple[int, int]] = []
    for part in layout.parts:
        context.progress(part.number / len(layout.parts), "looking for rows that are there twice")
        for block in read_part(path, layout, part, columns=keys):
            for number, values in block.records(keys).rows:
                if all(value is None for value in values.values()):  # an error of its own
                    continue
                # 16 bytes in place of the key: a file may have millions.
                said = repr([str(values.get(name)).strip() for name in keys])
                key = hashlib.blake2b(said.encode(), digest_size=16).digest()
                if (earlier := first.setdefault(key, number)) != number:
                    doubles.append((number, earlier))
        if len(doubles) > MOST_DOUBLES:
            raise BadFile(f"more than {MOST_DOUBLES:,} rows have the same {' and '.join(keys)} as an earlier one")
    return doubles


IMPORT_PART = JobKind(
    name="platform.import_part",
    path=None,
    summary="Import the rows of one part of a file",
    request=PartRequest,
    result=PartResult,
    run=import_part,
    queue="batch",
    timeout=300,
    retries=5,
    retry_on=(
        Unavailable,
        OSError,
        IntegrityError,
    ),  # a full disk; somebody else added the same record at the same moment
)
IMPORT_FILE = JobKind(
    name="platform.import_file",
    path=None,
    summary="Import the rows of a file",
    request=ImportRequest,
    result=ImportResult,
    run=import_file,
    queue="batch",
    timeout=1800,
    retries=3,
    retry_on=(Unavailable, OSError),
    replayable=False,
)
