"""The blood service's questions about the rows of a file: the same answers as for single donors, a donor a row."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from backend.batches.declaration import RowScorer
from backend.domains.blood.availability_jobs import AVAILABILITY
from backend.domains.blood.donor_cases import Cases, read_cases
from backend.domains.blood.donor_schemas import MOST_DONORS, DonorsRequest
from backend.domains.blood.features import availability_features, response_features
from backend.domains.blood.queries import registered_at
from backend.domains.blood.response import MODEL as RESPONSE
from backend.domains.blood.response import answered_within, median_of_answers, predict_hazards
from backend.domains.blood.schemas import Input, RowId
from backend.extensions import transaction
from backend.jobs.context import Models
from backend.resources.declaration import Refused
from backend.tabular.columns import Column, Kind

Answers = list[tuple[Any, ...] | Refused]

DAY_HOURS = 24.0


class DonorRow(Input):
    """One stored donor, asked for the reference need of POST /predict_availability."""

    donor_id: RowId


def score_availability(rows: Sequence[DonorRow], models: Models, as_of: datetime) -> Answers:
    """Say how likely each donor accepts if asked at `as_of`."""

    def answer(cases: Cases) -> Iterator[tuple[Any, ...]]:
        accepts = models.predict(AVAILABILITY, availability_features(cases.history, cases.asks).values)
        for standing, acceptance in zip(cases.standings, accepts.tolist(), strict=True):
            eligible = standing["eligible"]
            yield eligible, standing["eligible_on"], acceptance, acceptance if eligible else 0.0

    return _by_thousands(rows, as_of, answer)


def score_response_time(rows: Sequence[DonorRow], models: Models, as_of: datetime) -> Answers:
    """Say when each donor would answer if asked at `as_of`."""

    def answer(cases: Cases) -> Iterator[tuple[Any, ...]]:
        hazards, edges = predict_hazards(models, response_features(cases.history, cases.asks).values)
        in_a_day = answered_within(hazards, edges, np.full(len(hazards), DAY_HOURS))
        medians = median_of_answers(hazards, edges)
        for standing, median, share in zip(cases.standings, medians.tolist(), in_a_day.tolist(), strict=True):
            yield standing["eligible"], median, share

    return _by_thousands(rows, as_of, answer)


def _by_thousands(
    rows: Sequence[DonorRow], as_of: datetime, answer: Callable[[Cases], Iterator[tuple[Any, ...]]]
) -> Answers:
    """Answer about the donors that were there at `as_of`, in as many queries as single requests would need."""
    answers: Answers = []
    for start in range(0, len(rows), MOST_DONORS):
        ids = [row.donor_id for row in rows[start : start + MOST_DONORS]]
        with transaction(read_only=True) as session:
            registered = registered_at(session, ids)
            known = [one for one in ids if one in registered and registered[one] <= as_of]
            found: Iterator[tuple[Any, ...]] = iter(())
            if known:
                cases = read_cases(session, DonorsRequest(donors=tuple(known), at=as_of), now=as_of)
        if known:
            found = answer(cases)
        for one in ids:
            if one not in registered:
                answers.append(Refused("donor_id", "there is no such donor"))
            elif registered[one] > as_of:
                answers.append(Refused("donor_id", "the donor was registered later"))
            else:
                answers.append((one, *next(found)))
    return answers


SCORERS = (
    RowScorer(
        name="blood.availability",
        summary="How likely each donor accepts if asked",
        row=DonorRow,
        columns=(
            Column("donor_id", Kind.INTEGER),
            Column("eligible", Kind.BOOLEAN),
            Column("eligible_on", Kind.DATE),
            Column("acceptance_probability", Kind.NUMBER),
            Column("availability_probability", Kind.NUMBER),
        ),
        models=(AVAILABILITY,),
        score=score_availability,
    ),
    RowScorer(
        name="blood.response_time",
        summary="When each donor answers if asked",
        row=DonorRow,
        columns=(
            Column("donor_id", Kind.INTEGER),
            Column("eligible", Kind.BOOLEAN),
            Column("median_hours", Kind.NUMBER),
            Column("answered_within_24_hours", Kind.NUMBER),
        ),
        models=(RESPONSE,),
        score=score_response_time,
    ),
)
