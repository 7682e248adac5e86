"""The job that compiles a version for this machine; predictions do not wait for it."""

from pydantic import BaseModel, ConfigDict, Field

from backend.errors import Unavailable
from backend.inference.catalogue import read_artifact
from backend.jobs.context import JobContext
from backend.jobs.kinds import JobKind
from backend.registry.registry import current_registry, entry_of
from backend.registry.versions import find


class CompileRequest(BaseModel):
    """Which version to compile."""

    model_config = ConfigDict(extra="forbid")

    model: str
    version: str


class CompileResult(BaseModel):
    """Whether there is a compiled forest now."""

    compiled: bool = Field(description="False where the version cannot be compiled; the worker's log says why.")


def compile_version(request: CompileRequest, context: JobContext) -> CompileResult:
    """Compile a version, to be used from its next load on.

    Raises:
        NotFound: there is no such version any more.
        ArtifactError: its files cannot be read.
    """
    registry = current_registry()
    with context.read() as session:
        version = find(session, request.model, request.version)
    artifact = read_artifact(registry.store_of(version), request.model, entry_of(version), trust=registry.trust)
    return CompileResult(compiled=registry.compiled.compile(artifact.manifest, artifact.weights))


COMPILE_MODEL = JobKind(
    name="platform.compile_model",
    path=None,
    summary="Compile a model version for this machine",
    request=CompileRequest,
    result=CompileResult,
    run=compile_version,
    queue="batch",
    timeout=700,  # the compiler is ended before that
    retries=1,
    retry_on=(Unavailable,),
)
