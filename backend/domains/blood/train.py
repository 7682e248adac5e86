"""`python -m backend.domains.blood.train`: simulate a world, train the four donor models, write their artefacts."""

import argparse
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from backend.domains.blood.simulate import simulate
from backend.domains.blood.simulate.world import Progress
from backend.domains.blood.training.cards import card
from backend.domains.blood.training.dataset import Dataset
from backend.domains.blood.training.evaluation import as_json
from backend.domains.blood.training.models import (
    refuse_worse_than_product,
    train_availability,
    train_match,
    train_reliability,
)
from backend.domains.blood.training.reference import reference_of
from backend.domains.blood.training.response_time import train_response_time
from backend.domains.blood.training.tasks import Trained
from backend.inference.manifest import Calibration, Column, Golden, Manifest, Training, write_version

VERSION = "1"
END = datetime(
    2026, 6, 30, 18, 30, tzinfo=UTC
).timestamp()  # midnight in Kerala; fixed, so that training repeats itself
MODELS_DIR = Path(__file__).resolve().parents[3] / "models_artifacts"


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a training run depends on; the same configuration writes the same bytes."""

    donors: int = 60_000
    seed: int = 20_260_701
    years: float = 3.0


def train(configuration: Configuration, *, progress: Progress) -> tuple[Dataset, list[Trained]]:
    """Simulate the data and train all four models; `progress` hears of each stage."""
    seed = configuration.seed

    def simulating(fraction: float, stage: str) -> None:
        if fraction in (0.1, 1.0):
            progress(0.3 * fraction, f"simulated: {stage}")

    world = simulate(donors=configuration.donors, seed=seed, end=END, years=configuration.years, progress=simulating)
    data = Dataset.build(world, seed=seed)
    progress(0.35, f"{len(world.contacts):,} asks indexed")
    availability = train_availability(data, seed=seed)
    progress(0.50, _headline(availability))
    response = train_response_time(data, seed=seed)
    progress(0.75, _headline(response))
    reliability = train_reliability(data, seed=seed)
    progress(0.80, _headline(reliability))
    match = train_match(data, seed=seed, availability=availability, reliability=reliability)
    progress(0.95, _headline(match))
    return data, [availability, response, reliability, match]


def write(root: Path, data: Dataset, models: list[Trained], *, seed: int) -> None:
    """Write each model to `root/<name>/<version>/`, enter it in the catalogue, and put its card beside it."""
    for trained in models:
        write_version(root, manifest_of(trained, data, seed=seed), _contents(trained, data, seed=seed))


def manifest_of(trained: Trained, data: Dataset, *, seed: int) -> Manifest:
    """Return the manifest of a trained model; the digests are filled in when it is written."""
    world = data.world
    since, until = trained.train.dates()
    return Manifest(
        name=trained.name,
        version=VERSION,
        runtime=trained.candidate.runtime,
        file=trained.candidate.file,
        files={},
        columns=tuple(Column(name=c.name, unit=c.unit, description=c.description) for c in trained.columns),
        output=trained.output,
        calibration=Calibration(slope=trained.calibration.slope, intercept=trained.calibration.intercept),
        parameters=trained.parameters,
        training=Training(
            data=f"simulated: {len(world.donors):,} donors in Kerala (backend.domains.blood.simulate)",
            fingerprint=world.fingerprint(),
            seed=seed,
            rows=trained.sizes["train"],
            since=since,
            until=until,
        ),
        metrics={
            "validation_log_loss": as_json(trained.validation),
            "test": as_json(trained.test),
            "interval": as_json(trained.interval),
        },
        reference=reference_of(trained, data),
    )


def _contents(trained: Trained, data: Dataset, *, seed: int) -> dict[str, bytes]:
    rows = trained.golden
    golden = Golden(
        rows=tuple(tuple(None if np.isnan(v) else float(v) for v in row) for row in rows),
        outputs=tuple(trained.candidate.raw(rows).tolist()),
    )
    return {
        trained.candidate.file: trained.candidate.content,
        "golden.json": (golden.model_dump_json(indent=1) + "\n").encode(),
        "CARD.md": card(trained, data, seed=seed).encode(),
    }


def _headline(trained: Trained) -> str:
    scores = next(iter(trained.test.values()))
    return f"{trained.name}: {trained.candidate.kind}, test AUC {scores['auc']:.3f}, log-loss {scores['log_loss']:.4f}"


def main() -> None:
    """Train with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=MODELS_DIR, help="where the artefacts go (%(default)s)")
    arguments = parser.parse_args()

    def tell(fraction: float, stage: str) -> None:
        sys.stderr.write(f"{fraction:4.0%}  {stage}\n")

    configuration = Configuration()
    data, models = train(configuration, progress=tell)
    refuse_worse_than_product(models[-1])
    write(arguments.output, data, models, seed=configuration.seed)
    tell(1.0, f"four models written to {arguments.output}")


if __name__ == "__main__":
    main()
