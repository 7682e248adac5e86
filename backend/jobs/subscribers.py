"""Who wants to hear of the ends of jobs: asked when a job is stored, answered by what the application holds."""

from typing import Protocol, cast

from backend.extensions import current


class Subscribers(Protocol):
    """What knows of registered addresses."""

    def wants(self, kind: str) -> bool:
        """Return whether somebody wants to hear of the ends of such jobs."""


def is_awaited(kind: str) -> bool:
    """Return whether somebody wants to hear of the ends of jobs of this kind."""
    return cast("Subscribers", current("subscriptions")).wants(kind)
