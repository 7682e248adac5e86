"""The cleanup as a job: every retention of the installation, one table after the other."""

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, cast

from sqlalchemy.orm import Session

from backend.audit.archive import FOLDER, remove_stale_parts
from backend.audit.cleanup import Cleaned, clean_table
from backend.audit.retention import Retention
from backend.domains.platform.schemas import CleanedTable, CleanupRequest, CleanupResult
from backend.extensions import current
from backend.jobs.context import JobContext
from backend.settings import Settings


def clean_up(_request: CleanupRequest, context: JobContext) -> CleanupResult:
    """Archive and delete what is older than its retention; a second attempt goes on where the first was stopped.

    Raises:
        ArchiveError: the archive cannot be written; the rows stay.
    """
    settings = cast("Settings", current("settings"))
    retentions = cast("list[Retention]", current("retentions"))
    folder = settings.data_dir / FOLDER
    remove_stale_parts(folder)
    done: dict[str, Any] = context.checkpoint or {"now": context.clock().isoformat(), "tables": {}}
    tables = []
    for number, retention in enumerate(retentions):
        context.progress(number / len(retentions), retention.name)
        cutoff = retention.cutoff(datetime.fromisoformat(done["now"]), days=settings.retention_days)

        def commit(cleaned: Cleaned, name: str = retention.name) -> AbstractContextManager[Session]:
            done["tables"][name] = {"rows": cleaned.rows, "files": cleaned.files}
            return context.commit(done)

        earlier = done["tables"].get(retention.name, {"rows": 0, "files": []})
        reached = Cleaned(earlier["rows"], tuple(earlier["files"]))
        cleaned = clean_table(retention, folder, cutoff=cutoff, commit=commit, cleaned=reached)
        tables.append(CleanedTable(table=retention.name, before=cutoff, rows=cleaned.rows, files=list(cleaned.files)))
    return CleanupResult(rows=sum(table.rows for table in tables), tables=tables)
