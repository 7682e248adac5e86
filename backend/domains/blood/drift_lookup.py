"""Reading the latest report of drift."""

from backend.domains.blood.drift_queries import latest_report
from backend.domains.blood.drift_schemas import DriftPage, DriftQuery, ReportedColumn
from backend.errors import NotFound
from backend.extensions import transaction


def drift_report(query: DriftQuery) -> DriftPage:
    """Return how far columns and outputs lay from their references when last measured.

    Raises:
        NotFound: nothing was measured yet.
    """
    with transaction(read_only=True) as session:
        rows = latest_report(session, query.model)
    if not rows:
        whose = "" if query.model is None else f" of {query.model}"
        raise NotFound(f"report of drift{whose}", "yet: POST /drift makes one of models whose version has a reference")
    return DriftPage(at=rows[0].at, job_id=rows[0].job_id, columns=[ReportedColumn.model_validate(row) for row in rows])
