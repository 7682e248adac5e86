"""The events of a job over HTTP: server-sent events, as browsers' EventSource reads them."""

from collections.abc import Iterator
from contextlib import ExitStack
from http import HTTPStatus
from uuid import UUID

from flask import Blueprint, Flask, Response, current_app, request

from backend.api.guard import requires
from backend.errors import FieldError, ValidationFailed
from backend.jobs.events import Event, Position, Timeline, follow, read_timeline
from backend.jobs.news import current_news
from backend.security.permissions import Permission

EVENT_STREAM = "text/event-stream"
LAST_EVENT_ID = "Last-Event-ID"
COME_BACK = 2_000  # milliseconds after which a client whose stream has ended comes back

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx would keep events back

blueprint = Blueprint("events", __name__)


@blueprint.get("/jobs/<uuid:job_id>/events")
@requires(Permission.PREDICT)
def stream(job_id: UUID) -> Response:
    """Send what happened to a job since the event that the client had last, and what happens until its end."""
    timeline = read_timeline(job_id)
    after = _last_event(timeline)
    if timeline.over and after == timeline.moves()[-1].position:
        return Response(status=HTTPStatus.NO_CONTENT, headers=_HEADERS)  # which stops an EventSource
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - the documented way

    def _read() -> Timeline:
        with app.app_context():
            return read_timeline(job_id)

    with ExitStack() as place:
        watch = place.enter_context(current_news().expected(job_id))
        events = follow(timeline, watch, after=after, read=_read)
        response = Response(_written(events), content_type=EVENT_STREAM, headers=_HEADERS)
        response.call_on_close(place.pop_all().close)  # also when nothing was ever read of it
    return response


def _last_event(timeline: Timeline) -> Position | None:
    """Return the event after which the client wants to go on.

    Raises:
        ValidationFailed: the header names no event of the job.
    """
    text = request.headers.get(LAST_EVENT_ID)
    if text is None:
        return None
    position = Position.parse(text)
    if position is None:
        reason = "must be the id of an event as it was sent: <number> or <number>.<permille>, such as 2 or 2.350"
        raise ValidationFailed((FieldError(LAST_EVENT_ID, reason),))
    if not timeline.had(position):
        reason = f"names no event that job {timeline.job.id} has had; leave it out to get them all"
        raise ValidationFailed((FieldError(LAST_EVENT_ID, reason),))
    return position


def _written(events: Iterator[Event | None]) -> Iterator[str]:
    yield f"retry: {COME_BACK}\n\n"
    for event in events:
        if event is None:
            yield ":\n\n"
        else:
            name = "progress" if event.is_progress else "state"
            yield f"id: {event.position}\nevent: {name}\ndata: {event.job.model_dump_json()}\n\n"
