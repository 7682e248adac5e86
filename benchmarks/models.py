"""Models: what loading and replacing them takes, what a prediction costs, and what a worker weighs with all of them."""

import json
import tempfile
from pathlib import Path
from statistics import median

from backend.inference.catalogue import Catalogue
from backend.settings import load_settings
from benchmarks.golden import artifact
from benchmarks.processes import Installation
from benchmarks.reloading import write_large
from benchmarks.report import Table
from benchmarks.scoring import BOOSTER, CLIENT
from benchmarks.scoring import ROUNDS as SCORING_ROUNDS

ROUNDS = 5
RELOADS = 3
MEGABYTES = (16, 70, 550)
THREADS = ((1, 1), (2, 1), (1, 2), (2, 2))


def measure_models() -> list[Table]:
    """Measure each model of the catalogue, large ones made of a small one, and a worker without donors."""
    with tempfile.TemporaryDirectory(prefix="sanguine-bench-") as folder, Installation(Path(folder)) as installation:
        return [
            _predicting(installation),
            _threads(installation),
            _loading(installation),
            _replacing(installation, Path(folder, "large")),
        ]


def _loading(installation: Installation) -> Table:
    catalogue = Catalogue(load_settings().models_dir)
    rows = []
    for model in catalogue.names():
        print(f"  loading {model} in {ROUNDS} fresh processes", flush=True)
        seconds = [json.loads(installation.run("benchmarks.loading", model)) for _ in range(ROUNDS)]
        version = catalogue.read(model)
        rows.append(
            (
                model,
                version.manifest.runtime,
                f"{len(version.weights) / 1024:,.1f}",
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
    return Table(
        title="Models: loading and memory",
        columns=("model", "runtime", "weights, KB", "load, ms", "import of its library, ms"),
        rows=rows,
        notes=(
            f"Medians of {ROUNDS} fresh processes. Load: verify the digests, parse, reproduce the golden rows.",
            weight,
        ),
    )


def _predicting(installation: Installation) -> Table:
    model = artifact().manifest.name
    print(f"  predicting with {model}", flush=True)
    measured: dict[str, dict[str, list[float]]] = json.loads(installation.run("benchmarks.scoring", model))
    rows = []
    for count, ways in measured.items():
        for name, own in ways.items():
            ratio = median(mine / theirs for mine, theirs in zip(own, ways[BOOSTER], strict=True))
            rows.append((name, f"{int(count):,}", f"{median(own):,.1f}", f"{ratio:.2f}"))
    return Table(
        title="One prediction",
        columns=("way", "rows", "µs", f"times {BOOSTER}"),
        rows=rows,
        notes=(
            (
                f"The model {model}, one thread, 20,000 rows at and beside its thresholds. Medians of {SCORING_ROUNDS} "
                "rounds in which each way has its turn; the ratio is the median of those within a round."
            ),
            (
                f"{CLIENT}: columns checked, predicted, calibrated, counted. Compiled: several rows with the machine "
                "code that lleaves made; absent where that is not installed."
            ),
        ),
    )


def _threads(installation: Installation) -> Table:
    model = artifact().manifest.name
    print(f"  threads that predict with {model}", flush=True)
    rates: dict[tuple[int, int], list[dict[str, float]]] = {pair: [] for pair in THREADS}
    for _ in range(ROUNDS):
        for pair, own in rates.items():
            own.append(json.loads(installation.run("benchmarks.threads", model, *map(str, pair))))
    return Table(
        title="Threads: thousand rows a second, in batches of 20,000",
        columns=("way", *(f"{outer} x {inner}" for outer, inner in THREADS)),
        rows=[
            (name, *(f"{median(one[name] for one in own) / 1_000.0:,.0f}" for own in rates.values()))
            for name in rates[THREADS[0]][0]
        ],
        notes=(
            (
                "Threads that predict x threads that one prediction may use (`SANGUINE_MODEL_THREADS`). Medians of "
                f"{ROUNDS} fresh processes of each, all in turn."
            ),
        ),
    )


def _replacing(installation: Installation, folder: Path) -> Table:
    rows = []
    for megabytes in MEGABYTES:
        print(f"  replacing a model of {megabytes} MB", flush=True)
        root = folder / str(megabytes)
        write_large(root, megabytes << 20)
        measured = [json.loads(installation.run("benchmarks.reloading", str(root))) for _ in range(RELOADS)]
        medians = {figure: median(one[figure] for one in measured) for figure in measured[0]}
        rows.append(
            (
                f"{megabytes} MB",
                *(f"{medians[figure]:.2f}" for figure in ("load", "replace")),
                f"{1_000.0 * medians['longest']:.0f}",
                *(f"{medians[figure]:,.0f}" for figure in ("memory", "after", "peak")),
            )
        )
    return Table(
        title="Replacing a model while it predicts",
        columns=(
            *("LightGBM text", "load, s", "replace, s", "longest prediction, ms"),
            *("memory, MB", "memory after, MB", "peak, MB"),
        ),
        rows=rows,
        notes=(
            (
                f"Medians of {RELOADS} fresh processes. Trees of a shipped model again and again. Replace: the same "
                "load beside the version that serves, while a thread predicts one row after another."
            ),
            (
                "Memory is what the process has more than before the first load: with one version, after the "
                "replacement, and at most, while both are there."
            ),
        ),
    )
