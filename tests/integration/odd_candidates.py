"""The process that loads a candidate, with runtimes that behave badly: sleep, eat memory, write, look around."""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Self

import numpy as np

from backend.errors import ArtifactError
from backend.inference.interfaces import Floats, ModelRuntime
from backend.inference.manifest import Manifest
from backend.inference.runtimes import RUNTIMES
from backend.registry.candidate_main import main


class Odd(ModelRuntime):
    """Does what its weights say, then adds 0.5."""

    def __init__(self, kept: object) -> None:
        self._kept = kept

    @classmethod
    def load(cls, content: bytes, manifest: Manifest, *, threads: int) -> Self:
        """Behave badly."""
        assert manifest.name == "odd" and threads == 1  # noqa: PT018 - not a test
        return cls(getattr(cls, content.decode())())

    def predict(self, rows: Floats) -> Floats:
        """Add 0.5 to the column."""
        return np.asarray(rows[:, 0] + 0.5)

    @staticmethod
    def sleep() -> None:
        time.sleep(60)

    @staticmethod
    def spin() -> None:
        while True:
            pass

    @staticmethod
    def eat() -> list[Floats]:
        return [np.empty(1 << 27) for _ in range(1_000)]  # a GiB each

    @staticmethod
    def keep() -> bytearray:
        return bytearray(os.urandom(50_000_000))

    @staticmethod
    def write() -> None:
        try:
            Path("/tmp/sanguine-candidate-was-here").write_bytes(b"1" * 5_000)  # noqa: S108 - what must not succeed
        except OSError as error:
            raise ArtifactError(f"cannot write ({error.strerror})") from error

    @staticmethod
    def chat() -> None:
        os.write(1, b"I am no answer\n")
        print("nor am I")  # noqa: T201 - that is the point

    @staticmethod
    def leave() -> None:
        os._exit(7)

    @staticmethod
    def look() -> None:
        limits = [resource.getrlimit(what)[0] for what in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE)]
        raise ArtifactError(json.dumps([sorted(os.environ), limits]))


RUNTIMES["odd"] = f"{__name__}:Odd"
sys.modules.setdefault(__name__, sys.modules["__main__"])

if __name__ == "__main__":
    main()
