"""The words of the registry: aliases, states of versions, and what can be decided."""

from enum import StrEnum


class Alias(StrEnum):
    """What may name one version of a model."""

    PRODUCTION = "production"  # workers serve it
    STAGING = "staging"  # somebody tries it out


class VersionState(StrEnum):
    """Where a version stands; what production names is `production`, whatever else names it."""

    REGISTERED = "registered"
    STAGING = "staging"
    PRODUCTION = "production"
    ARCHIVED = "archived"


class Action(StrEnum):
    """What an entry of the ledger says was done."""

    REGISTERED = "registered"
    ADOPTED = "adopted"  # a release made its version production
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    RELOADED = "reloaded"
    UNLOADED = "unloaded"
    STAGED = "staged"
    ARCHIVED = "archived"
    RESTORED = "restored"
    TAGGED = "tagged"


NAMING = (Action.ADOPTED, Action.PROMOTED, Action.ROLLED_BACK)
"""What lets production name another version."""
