"""How long models take to load, and what the interactive worker weighs with all of them."""

import json
import tempfile
from pathlib import Path
from statistics import median

from backend.inference.catalogue import Catalogue
from backend.settings import load_settings
from benchmarks.processes import Installation
from benchmarks.report import Table

ROUNDS = 5


def measure_models() -> list[Table]:
    """Measure each model of the catalogue, and a worker without donors."""
    with tempfile.TemporaryDirectory(prefix="sanguine-bench-") as folder, Installation(Path(folder)) as installation:
        catalogue = Catalogue(load_settings().models_dir)
        rows = []
        for model in catalogue.names():
            print(f"  loading {model} in {ROUNDS} fresh processes", flush=True)
            seconds = [json.loads(installation.run("benchmarks.loading", model)) for _ in range(ROUNDS)]
            artifact = catalogue.read(model)
            rows.append(
                (
                    model,
                    artifact.manifest.runtime,
                    f"{len(artifact.weights) / 1024:,.1f}",
                    f"{1_000.0 * median(one['load'] for one in seconds):.1f}",
                    f"{1_000.0 * median(one['import'] for one in seconds):.0f}",
                )
            )
        installation.migrate()
        installation.start_broker()
        installation.start_interactive()
        resident, proportional = installation.memory("interactive")
    weight = (
        f"The interactive worker with all {len(rows)} models and no donors: {resident:,.0f} MB resident (RSS), "
        f"{proportional:,.0f} MB proportional (PSS); with donors, see the table of matches."
    )
    return [
        Table(
            title="Models: loading and memory",
            columns=("model", "runtime", "weights, KB", "load, ms", "import of its library, ms"),
            rows=rows,
            notes=(
                f"Medians of {ROUNDS} fresh processes. Load: verify the digests, parse, reproduce the golden rows.",
                weight,
            ),
        )
    ]
