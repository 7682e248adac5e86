"""The domains of this installation: one line each. What is derived from domains starts here."""

from functools import lru_cache
from importlib import import_module

from backend.domains.domain import Domain
from backend.jobs.kinds import JobKind

DOMAINS = ("backend.domains.platform.domain", "backend.domains.blood.domain")


@lru_cache(maxsize=1)
def domains() -> tuple[Domain, ...]:
    """Return every domain, its tables imported.

    Raises:
        ValueError: two domains declare the same job kind or path.
    """
    found = tuple(import_module(path).DOMAIN for path in DOMAINS)
    for domain in found:
        import_module(domain.tables)
    kinds = [kind for domain in found for kind in domain.job_kinds]
    for attribute in ("name", "path"):
        values = [value for kind in kinds if (value := getattr(kind, attribute)) is not None]
        doubles = {value for value in values if values.count(value) > 1}
        if doubles:
            raise ValueError(f"two job kinds share the {attribute} {', '.join(sorted(doubles))}")
    return found


def job_kinds() -> tuple[JobKind, ...]:
    """Return the job kinds of every domain."""
    return tuple(kind for domain in domains() for kind in domain.job_kinds)


def model_names() -> tuple[str, ...]:
    """Return the models that the domains need, as named in the catalogue."""
    return tuple(name for domain in domains() for name in domain.models)
