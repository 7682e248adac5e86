"""Load one model in a fresh process: `python -m benchmarks.loading MODEL`."""

import json
import sys
import time

from backend.inference.catalogue import Catalogue
from backend.inference.client import ModelClient
from backend.inference.runtimes import runtime_class
from backend.settings import load_settings


def main(model: str) -> None:
    """Print the seconds to import the model's library, and those to verify, parse and try the model."""
    settings = load_settings()
    catalogue = Catalogue(settings.models_dir)
    started = time.perf_counter()
    runtime_class(catalogue.manifest(model).runtime)
    imported = time.perf_counter()
    failed = ModelClient(catalogue, threads=settings.model_threads).preload([model])[model]
    if failed is not None:
        raise failed
    print(json.dumps({"import": imported - started, "load": time.perf_counter() - imported}))


if __name__ == "__main__":
    main(sys.argv[1])
