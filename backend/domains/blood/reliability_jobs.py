"""The job that rescores every donor's reliability, range by range of their ids; a killed one goes on where it was."""

from datetime import datetime
from typing import Any

import numpy as np
from pydantic import BaseModel

from backend.clock import utc_now
from backend.domains.blood.history import index_commitments
from backend.domains.blood.parameters import ReliabilityParameters, parameters_of
from backend.domains.blood.records import Floats, Ints
from backend.domains.blood.reliability import Evidence, gather, posterior_quantile
from backend.domains.blood.reliability_queries import (
    Ended,
    count_donors,
    donors_after,
    ended_commitments,
    write_scores,
)
from backend.domains.blood.schemas import RescoreRequest, RescoreResult
from backend.errors import FieldError, ValidationFailed
from backend.jobs.context import JobContext
from backend.ml.calibration import LogisticCalibration

RELIABILITY = "donor_reliability"
CHUNK = 10_000  # donors of one transaction: others write after a fraction of a second


class _Done(BaseModel):
    """How far the job has come; the moment is that of its first attempt."""

    as_of: datetime
    after: int = 0  # the last donor scored
    scored: int = 0
    with_commitments: int = 0


def check_rescore(request: RescoreRequest) -> None:
    """Refuse a moment that has not come.

    Raises:
        ValidationFailed: `as_of` is in the future.
    """
    if request.as_of is not None and request.as_of > utc_now():
        raise ValidationFailed((FieldError("as_of", "the moment has not come yet"),))


def rescore_reliability(request: RescoreRequest, context: JobContext) -> RescoreResult:
    """Score every donor as of one moment and write `donor_reliability`; a score of a later moment stays.

    Raises:
        ModelError: the model cannot be served, or is not the empirical-Bayes one.
    """
    manifest = context.models.manifest(RELIABILITY)
    done = _Done.model_validate(context.checkpoint or {"as_of": request.as_of or context.clock()})
    with context.read() as session:
        donors = count_donors(session)
    while True:
        context.progress(done.scored / max(donors, done.scored, 1), f"{done.scored:,} of {donors:,} donors scored")
        with context.read() as session:
            ids = donors_after(session, done.after, limit=CHUNK)
            if not len(ids):
                break
            ended = ended_commitments(session, first=int(ids[0]), last=int(ids[-1]), before=done.as_of)
        evidence = _evidence(ids, ended, done.as_of)
        rows = _rows(ids, evidence, *_score(evidence, context), as_of=done.as_of, version=manifest.version)
        done = _Done(
            as_of=done.as_of,
            after=int(ids[-1]),
            scored=done.scored + len(ids),
            with_commitments=done.with_commitments + int(np.count_nonzero(evidence.commitments)),
        )
        with context.commit(done.model_dump(mode="json")) as session:
            write_scores(session, rows)
    return RescoreResult(
        as_of=done.as_of,
        donors=done.scored,
        with_commitments=done.with_commitments,
        models={RELIABILITY: manifest.version},
    )


def _evidence(ids: Ints, ended: Ended, as_of: datetime) -> Evidence:
    row = np.searchsorted(ids, ended.donor_id).astype(np.int32)
    known = ids[np.minimum(row, len(ids) - 1)] == ended.donor_id  # a donor may be gone between the two reads
    outcomes = index_commitments(
        donors=len(ids), donor=row[known], outcome=ended.outcome[known], ended_at=ended.ended_at[known]
    )
    return gather(outcomes, donors=len(ids), as_of=as_of.timestamp())


def _score(evidence: Evidence, context: JobContext) -> tuple[Floats, Floats]:
    """Return the posterior's mean, as everything else that asks the model gets it, and its lower end (n,)."""
    manifest = context.models.manifest(RELIABILITY)
    prior = parameters_of(manifest, ReliabilityParameters).prior
    lower = posterior_quantile(evidence, prior=(prior.kept, prior.broken))
    if (fitted := manifest.calibration) is not None:
        lower = LogisticCalibration(slope=fitted.slope, intercept=fitted.intercept).apply(lower)
    return context.models.predict(RELIABILITY, evidence.features), lower


def _rows(
    ids: Ints, evidence: Evidence, mean: Floats, lower: Floats, *, as_of: datetime, version: str
) -> list[dict[str, Any]]:
    same = {"as_of": as_of, "model_version": version}
    columns = (ids, mean, lower, evidence.n, evidence.commitments)
    return [
        {"donor_id": donor, "mean": m, "lower_10": low, "n": n, "commitments": count} | same
        for donor, m, low, n, count in zip(*(column.tolist() for column in columns), strict=True)
    ]
