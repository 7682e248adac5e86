"""What can be asked about a row: a model of the catalogue, or a question of a domain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from backend.batches.declaration import RowScorer
from backend.batches.schemas import BatchQuery, BatchRequest
from backend.errors import BadFile, FieldError, UnknownModel, ValidationFailed, wrong_fields
from backend.extensions import current
from backend.inference.client import ModelClient
from backend.inference.columns import LARGEST_WHOLE
from backend.inference.manifest import Manifest
from backend.jobs.context import Models
from backend.resources.declaration import Refused
from backend.tabular.blocks import Block, RowError, in_order
from backend.tabular.columns import Column, Kind

ROW = Column("row", Kind.INTEGER)
PREDICTION = Column("prediction", Kind.NUMBER)


@dataclass(frozen=True, slots=True)
class Asked:
    """The usable rows of a block as the target takes them, and the others."""

    numbers: Sequence[int] | NDArray[np.int64]
    rows: Any
    errors: Sequence[RowError]


@dataclass(frozen=True, slots=True)
class Answered:
    """The answers about a block by column, and the rows without one."""

    columns: Mapping[str, Any]
    errors: Sequence[RowError]


class Target(Protocol):
    """Something that answers about rows."""

    @property
    def models(self) -> tuple[str, ...]:
        """The models it asks."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the result."""

    def reads(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Return which of a file's columns it reads.

        Raises:
            BadFile: a column that it needs is not there.
        """

    def read(self, block: Block, reads: Sequence[str]) -> Asked:
        """Parse and check the rows of a block; runs in a thread of its own while others are answered."""

    def answer(self, asked: Asked, models: Models, as_of: datetime) -> Answered:
        """Answer about the rows of a block."""


class ModelTarget:
    """A model: its columns in, one number out."""

    columns = (ROW, PREDICTION)

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        whole = [(place, column) for place, column in enumerate(manifest.columns) if column.dtype in LARGEST_WHOLE]
        self._whole = [(place, column.name, LARGEST_WHOLE[column.dtype]) for place, column in whole]

    @property
    def models(self) -> tuple[str, ...]:
        """The model itself."""
        return (self._manifest.name,)

    def reads(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Return the model's columns, in its order; others are left alone.

        Raises:
            BadFile: one is not there.
        """
        needed = tuple(column.name for column in self._manifest.columns)
        _need(needed, columns, of=f"model {self._manifest.name}")
        return needed

    def read(self, block: Block, reads: Sequence[str]) -> Asked:
        """Read numbers, whole ones where the model takes no others."""
        numbers = block.numbers(reads)
        if not self._whole:
            return Asked(numbers.rows, numbers.values, numbers.errors)
        fits, refused = self._only_whole(numbers.rows, numbers.values)
        return Asked(numbers.rows[fits], numbers.values[fits], in_order(numbers.errors, refused))

    def answer(self, asked: Asked, models: Models, as_of: datetime) -> Answered:  # noqa: ARG002
        """Predict; a model knows no moment but its columns."""
        predictions = models.predict(self._manifest.name, asked.rows)
        return Answered({ROW.name: asked.numbers, PREDICTION.name: predictions}, asked.errors)

    def _only_whole(self, rows: Any, values: Any) -> tuple[Any, list[RowError]]:  # noqa: ANN401 - arrays
        fits = np.ones(len(rows), dtype=np.bool_)
        errors = []
        for place, name, largest in self._whole:
            column = values[:, place]
            wrong = fits & ~((column == np.trunc(column)) & (np.abs(column) <= largest))
            errors += [RowError(int(row), name, "must be a whole number") for row in rows[wrong]]
            fits &= ~wrong
        return fits, errors


class ScorerTarget:
    """A question of a domain: validated rows in, its columns out."""

    def __init__(self, scorer: RowScorer) -> None:
        self._scorer = scorer
        self.columns = (ROW, *scorer.columns)
        self.models = scorer.models

    def reads(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Return the columns that the question knows; others are left alone.

        Raises:
            BadFile: one that it needs is not there.
        """
        fields = self._scorer.row.model_fields
        _need([name for name, field in fields.items() if field.is_required()], columns, of=self._scorer.name)
        return tuple(name for name in fields if name in columns)

    def read(self, block: Block, reads: Sequence[str]) -> Asked:
        """Validate."""
        records = block.records(reads)
        errors = list(records.errors)
        numbers, rows = [], []
        for number, values in records.rows:
            try:
                row = self._scorer.row.model_validate({name: v for name, v in values.items() if v is not None})
            except ValidationError as error:
                errors += row_errors(number, error)
            else:
                numbers.append(number)
                rows.append(row)
        return Asked(numbers, rows, errors)

    def answer(self, asked: Asked, models: Models, as_of: datetime) -> Answered:
        """Ask."""
        answers = self._scorer.score(asked.rows, models, as_of) if asked.rows else []
        pairs = list(zip(asked.numbers, answers, strict=True))
        kept = [(number, one) for number, one in pairs if not isinstance(one, Refused)]
        refused = [RowError(int(number), one.field, one.reason) for number, one in pairs if isinstance(one, Refused)]
        columns: dict[str, Any] = {ROW.name: [number for number, _ in kept]}
        for place, column in enumerate(self._scorer.columns):
            columns[column.name] = [values[place] for _, values in kept]
        return Answered(columns, in_order(asked.errors, refused))


def target_of(asked: BatchQuery | BatchRequest) -> Target:
    """Return what a batch asks.

    Raises:
        ValidationFailed: the catalogue has no such model, or no domain such a question.
        ArtifactError: the catalogue cannot be read.
    """
    if asked.model is not None:
        try:
            return ModelTarget(cast("ModelClient", current("models")).catalogued(asked.model))
        except UnknownModel as error:
            raise ValidationFailed((FieldError("model", str(error)),)) from error
    scorers = cast("dict[str, RowScorer]", current("scorers"))
    if asked.scorer not in scorers:
        known = ", ".join(sorted(scorers)) or "none"
        raise ValidationFailed((FieldError("scorer", f"unknown; this installation has {known}"),))
    return ScorerTarget(scorers[asked.scorer])


def row_errors(row: int, error: ValidationError) -> list[RowError]:
    """Return what is wrong with a row, a field each, without its values."""
    return [RowError(row, field.field or None, field.reason) for field in wrong_fields(error)]


def _need(needed: Sequence[str], columns: Sequence[str], *, of: str) -> None:
    missing = [name for name in needed if name not in columns]
    if missing:
        them = "it" if len(missing) == 1 else "them"
        raise BadFile(f"the file has no column {', '.join(missing)}; {of} needs {them}")
