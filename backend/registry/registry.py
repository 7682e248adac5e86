"""What the registry of an application works with."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from backend.extensions import current
from backend.inference.catalogue import Catalogue
from backend.inference.compiled import CompiledCache
from backend.inference.manifest import CatalogueEntry
from backend.inference.store import ArtifactStore, FolderStore
from backend.inference.trust import Trust
from backend.registry.remote import RemoteStore
from backend.registry.tables import ModelVersion
from backend.security.secret import derive
from backend.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Where versions lie, whom this installation trusts, and what it allows."""

    shipped: Catalogue  # the released models; what serves until somebody decides otherwise
    store: ArtifactStore  # what was registered here
    trust: Trust
    compiled: CompiledCache  # forests as machine code, where somebody installed the compiler
    incoming: Path  # uploads that nobody has verified yet; on the disk of a store that is a folder
    two_persons: bool  # whoever registered a version may not promote it
    memory_bytes: int | None  # what all models of one process may take together; None: whatever there is
    max_bytes: int  # of the files of one version

    def store_of(self, version: ModelVersion) -> ArtifactStore:
        """Return where the files of a version lie."""
        return self.shipped.store if version.shipped else self.store


def make_registry(settings: Settings) -> Registry:
    """Return the registry that the settings describe; nothing is opened.

    Raises:
        SettingsError: a public key cannot be read, or a library that the store needs is not installed.
    """
    data = settings.data_dir / "models"
    remote = "://" in settings.model_store
    root = data if remote else Path(settings.model_store or data)
    trust = Trust.from_folder(
        settings.model_keys_dir,
        required=settings.require_signed_models,
        executable=settings.allow_executable_models,
    )
    return Registry(
        compiled=CompiledCache(settings.data_dir / "compiled", key=derive(settings, "compiled models")),
        shipped=Catalogue(settings.models_dir, trust=trust),
        store=RemoteStore(settings.model_store, data / ".cache") if remote else FolderStore(root),
        trust=trust,
        incoming=root / ".incoming",
        two_persons=settings.two_person_promotion,
        memory_bytes=settings.model_memory_mb and settings.model_memory_mb << 20,
        max_bytes=settings.max_model_bytes,
    )


def entry_of(version: ModelVersion) -> CatalogueEntry:
    """Return what names a version and proves its manifest."""
    return CatalogueEntry(version=version.version, manifest_sha256=version.manifest_sha256)


def current_registry() -> Registry:
    """Return the registry of the current application."""
    return cast("Registry", current("registry"))
