"""Forests compiled to machine code for this machine: made once for each version, found again when it is loaded.

Compiling takes 20 s for a thousand trees of 63 leaves, and up to a gigabyte of memory. So it is done when a version is
registered, in a process of its own with a time limit, never when one is loaded. Nothing depends on it: where there is
no compiled forest, LightGBM predicts.

The code is executed by those who load it. Each file therefore begins with a seal that only this installation can make
(HMAC-SHA256); a file that was damaged, altered or put there by others is not used.
"""

import hashlib
import hmac
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import structlog

from backend.inference.manifest import Manifest
from backend.ops.tether import TETHER
from backend.settings import PROJECT

log = structlog.get_logger()

RUNTIME = "lightgbm"
SECONDS = 600.0  # for one forest
SEAL_BYTES = hashlib.sha256().digest_size
INSTALL = "pip install -r requirements-lleaves.txt"
PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")  # of the environment; the rest may be secrets


def can_compile(runtime: str) -> bool:
    """Whether models of a runtime can be compiled here."""
    return runtime == RUNTIME and find_spec("lleaves") is not None


class CompiledCache:
    """A folder of compiled forests; may be deleted at any time."""

    def __init__(self, folder: Path, *, key: bytes) -> None:
        self._folder = folder
        self._key = key

    def find(self, manifest: Manifest) -> bytes | None:
        """Return the compiled forest of a version, if there is one for this machine and it is as we made it."""
        if not any(self._folder.glob(f"{manifest.sha256}-*")):
            return None
        try:
            sealed = self._place(manifest).read_bytes()
        except FileNotFoundError:  # compiled on another machine, or by another version of the compiler
            return None
        except (ImportError, OSError) as error:
            _unused(manifest, CannotCompile(f"{type(error).__name__}; {INSTALL}"))
            return None
        code = sealed[SEAL_BYTES:]
        if not hmac.compare_digest(sealed[:SEAL_BYTES], self._seal(manifest, code)):
            _unused(manifest, "its seal is wrong; delete the file")
            return None
        return code

    def compile(self, manifest: Manifest, weights: bytes, *, seconds: float = SECONDS) -> bool:
        """Compile the forest of a version unless it is there; say whether it is now. Why not is in the log."""
        if manifest.runtime != RUNTIME:
            return False
        if self.find(manifest) is not None:
            return True
        started = time.monotonic()
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryDirectory(prefix=".", dir=self._folder) as folder:
                code = _compile(Path(folder), weights, seconds=seconds)
                draft = Path(folder, "sealed")
                draft.write_bytes(self._seal(manifest, code) + code)
                draft.replace(self._place(manifest))
        except (ImportError, OSError, CannotCompile) as error:
            reason = CannotCompile(f"{error}; {INSTALL}") if isinstance(error, ImportError) else error
            log.warning("model_not_compiled", model=manifest.name, version=manifest.version, reason=reason)
            return False
        seconds = round(time.monotonic() - started, 1)
        log.info("model_compiled", model=manifest.name, version=manifest.version, seconds=seconds, bytes=len(code))
        return True

    def _place(self, manifest: Manifest) -> Path:
        return self._folder / f"{manifest.sha256}-{_machine()}.o"

    def _seal(self, manifest: Manifest, code: bytes) -> bytes:
        return hmac.digest(self._key, f"{manifest.sha256}\n".encode() + code, "sha256")


class CannotCompile(Exception):
    """The process that compiles ended without a forest; the message says why."""

    is_shown_in_logs = True  # that process is given a model, and no data


def _compile(folder: Path, weights: bytes, *, seconds: float) -> bytes:
    model, code = folder / "model.txt", folder / "forest.o"
    model.write_bytes(weights)
    command = [*TETHER, "SIGKILL", sys.executable, "-m", __name__, str(model), str(code)]
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    try:
        subprocess.run(  # noqa: S603 - our own
            command, cwd=PROJECT, env=environment, check=True, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        raise CannotCompile(f"it took longer than {seconds:.0f} s") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines()
        raise CannotCompile(said[-1] if said else f"the process ended with {error.returncode}") from None
    return code.read_bytes()


def _machine() -> str:
    """Return a short name of the processor and the compiler, which both must be the same."""
    import llvmlite.binding as llvm  # type: ignore[import-untyped] # noqa: PLC0415 - optional, and large

    parts = (
        platform.machine(),
        llvm.get_host_cpu_name(),
        llvm.get_host_cpu_features().flatten(),
        version("lleaves"),
        version("llvmlite"),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _unused(manifest: Manifest, reason: str | CannotCompile) -> None:
    log.warning("compiled_model_unused", model=manifest.name, version=manifest.version, reason=reason)


def main(model: Path, code: Path) -> None:
    """Compile a text model and compare what the code predicts with LightGBM."""
    os.nice(10)  # whoever predicts goes first
    import lightgbm  # noqa: PLC0415 - only this process needs these
    import lleaves  # type: ignore[import-untyped] # noqa: PLC0415

    from backend.inference.runtimes import lightgbm_compiled as runtime  # noqa: PLC0415

    weights = model.read_bytes()
    if b"\nis_linear=1\n" in weights:
        sys.exit("lleaves does not know linear trees")
    # Inlining the trees takes ten times as long and twice the memory, for code that is a sixth quicker.
    lleaves.Model(str(model)).compile(cache=str(code), finline=False)
    booster = lightgbm.Booster(model_str=weights.decode())
    rows = runtime.rows_at_thresholds(weights, columns=booster.num_feature())
    difference = runtime.largest_difference(runtime.CompiledForest(code.read_bytes()), booster, rows, threads=1)
    if not difference <= runtime.AGREEMENT:
        sys.exit(f"what lleaves made of it differs from LightGBM by up to {difference:.3g}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
