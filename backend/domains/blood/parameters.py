"""What models learnt besides their weights, as their manifests tell it."""

from typing import TypeVar

from pydantic import BaseModel, Field, ValidationError

from backend.errors import ArtifactError
from backend.inference.manifest import Manifest
from backend.ml.calibration import IntervalCurve


class AvailabilityParameters(BaseModel):
    """The interval of the rate at a score; how much requests differ, and donors nobody has asked yet (logits, sd)."""

    interval: IntervalCurve
    request_sd: float = Field(ge=0.0)
    donor_sd: float = Field(ge=0.0)


class Prior(BaseModel):
    """Imaginary commitments that every donor starts with."""

    kept: float = Field(gt=0.0)
    broken: float = Field(gt=0.0)


class ReliabilityParameters(BaseModel):
    """The prior of the empirical-Bayes model."""

    prior: Prior


Learnt = TypeVar("Learnt", bound=BaseModel)


def parameters_of(manifest: Manifest, schema: type[Learnt]) -> Learnt:
    """Return a manifest's parameters as `schema`.

    Raises:
        ArtifactError: the version lacks them.
    """
    try:
        return schema.model_validate(manifest.parameters)
    except ValidationError as error:
        raise ArtifactError(
            f"model {manifest.name}: the manifest of {manifest.version} does not fit {schema.__name__}; train it again"
        ) from error
