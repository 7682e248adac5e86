"""What a domain declares to answer about the rows of a file, beside the models of the catalogue."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from backend.jobs.context import Models
from backend.resources.declaration import Refused
from backend.tabular.columns import Column


@dataclass(frozen=True, slots=True, kw_only=True)
class RowScorer:
    """A question about rows: POST /batches with `scorer`, answered row by row.

    `score` gets validated rows, the models and the moment that the batch is about, and answers for each, in order, with
    the values of `columns` or why it cannot. The same rows and moment must give the same answers.
    """

    name: str  # "domain.question"
    summary: str
    row: type[BaseModel]
    columns: tuple[Column, ...]
    models: tuple[str, ...]  # that it asks; a batch sees one version of each
    score: Callable[[Sequence[Any], Models, datetime], Sequence[tuple[Any, ...] | Refused]]
