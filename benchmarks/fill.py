"""Fill an empty database with the project's own simulated service: `python -m benchmarks.fill DONORS YEARS`."""

import sys
from functools import partial

from backend.app import create_app
from backend.domains.blood import seed
from backend.domains.blood.simulate import simulate

SEED = 1


def main(donors: int, years: float) -> None:
    """Store donors with `years` of requests."""
    seed.simulate = partial(simulate, years=years)  # type: ignore[attr-defined] # `flask seed` itself always simulates two
    shown = -1

    def progress(fraction: float, note: str) -> None:
        nonlocal shown
        step = int(10 * fraction)
        if step != shown:
            shown = step
            print(f"  {donors:,} donors: {fraction:4.0%} {note}", file=sys.stderr, flush=True)

    with create_app().app_context():
        print(seed.seed(donors=donors, seed=SEED, progress=progress))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
