"""Reading whom a request asked, with contact data masked until a donor accepted."""

from datetime import datetime

from backend.clock import utc_now
from backend.domains.blood.contact_masking import Commitment, is_revealed, mask_name, mask_phone
from backend.domains.blood.outcome_queries import asks_page, count_asks
from backend.domains.blood.outcome_schemas import AsksPage, AsksQuery, AsksSummary, RecordedAsk
from backend.domains.blood.queries import find_request
from backend.domains.blood.tables import BloodRequest, ContactOutcome, Donor
from backend.errors import NotFound
from backend.extensions import transaction


def asks_of_request(query: AsksQuery) -> AsksPage:
    """Return the asks of a request, in the order recorded, and how far all of them have come.

    Raises:
        NotFound: there is no such request.
    """
    now = utc_now()
    with transaction(read_only=True) as session:
        request = find_request(session, query.request_id)
        if request is None:
            raise NotFound("blood request", query.request_id)
        found = asks_page(session, request.id, after_id=query.after_id, limit=query.limit + 1)
        summary = AsksSummary.model_validate(count_asks(session, request.id))
    page = [_shown(ask, donor, request, now) for ask, donor in found[: query.limit]]
    return AsksPage(summary=summary, asks=page, next_after_id=page[-1].id if len(found) > query.limit else None)


def _shown(ask: ContactOutcome, donor: Donor, request: BloodRequest, now: datetime) -> RecordedAsk:
    revealed = is_revealed(
        Commitment(
            consented=donor.consented,
            answer=ask.answer,
            answered_at=ask.answered_at,
            outcome=ask.outcome,
            ended_at=ask.ended_at,
            urgency=request.urgency,
            needed_by=request.needed_by,
            cancelled_at=request.cancelled_at,
        ),
        now=now,
    )
    contact = {
        "name": donor.name if revealed else mask_name(donor.name),
        "phone": donor.phone if revealed else mask_phone(donor.phone),
    }
    rest = {name: getattr(ask, name) for name in RecordedAsk.model_fields if name not in ("name", "phone", "revealed")}
    return RecordedAsk.model_validate(contact | rest | {"revealed": revealed})
