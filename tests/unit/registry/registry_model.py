"""What a registry should say, worked out without a database."""

from dataclasses import dataclass, field
from datetime import datetime

from backend.errors import ArtifactError, Conflict, InputError

Refusal = type[Exception] | None


@dataclass
class Version:
    """One version; `narrow` takes other columns than the rest."""

    name: str
    by: str
    shipped: bool = False
    narrow: bool = False
    archived: bool = False


@dataclass
class ExpectedModel:
    """One model: its versions, what is production, what was when, and where a rollback leads."""

    versions: dict[str, Version] = field(default_factory=dict)
    production: str | None = None
    generation: int = 0
    staging: str | None = None
    trail: list[str] = field(default_factory=list)  # what production named, without what was rolled back
    by_release: bool = False  # whether a release chose what production names
    history: list[tuple[datetime, str | None, int]] = field(default_factory=list)
    held: bool = False  # by a process that was killed while it prepared a move

    def pick(self, number: int) -> Version:
        return list(self.versions.values())[number % len(self.versions)]

    def move(self, version: str | None, at: datetime) -> None:
        self.production, self.held = version, False
        self.generation += 1
        self.history.append((at, version, self.generation))

    def name(self, version: str, at: datetime, *, by_release: bool = False) -> None:
        """Let production name a version that was chosen and not gone back to."""
        if not self.trail or self.trail[-1] != version:
            self.trail.append(version)
        self.by_release = by_release
        self.move(version, at)

    def release(self, version: str, at: datetime) -> None:
        """Ship a version that is new, or go back to one that was shipped before."""
        new = version not in self.versions
        if new:
            self.versions[version] = Version(version, "release", shipped=True)
        if self.generation == 0:
            self.name(version, at, by_release=True)
        elif self.production is not None and self.production != version:
            follows = self.versions[self.production].shipped and (new or self.by_release)
            if follows:
                self.name(version, at, by_release=True)

    def refuses_promotion(self, version: Version, *, by: str, broken: bool) -> Refusal:
        if self.held or (by == version.by and not version.shipped):
            return Conflict
        return self.refuses(version, broken=broken)

    def refuses_rollback(self, *, broken: bool) -> Refusal:
        before = self.before()
        if self.held or before is None:
            return Conflict
        return self.refuses(self.versions[before], broken=broken)

    def refuses_to_touch(self) -> Refusal:
        """Say whether production can be neither reloaded nor unloaded."""
        return Conflict if self.held or self.production is None else None

    def refuses(self, version: Version, *, broken: bool) -> Refusal:
        if version.name == self.production or version.archived:
            return Conflict
        if self.production is not None and self.versions[self.production].narrow != version.narrow:
            return InputError
        return ArtifactError if broken else None

    def before(self) -> str | None:
        trail = self.trail if self.production is None else self.trail[:-1]
        return trail[-1] if trail else None

    def roll_back(self, at: datetime) -> None:
        before = self.before()
        while self.trail[-1] != before:
            self.trail.pop()
        self.by_release = False
        self.move(before, at)

    def live_at(self, moment: datetime) -> tuple[str | None, int] | None:
        past = [(version, generation) for at, version, generation in self.history if at <= moment]
        return past[-1] if past else None

    def state(self, version: Version) -> str:
        if version.archived:
            return "archived"
        if version.name == self.production:
            return "production"
        return "staging" if version.name == self.staging else "registered"
