"""The job that looks whether donors and requests are still what the models were trained on."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from backend.domains.blood.drift_queries import AsksMade, read_asks
from backend.domains.blood.drift_rows import WATCHED
from backend.domains.blood.drift_schemas import ColumnDrift, DriftRequest, DriftResult, ModelDrift
from backend.domains.blood.tables import DriftReport
from backend.inference.manifest import Manifest
from backend.jobs.context import JobContext
from backend.ml.drift import Shift, Verdict, measure_shift, verdicts

WINDOW: Final = timedelta(days=28)  # whole weeks: each weekday counts alike
OUTPUT: Final = "output"
WORST: Final = 5


@dataclass(frozen=True, slots=True)
class _Measured:
    """One column of one model; `shift` is None if there were too few asks."""

    model: str
    column: str
    shift: Shift | None


def measure_drift(_request: DriftRequest, context: JobContext) -> DriftResult:
    """Compare columns and outputs of all models on the asks of the last weeks with their references, and store it.

    Raises:
        ModelError: a model cannot be served.
    """
    at = context.clock()
    with context.read() as session:
        made = read_asks(session, since=at - WINDOW, until=at)
    n = len(made.asks)
    manifests = [context.models.manifest(model) for model in WATCHED]
    measured: list[_Measured] = []
    for place, manifest in enumerate(manifests):
        context.progress(0.3 + 0.7 * place / len(manifests), f"{manifest.name}: {n:,} asks")
        measured += _measure(manifest, made, context)
    found = _judge(measured, n)
    context.store(*_rows(found, manifests, at=at, context=context))
    return DriftResult(
        at=at,
        since=at - WINDOW,
        models=[_summary(manifest, found.get(manifest.name, []), n) for manifest in manifests],
    )


def _measure(manifest: Manifest, made: AsksMade, context: JobContext) -> list[_Measured]:
    """Compare every column of one model, and its output, with the reference of its version, if it has one."""
    reference = manifest.reference
    if reference is None:
        return []
    rows = WATCHED[manifest.name](made.history, made.asks)
    now = {name: rows[:, place] for place, name in enumerate(manifest.column_names)}
    now[OUTPUT] = context.models.predict(manifest.name, rows)
    bins = reference.columns | {OUTPUT: reference.output}
    return [
        _Measured(
            manifest.name,
            column,
            measure_shift(bins[column], rows=reference.rows, values=values, group=made.request),
        )
        for column, values in now.items()
    ]


def _judge(measured: list[_Measured], n: int) -> dict[str, list[ColumnDrift]]:
    """Return what is said of each model's columns; all columns of all models share the allowance for chance."""
    found: dict[str, list[ColumnDrift]] = {}
    for one, verdict in zip(measured, verdicts([one.shift for one in measured]), strict=True):
        effect, p = (None, None) if one.shift is None else (one.shift.effect, one.shift.p)
        found.setdefault(one.model, []).append(ColumnDrift(column=one.column, n=n, effect=effect, p=p, verdict=verdict))
    return found


def _rows(
    found: dict[str, list[ColumnDrift]], manifests: list[Manifest], *, at: datetime, context: JobContext
) -> list[DriftReport]:
    return [
        DriftReport(job_id=context.job_id, at=at, model=manifest.name, version=manifest.version, **column.model_dump())
        for manifest in manifests
        for column in found.get(manifest.name, [])
    ]


def _summary(manifest: Manifest, columns: list[ColumnDrift], n: int) -> ModelDrift:
    drifted = [column for column in columns if column.verdict is Verdict.DRIFTED]
    reason = None
    if manifest.reference is None:
        reason = "this version has no reference: train it again"
    elif all(column.verdict is Verdict.TOO_FEW for column in columns):
        reason = "too few asks or requests to say anything"
    return ModelDrift(
        model=manifest.name,
        version=manifest.version,
        n=n,
        columns=len(columns),
        drifted=len(drifted),
        worst=sorted(drifted, key=lambda column: -(column.effect or 0.0))[:WORST],
        reason=reason,
    )
