"""Questions to the ledger."""

from datetime import datetime

from backend.errors import NotFound
from backend.extensions import transaction
from backend.registry import ledger
from backend.registry.views import LedgerPage, LiveAtView, VerifiedView, ledger_page


def get_live_at(model: str, at: datetime) -> LiveAtView:
    """Return what production of a model named at a moment, and who had decided it.

    Raises:
        NotFound: nothing had been decided about it by then: it was served as it was shipped, if at all.
        Unavailable: the database does not answer.
    """
    with transaction(read_only=True) as session:
        found = ledger.live_at(session, model, at)
    if found is None:
        raise NotFound(f"decision about the model {model} by", at.isoformat())
    return LiveAtView.model_validate(found)


def list_entries(model: str | None, *, before_seq: int | None, limit: int) -> LedgerPage:
    """Return decisions about one model or all, the latest first.

    Raises:
        Unavailable: the database does not answer.
    """
    with transaction(read_only=True) as session:
        found = ledger.entries(session, model=model, before_seq=before_seq, limit=limit + 1)
        return ledger_page(found, limit=limit)


def get_verified() -> VerifiedView:
    """Verify every entry of the ledger.

    Raises:
        Unavailable: the database does not answer.
    """
    with transaction(read_only=True) as session:
        return VerifiedView.model_validate(ledger.verify(session))
