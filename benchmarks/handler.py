"""Call the matching job's function as a worker does, without queue and HTTP: `python -m benchmarks.handler`."""

import json
import time
from uuid import uuid4

from backend.app import create_app
from backend.domains.blood.match_jobs import MODELS, POOL, match_donors
from backend.domains.blood.schemas import MatchRequest, MatchResult
from backend.jobs.context import JobContext, RecordingModels
from benchmarks.requests import match_bodies

REQUESTS, ROUNDS, WARM_UP = 50, 3, 10


def main() -> None:
    """Print seconds to read the donors, and milliseconds and candidates of each call."""
    app = create_app()
    client = app.extensions["models"]
    client.preload(MODELS)

    def match(request: MatchRequest) -> MatchResult:
        context = JobContext(job_id=uuid4(), models=RecordingModels(client))
        context.begin(timeout=60.0)
        return match_donors(request, context)

    with app.app_context():
        started = time.perf_counter()
        POOL.snapshot()
        load_seconds = time.perf_counter() - started
        for body in match_bodies(WARM_UP, seed=0):
            match(MatchRequest.model_validate(body))
        milliseconds, candidates = [], []
        for request in [MatchRequest.model_validate(body) for body in match_bodies(REQUESTS, seed=1)] * ROUNDS:
            started = time.perf_counter()
            result = match(request)
            milliseconds.append(1_000.0 * (time.perf_counter() - started))
            candidates.append(result.ask.pool)
    print(json.dumps({"load_seconds": load_seconds, "milliseconds": milliseconds, "candidates": candidates}))


if __name__ == "__main__":
    main()
