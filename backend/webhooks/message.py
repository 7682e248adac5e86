"""What a webhook says: which job ended and how. What it was asked and what it found is fetched, by those who may."""

import json
from datetime import UTC, datetime
from uuid import UUID

TEST_TYPE = "webhook.test"
JOB_PATH = "/api/ml/jobs/{job_id}"


def event_type(state: str) -> str:
    """Return the type of event that a job's end in `state` is."""
    return f"job.{state}"


def job_message(*, job_id: UUID, kind: str, state: str, finished_at: datetime) -> bytes:
    """Return the body that says how a job ended; the same bytes each time."""
    data = {"job_id": str(job_id), "kind": kind, "state": state, "url": JOB_PATH.format(job_id=job_id)}
    return _encode(event_type(state), finished_at, data)


def test_message(*, endpoint_id: UUID, at: datetime) -> bytes:
    """Return the body of a test; the same bytes each time."""
    return _encode(TEST_TYPE, at, {"endpoint_id": str(endpoint_id)})


def _encode(type_: str, at: datetime, data: dict[str, str]) -> bytes:
    timestamp = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return json.dumps({"type": type_, "timestamp": timestamp, "data": data}, separators=(",", ":")).encode()
