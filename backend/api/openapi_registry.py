"""The description of the routes of model versions."""

from typing import Any

from pydantic import BaseModel

from backend.api.openapi_parts import Described, Paths, operation
from backend.api.registry import Decision, LedgerQuery, LiveQuery, Person, Promotion, Tags
from backend.registry.rollout import Rollout
from backend.registry.views import LedgerPage, LiveAtView, VerifiedView, VersionPage, VersionView

INPUTS: tuple[type[BaseModel], ...] = (Decision, Promotion, Tags)
QUERIES: tuple[type[BaseModel], ...] = (Person, LiveQuery, LedgerQuery)
OUTPUTS: tuple[type[BaseModel], ...] = (VersionView, VersionPage, Rollout, LiveAtView, LedgerPage, VerifiedView)


def describe_registry(paths: Paths) -> None:
    """Describe versions, decisions about them, and questions to the ledger."""
    its, version = "/models/<model>", "/models/<model>/versions/<version>"
    one, page, rollout = paths.ok(VersionView), paths.ok(VersionPage), paths.ok(Rollout)
    missing, decided = paths.problems(404, 422, 503), paths.problems(400, 404, 409, 413, 415, 422, 503)
    bodies = {model: {"requestBody": paths.body(model)} for model in INPUTS}
    zipped = {"required": True, "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}
    made = paths.ok(VersionView, status="201", says="Verified and registered.") | decided

    def add(method: str, path: str, name: str, summary: str, answers: Described, **more: Any) -> None:
        paths.add(method, path, operation(f"registry.{name}", "models", summary, answers), **more)

    add("post", "/models/versions", "register", "Register a version", made, query=Person, requestBody=zipped)
    add("get", f"{its}/versions", "versions", "List the versions of a model", page | missing)
    add("get", version, "version", "Get one version", one | missing)
    add("patch", version, "tag", "Change the tags of a version", one | decided, **bodies[Tags])
    add("post", f"{version}/archive", "archive", "Put a version away", one | decided, **bodies[Decision])
    add("post", f"{version}/restore", "restore", "Take a version out of the archive", one | decided, **bodies[Decision])
    add("post", f"{its}/staging", "stage", "Let staging name a version", one | decided, **bodies[Promotion])
    add("post", f"{its}/production", "promote", "Serve a version", rollout | decided, **bodies[Promotion])
    add("post", f"{its}/rollback", "rollback", "Serve the version before", rollout | decided, **bodies[Decision])
    add("post", f"{its}/reload", "reload", "Load what is served anew", rollout | decided, **bodies[Decision])
    add("post", f"{its}/unload", "unload", "Serve no version of a model", rollout | decided, **bodies[Decision])
    add("get", f"{its}/rollout", "rollout", "Say which process serves which version", rollout | missing)
    live = paths.ok(LiveAtView) | missing
    add("get", f"{its}/live", "live", "Say what was live at a moment, and who decided it", live, query=LiveQuery)
    listed = paths.ok(LedgerPage) | paths.problems(422, 503)
    add("get", "/models/ledger", "ledger", "List the decisions", listed, query=LedgerQuery)
    verified = paths.ok(VerifiedView) | paths.problems(503)
    add("get", "/models/ledger/verification", "verify", "Verify the chain of decisions", verified)
