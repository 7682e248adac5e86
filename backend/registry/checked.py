"""What a check of a version found."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Checked:
    """A version that loaded in a process of its own and reproduced its golden rows there."""

    memory_bytes: int
    load_seconds: float
