"""`python -m backend.domains.blood.evaluate_uci FILE.csv`: the availability model's recipe on real donors.

The UCI blood transfusion data (Yeh 2008; OpenML 1464) say of 748 donors of Hsinchu whether they gave in March 2007,
with four columns: months since the last donation, donations, blood given in total, months since the first. The recipe
is the one `donor_availability` is trained by: the same candidates, chosen and calibrated on slices of their own.

Scored by 10-fold cross-validation, three times over. Rows with equal columns are one group and stay in one fold: 215 of
them are exact duplicates, and a copy in the training folds would be a leak. Published results end at an AUC of .76.
"""

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from backend.domains.blood.records import Floats, Ints
from backend.domains.blood.training.candidates import Sample, fit_logistic
from backend.domains.blood.training.dataset import CUTS
from backend.domains.blood.training.models import availability_candidates
from backend.domains.blood.training.tasks import calibrate, choose
from backend.errors import InputError
from backend.ml.metrics import auc, brier_score, log_loss

COLUMNS: Final = ("Recency", "Frequency", "Monetary", "Time")
LABEL: Final = "class"
FOLDS, REPEATS = 10, 3
LEAK = 0.78

Predictor = Callable[[Sample, Floats, int], Floats]
Scores = dict[str, float]


class BadTable(InputError):
    """The file is not the table that is expected; the message says where."""

    code = "bad_table"


def read_table(path: Path) -> Sample:
    """Return the four columns (n, 4) and whether each donor gave (n,).

    Raises:
        BadTable: the file cannot be read, lacks a column, or a cell is not a number; the line is named.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            missing = [name for name in (*COLUMNS, LABEL) if name not in (rows.fieldnames or ())]
            if missing:
                raise BadTable(f"{path}: no column {', '.join(missing)}; expected {', '.join((*COLUMNS, LABEL))}")
            values = [[_number(path, rows.line_num, row, name) for name in (*COLUMNS, LABEL)] for row in rows]
    except OSError as error:
        raise BadTable(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadTable(f"{path}: not text in UTF-8") from error
    table = np.array(values).reshape(-1, len(COLUMNS) + 1)
    labels = np.unique(table[:, -1]).tolist()
    if labels not in ([0.0, 1.0], [1.0, 2.0]):  # OpenML writes 1 and 2
        raise BadTable(f"{path}: {LABEL} must hold both 0 and 1 (or 1 and 2)")
    return Sample(table[:, :-1], table[:, -1] == labels[1])


def _number(path: Path, line: int, row: dict[str, str | None], name: str) -> float:
    try:
        number = float(row[name] or "")
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise BadTable(f"{path}, line {line}: {name} is not a number")
    return number


def recipe(train: Sample, x: Floats, seed: int) -> Floats:
    """Fit, choose and calibrate on slices as large as training's, and return the probabilities of `x` (n, 4)."""
    fit, validation, calibration = _slices(train, seed)
    chosen, _ = choose(availability_candidates(fit, validation, seed=seed), validation)
    return calibrate(chosen, calibration).apply(chosen.raw(x))


def logistic(train: Sample, x: Floats, _seed: int) -> Floats:
    """Fit a logistic regression on all rows, and return the probabilities of `x` (n, 4)."""
    return fit_logistic(train).raw(x)


def base_rate(train: Sample, x: Floats, _seed: int) -> Floats:
    """Return the share of donors who gave, for each of `x` (n, 4)."""
    return np.full(len(x), train.y.mean())


PREDICTORS: Final[dict[str, Predictor]] = {
    "recipe of donor_availability": recipe,
    "logistic regression": logistic,
    "base rate": base_rate,
}


def evaluate(table: Sample) -> dict[str, Scores]:
    """Return for each predictor the mean AUC, Brier score and log-loss over all folds, and the AUC's spread."""
    folds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in PREDICTORS}
    group = groups_of(table.x)
    for repeat in range(REPEATS):
        for learn, judge in _folds(table, group, seed=repeat):
            train = Sample(table.x[learn], table.y[learn])
            for name, predict in PREDICTORS.items():
                p, y = predict(train, table.x[judge], repeat), table.y[judge]
                folds[name].append((auc(y, p), brier_score(y, p), log_loss(y, p)))
    return {name: _summary(np.array(scores)) for name, scores in folds.items()}


def groups_of(x: Floats) -> Ints:
    """Return a number for each row (n,), the same for rows with equal columns."""
    return np.asarray(np.unique(x, axis=0, return_inverse=True)[1].ravel(), dtype=np.int64)


def _folds(table: Sample, group: Ints, *, seed: int) -> Iterator[tuple[Ints, Ints]]:
    splitter = StratifiedGroupKFold(n_splits=FOLDS, shuffle=True, random_state=seed)
    yield from splitter.split(table.x, table.y, group)


def _slices(train: Sample, seed: int) -> tuple[Sample, Sample, Sample]:
    """Cut rows into training's slices but the test, in its proportions, equal rows together."""
    shares = np.array([CUTS[name][1] - CUTS[name][0] for name in ("train", "validation", "calibration")])
    group = groups_of(train.x)
    order = np.random.default_rng(seed).permutation(int(group.max()) + 1)
    place = np.argsort(order)[group] / len(order)
    part = np.searchsorted(np.cumsum(shares / shares.sum())[:-1], place, side="right")
    fit, validation, calibration = (Sample(train.x[part == n], train.y[part == n]) for n in range(len(shares)))
    return fit, validation, calibration


def _summary(scores: Floats) -> Scores:
    means, spread = scores.mean(axis=0), scores[:, 0].std()
    names = ("auc", "brier", "log_loss", "auc_sd_of_folds")
    return {name: round(float(value), 4) for name, value in zip(names, (*means, spread), strict=True)}


def report(scores: dict[str, Scores]) -> str:
    """Return the scores as lines of text."""
    lines = [f"{'':30} {'AUC':>6} {'(sd)':>6} {'Brier':>6} {'log-loss':>8}"]
    for name, one in scores.items():
        lines.append(
            f"{name:30} {one['auc']:6.3f} {one['auc_sd_of_folds']:6.3f} {one['brier']:6.3f} {one['log_loss']:8.3f}"
        )
    best = max(one["auc"] for one in scores.values())
    if best > LEAK:
        lines.append(f"An AUC of {best:.3f} is above what these four columns can tell ({LEAK}): look for a leak.")
    return "\n".join(lines)


def main() -> int:
    """Evaluate with the arguments of the command line."""
    parser = argparse.ArgumentParser(prog="python -m backend.domains.blood.evaluate_uci", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE.csv", help=f"columns {', '.join((*COLUMNS, LABEL))}")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the numbers to this file as well")
    arguments = parser.parse_args()
    try:
        table = read_table(arguments.file)
    except BadTable as error:
        sys.stderr.write(f"{error}\n")
        return 2
    scores = evaluate(table)
    groups = len(np.unique(groups_of(table.x)))
    sys.stdout.write(
        f"{len(table.y)} donors in {groups} groups of equal columns, {FOLDS} folds x {REPEATS}\n{report(scores)}\n"
    )
    if arguments.json is not None:
        content = {"rows": len(table.y), "groups": groups, "folds": FOLDS, "repeats": REPEATS, "scores": scores}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
