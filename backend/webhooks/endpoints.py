"""Registering, changing and removing the addresses that hear of the ends of jobs."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from backend.errors import FieldError, NotFound, ValidationFailed
from backend.extensions import transaction
from backend.webhooks.addresses import check_url
from backend.webhooks.schemas import EndpointList, EndpointNew, EndpointPatch, EndpointView, EndpointWithSecret
from backend.webhooks.signing import current_signer
from backend.webhooks.subscriptions import announced_kinds, current_subscriptions
from backend.webhooks.tables import WebhookEndpoint


def register(new: EndpointNew, *, account: str | None, now: datetime) -> EndpointWithSecret:
    """Register an address; an account's jobs that are submitted from now on are announced to it, or (None) everybody's.

    Raises:
        ValidationFailed: the address may not be called, or a kind of job does not exist.
    """
    _check_kinds(new.kinds)
    check_url(new.url, field="url")
    asked = new.model_dump(mode="json")
    row = WebhookEndpoint(id=uuid4(), account=account, enabled=True, secret_version=1, created_at=now, **asked)
    with transaction() as session:
        session.add(row)
    current_subscriptions().forget()
    return _with_secret(row)


def list_endpoints(*, account: str | None) -> EndpointList:
    """Return the addresses that an account registered, or (None) all of them."""
    query = select(WebhookEndpoint).order_by(WebhookEndpoint.created_at, WebhookEndpoint.id)
    if account is not None:
        query = query.where(WebhookEndpoint.account == account)
    with transaction(read_only=True) as session:
        rows = session.scalars(query).all()
    return EndpointList(webhooks=[EndpointView.model_validate(row) for row in rows])


def get_endpoint(endpoint_id: UUID) -> EndpointView:
    """Return one registered address.

    Raises:
        NotFound: there is no such address.
    """
    with transaction(read_only=True) as session:
        return EndpointView.model_validate(find_endpoint(session, endpoint_id))


def change(endpoint_id: UUID, patch: EndpointPatch) -> EndpointView:
    """Change a registered address; what is on its way goes to the new one.

    Raises:
        NotFound: there is no such address.
        ValidationFailed: the new address may not be called, or a kind of job does not exist.
    """
    changes = patch.model_dump(mode="json", exclude_unset=True)
    _check_kinds(patch.kinds)
    if "url" in changes:
        check_url(patch.url, field="url")
    with transaction() as session:
        row = find_endpoint(session, endpoint_id, for_update=True)
        for field, value in changes.items():
            setattr(row, field, value)
        if "enabled" in changes:
            row.disabled_reason = None
    current_subscriptions().forget()
    return EndpointView.model_validate(row)


def remove(endpoint_id: UUID) -> None:
    """Forget an address and what was told to it; what is on its way is not sent.

    Raises:
        NotFound: there is no such address.
    """
    with transaction() as session:
        session.execute(delete(WebhookEndpoint).where(WebhookEndpoint.id == find_endpoint(session, endpoint_id).id))
    current_subscriptions().forget()


def rotate(endpoint_id: UUID, *, now: datetime) -> EndpointWithSecret:
    """Give an address a new secret; messages are signed with the old one, too, for a day.

    Raises:
        NotFound: there is no such address.
    """
    with transaction() as session:
        row = find_endpoint(session, endpoint_id, for_update=True)
        row.secret_version, row.rotated_at = row.secret_version + 1, now
    return _with_secret(row)


def find_endpoint(session: Session, endpoint_id: UUID, *, for_update: bool = False) -> WebhookEndpoint:
    """Return the row of an address.

    Raises:
        NotFound: there is no such address.
    """
    row = session.get(WebhookEndpoint, endpoint_id, with_for_update=for_update or None)
    if row is None:
        raise NotFound("webhook", endpoint_id)
    return row


def require_endpoint_of(account: str, endpoint_id: UUID) -> None:
    """See that an account registered an address.

    Raises:
        NotFound: it did not, or there is no such address; nobody can tell which.
    """
    with transaction(read_only=True) as session:
        if find_endpoint(session, endpoint_id).account != account:
            raise NotFound("webhook", endpoint_id)


def _check_kinds(kinds: Sequence[str] | None) -> None:
    offered = announced_kinds()
    if not offered.issuperset(kinds or ()):
        reason = f"there is no such kind; there are {', '.join(sorted(offered))}"
        raise ValidationFailed((FieldError("kinds", reason),))


def _with_secret(row: WebhookEndpoint) -> EndpointWithSecret:
    secret = current_signer().endpoint_secret(row.id, row.secret_version)
    return EndpointWithSecret(**EndpointView.model_validate(row).model_dump(), secret=secret)
