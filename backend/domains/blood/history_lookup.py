"""Reading saved matches."""

from backend.domains.blood.queries import find_request, saved_predictions
from backend.domains.blood.schemas import HistoryPage, HistoryQuery, SavedPrediction
from backend.errors import NotFound
from backend.extensions import transaction


def match_history(query: HistoryQuery) -> HistoryPage:
    """Return the saved predictions of a request, newest first.

    Raises:
        NotFound: there is no such request.
    """
    with transaction(read_only=True) as session:
        if find_request(session, query.request_id) is None:
            raise NotFound("blood request", query.request_id)
        rows = saved_predictions(session, request_id=query.request_id, before_id=query.before_id, limit=query.limit + 1)
    page = [
        SavedPrediction.model_validate(
            {name: getattr(saved, name) for name in SavedPrediction.model_fields if name != "blood_group"}
            | {"blood_group": group}
        )
        for saved, group in rows[: query.limit]
    ]
    return HistoryPage(predictions=page, next_before_id=page[-1].id if len(rows) > query.limit else None)
