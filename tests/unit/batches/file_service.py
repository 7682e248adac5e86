"""The whole service in one process: uploads over HTTP, and a worker that runs when a test says so."""

import csv
import io
from uuid import UUID

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from backend.domains.catalog import job_kinds
from backend.extensions import transaction
from backend.files.storage import Storage
from backend.jobs.execute import Worker, execute
from backend.jobs.leases import LeaseKeeper
from backend.jobs.tables import Job
from tests.unit.conftest import LEASE, SilentDoorbell

MEDIA_TYPES = {"csv": "text/csv", "ndjson": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}


class FileService:
    """An application with a doorbell that remembers its rings, and a worker that answers them."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.doorbell = SilentDoorbell()
        app.extensions["doorbell"] = self.doorbell
        leases = LeaseKeeper(app.app_context, lease=LEASE)
        self.worker = Worker(
            name="w1", models=app.extensions["models"], leases=leases, lease=LEASE, news=app.extensions["news"]
        )
        self.kinds = {kind.name: kind for kind in job_kinds()}
        self.client: FlaskClient = app.test_client()
        self.storage: Storage = app.extensions["files"]

    def run(self, *, most: int | None = None) -> int:
        """Answer rings in their order until none is left, or `most` of them; returns how many."""
        answered = 0
        while self.doorbell.rings and answered != most:
            name, _queue, job_id = self.doorbell.rings.pop(0)
            execute(self.kinds[name], job_id, self.worker)
            answered += 1
        return answered

    def upload(self, path: str, body: str | bytes, *, format_: str = "csv", **options):
        """POST a file below the API's prefix."""
        return self.client.post(f"/api/ml{path}", data=body, content_type=MEDIA_TYPES[format_], **options)

    def finish(self, accepted):
        """Run what was accepted and return how the work on it ended."""
        assert accepted.status_code == 202, accepted.text
        self.run()
        return self.work(accepted.json["id"])

    def work(self, job_id):
        """Return how far the work on a file is."""
        found = self.client.get(f"/api/ml/batches/{job_id}")
        assert found.status_code == 200, found.text
        return found.json

    def file(self, job_id, role: str) -> bytes:
        """Download a file of a job."""
        with self.client.get(f"/api/ml/jobs/{job_id}/files/{role}") as sent:
            assert sent.status_code == 200, sent.text
            return sent.data

    def rows(self, job_id, role: str) -> list[dict[str, str]]:
        """Download a file of a job that is CSV, as rows."""
        return list(csv.DictReader(io.StringIO(self.file(job_id, role).decode())))

    def refused(self, job_id) -> list[tuple[int, str, str]]:
        """Return row, column and reason of what is in a job's file of errors."""
        return [(int(row["row"]), row["column"], row["reason"]) for row in self.rows(job_id, "errors")]

    def imported(self, name: str, body: str | bytes, *, format_: str = "csv"):
        """Import a file and return the result of its job."""
        done = self.finish(self.upload(f"/imports/{name}", body, format_=format_))
        assert done["state"] == "succeeded", done["error"]
        return {"id": done["id"]} | done["result"]


def parts_of(job_id: str) -> list[Job]:
    """Return the parts of a job."""
    with transaction(read_only=True) as session:
        return list(session.scalars(select(Job).where(Job.parent_id == UUID(job_id)).order_by(Job.part)))


def counts(result) -> tuple[int, int, int, int]:
    """Return how many rows were created, updated, unchanged and refused."""
    return result["created"], result["updated"], result["unchanged"], result["failed"]


def folders(service: FileService) -> list[UUID]:
    """Return the jobs that have a folder of files."""
    return list(service.storage.jobs())


def jobs() -> int:
    """Return how many jobs are stored."""
    with transaction(read_only=True) as session:
        return len(session.scalars(select(Job.id)).all())
