"""A registry on a stage: a clock that is set, a release that is written, checks that say what they are told to."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backend.errors import ArtifactError
from backend.extensions import transaction
from backend.inference.manifest import Column, Golden, Manifest, Training, digest, write_version
from backend.registry import ledger, lifecycle, versions
from backend.registry.checked import Checked
from backend.registry.registry import Registry
from backend.registry.shipped import adopt_shipped
from backend.registry.states import Alias
from backend.registry.tables import ModelAlias, ModelVersion
from backend.registry.versions import NewVersion
from backend.registry.views import VersionView

START = datetime(2026, 3, 1, 10, tzinfo=UTC)
MB = 1 << 20
COLUMNS = (("a", "float64"), ("b", "float64"))
WHO = {"by": "Asha", "reason": "better on the last quarter"}


class Clock:
    """Each look at it is a second later."""

    def __init__(self) -> None:
        self.moment = START

    def __call__(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment


class Hints:
    """Remembers who was hinted at."""

    def __init__(self) -> None:
        self.given: list[str] = []

    def give(self, model: str) -> None:
        self.given.append(model)


def make_manifest(
    model: str = "adder",
    version: str = "1",
    *,
    columns: Iterable[tuple[str, str]] = COLUMNS,
    metrics: dict[str, float] | None = None,
) -> Manifest:
    return Manifest(
        name=model,
        version=version,
        runtime="sum",
        file="weights.txt",
        files={"weights.txt": digest(f"{model} {version}".encode())},
        columns=tuple(Column(name=name, dtype=dtype, unit="1", description=name) for name, dtype in columns),
        output="sum",
        training=Training(data="none", fingerprint="0", seed=1, rows=0, since="2025-01-01", until="2025-01-02"),
        metrics=metrics or {"error": 0.0},
    )


def new_version(model: str = "adder", version: str = "2", *, by: str = "Ravi", **changes: object) -> NewVersion:
    """A version to be registered; `columns`, and whatever else of `NewVersion` is to differ."""
    manifest = make_manifest(model, version, columns=changes.pop("columns", COLUMNS))
    sha256 = digest(manifest.model_dump_json().encode())
    new = NewVersion(
        manifest=manifest,
        manifest_sha256=sha256,
        shipped=False,
        source="upload",
        signed_by=None,
        registered_by=by,
    )
    return replace(new, **changes)


@dataclass
class Stage:
    """What tests do to a registry, in few words."""

    root: Path
    registry: Registry
    clock: Clock = field(default_factory=Clock)
    hints: Hints = field(default_factory=Hints)
    checked: list[str] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)  # what a check measures, by version
    broken: set[str] = field(default_factory=set)  # versions that fail their check
    meanwhile: Callable[[], object] | None = None  # what happens once while a check runs

    def ship(self, model: str = "adder", version: str = "1", *, columns: Iterable[tuple[str, str]] = COLUMNS) -> None:
        """Write the next release of a model."""
        golden = Golden(rows=((1.0, 2.0),), outputs=(3.0,))
        contents = {
            "weights.txt": f"{model} {version}".encode(),
            "golden.json": golden.model_dump_json().encode(),
        }
        write_version(self.root, make_manifest(model, version, columns=columns), contents)

    def adopt(self) -> None:
        adopt_shipped(self.registry, at=self.clock())

    def register(self, version: str = "2", **changes: object) -> VersionView:
        return versions.register(new_version(version=version, **changes), at=self.clock())

    def check(self, version: ModelVersion) -> Checked:
        self.checked.append(version.version)
        if self.meanwhile is not None:
            act, self.meanwhile = self.meanwhile, None
            act()
        if version.version in self.broken:
            raise ArtifactError(f"model {version.model}: version {version.version} is broken")
        return Checked(memory_bytes=self.memory.get(version.version, 10 * MB), load_seconds=0.5)

    def promote(self, version: str = "2", *, alias: Alias = Alias.PRODUCTION, model: str = "adder", **who: str) -> int:
        return lifecycle.promote(
            self.registry,
            model=model,
            version=version,
            alias=alias,
            check=self.check,
            hints=self.hints,
            **{**WHO, **who},
        )

    def rollback(self, model: str = "adder", **who: str) -> int:
        return lifecycle.rollback(self.registry, model=model, check=self.check, hints=self.hints, **{**WHO, **who})

    def reload(self, model: str = "adder") -> int:
        return lifecycle.reload(self.registry, model=model, check=self.check, hints=self.hints, **WHO)

    def unload(self, model: str = "adder") -> int:
        return lifecycle.unload(self.registry, model=model, hints=self.hints, **WHO)

    def archive(self, version: str, model: str = "adder") -> VersionView:
        return versions.archive(model=model, version=version, at=self.clock(), **WHO)

    def restore(self, version: str, model: str = "adder") -> VersionView:
        return versions.restore(model=model, version=version, at=self.clock(), **WHO)

    def production(self, model: str = "adder") -> tuple[str | None, int] | None:
        """The name of the production version and its generation."""
        return standing(model, Alias.PRODUCTION)

    def verified(self) -> ledger.Verified:
        with transaction(read_only=True) as session:
            return ledger.verify(session)

    def actions(self, model: str = "adder") -> list[tuple[str, str | None]]:
        """What was decided, the first first: action and version."""
        with transaction(read_only=True) as session:
            found = ledger.entries(session, model=model, limit=1_000)
        return [(entry.action, entry.version) for entry in reversed(found)]


def standing(model: str, alias: Alias) -> tuple[str | None, int] | None:
    with transaction(read_only=True) as session:
        row = session.get(ModelAlias, (model, alias.value))
        if row is None:
            return None
        named = session.get(ModelVersion, row.version_id) if row.version_id else None
        return (named.version if named else None), row.generation
