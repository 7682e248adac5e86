"""Every error Sanguine raises on purpose, in one tree; nothing here knows HTTP (`backend.api.errors` translates).

    SanguineError
    ├── SettingsError               the configuration cannot be used; the process does not start
    ├── StackError                  a step or a process of `run.py` ended as it should not
    ├── InputError                  the caller must change something
    │   ├── ValidationFailed        fields of a request are wrong, each with its reason
    │   ├── NotFound                no such thing
    │   ├── Gone                    there was such a thing, and it is no longer kept
    │   ├── Conflict                the thing is not in a state that allows this
    │   ├── KeyReused               an Idempotency-Key stands for another request
    │   ├── TooMany                 this client must wait before it submits more
    │   ├── NotServed               the request is valid and this installation cannot serve it
    │   ├── BadFile                 a file of rows cannot be read at all
    │   ├── TooLarge                what was sent is larger than this installation takes
    │   ├── RefusedArtifact         a model version cannot be used as it was sent
    │   ├── Unauthenticated         nobody knows who asks
    │   └── Forbidden               who asks may not do this
    ├── Unavailable                 the same call may succeed later
    │   └── Overloaded              too much is waiting already
    ├── ChildLost                   the process of some work ended without a result
    ├── ArchiveError                an archive cannot be written, or is not what it was
    ├── ModelError
    │   ├── UnknownModel            no such model in the catalogue
    │   ├── ArtifactError           a model's files are missing, altered or unreadable
    │   └── ColumnsMismatch         the rows given to a model are not the columns its manifest names
    └── AttemptEnded                a running attempt must stop now
        ├── Cancelled               the client asked for it
        ├── TimedOut                the attempt ran longer than its kind allows
        ├── Expired                 the job's time to finish has passed
        ├── HandedBack              the job is left to another worker, at no cost to it
        └── LeaseLost               another worker owns the job

A message names things by id. It never carries patient or donor data: messages are stored, logged and sent to clients.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class SanguineError(Exception):
    """Base of the tree; `code` is stable and machine-readable, the message is for people."""

    code = "error"


class SettingsError(SanguineError):
    """The configuration cannot be used."""

    code = "bad_settings"
    is_shown_in_logs = True  # it speaks of variables and files, before any data of people is read


class StackError(SanguineError):
    """A step or a process of the stack ended as it should not; the message holds its last lines."""

    code = "stack"


class InputError(SanguineError):
    """The caller must change the request."""

    code = "bad_input"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field of a request: where (dotted path, empty for the whole body) and why."""

    field: str
    reason: str


class ValidationFailed(InputError):
    """Fields of a request are wrong; `fields` says which and why."""

    code = "validation_failed"

    def __init__(self, fields: tuple[FieldError, ...]) -> None:
        self.fields = fields
        super().__init__("; ".join(f"{f.field or 'body'}: {f.reason}" for f in fields))


MOST_SHOWN = 100  # wrong fields in one answer


def wrong_fields(error: "ValidationError") -> tuple[FieldError, ...]:
    """Return pydantic's findings as ours: where and why, without the value that was sent."""
    return tuple(
        FieldError(".".join(str(part) for part in found["loc"]), found["msg"].removeprefix("Value error, "))
        for found in error.errors(include_url=False, include_input=False, include_context=False)
    )


class NotFound(InputError):
    """No such thing."""

    code = "not_found"

    def __init__(self, what: str, identifier: object) -> None:
        super().__init__(f"no {what} {identifier}")


class Gone(InputError):
    """There was such a thing, and it is no longer kept."""

    code = "gone"


class Conflict(InputError):
    """The thing is not in a state that allows this."""

    code = "conflict"


class KeyReused(InputError):
    """An Idempotency-Key stands for another request."""

    code = "idempotency_key_reused"


class TooMany(InputError):
    """This client must wait, `retry_after` seconds at least, before it submits more."""

    code = "too_many"

    def __init__(self, message: str, *, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class NotServed(InputError):
    """The request is valid but this installation cannot serve it, for example without any donors."""

    code = "not_served"


class BadFile(InputError):
    """A file of rows cannot be read at all; the message says where, what is wrong and what to do."""

    code = "bad_file"


class TooLarge(InputError):
    """What was sent is larger than this installation takes; the message says how much it takes."""

    code = "too_large"


class RefusedArtifact(InputError):
    """A model version cannot be used as it was sent; the message says why and what to do."""

    code = "artifact_refused"


class Unauthenticated(InputError):
    """Nobody knows who asks; the message says what to show."""

    code = "unauthenticated"


class Forbidden(InputError):
    """Who asks may not do this."""

    code = "forbidden"


class Unavailable(SanguineError):
    """Something we depend on does not answer; the same call may succeed later."""

    code = "unavailable"


class Overloaded(Unavailable):
    """Too much is waiting already; nothing was stored. `retry_after` is in seconds."""

    code = "overloaded"

    def __init__(self, message: str, *, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class ChildLost(SanguineError):
    """The process of some work ended without a result, for example because memory was used up."""

    code = "child_lost"


class ArchiveError(SanguineError):
    """An archive cannot be written, or is not what it was; the message names the file."""

    code = "archive_failed"


class ModelError(SanguineError):
    """Base of what can be wrong with a learned model."""

    code = "model_error"


class UnknownModel(ModelError):
    """No such model in the catalogue."""

    code = "unknown_model"


class ArtifactError(ModelError):
    """A model's files are missing, altered or unreadable; the message names the model and the file."""

    code = "bad_artifact"


class ColumnsMismatch(ModelError):
    """The rows given to a model are not the columns its manifest names."""

    code = "columns_mismatch"


class AttemptEnded(SanguineError):
    """A running attempt must stop now."""

    code = "attempt_ended"


class Cancelled(AttemptEnded):
    """The client asked for the job to stop."""

    code = "cancelled"


class TimedOut(AttemptEnded):
    """The attempt ran longer than its kind allows."""

    code = "timed_out"


class Expired(AttemptEnded):
    """The job's time to finish has passed; its result would come too late."""

    code = "expired"


class HandedBack(AttemptEnded):
    """The job is left to another worker and goes on from its checkpoint; the attempt does not count."""

    code = "handed_back"


class LeaseLost(AttemptEnded):
    """Another worker owns the job now; nothing of this attempt may be stored."""

    code = "lease_lost"
