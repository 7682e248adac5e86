"""The Open Inference Protocol (KServe's and Triton's "v2") over HTTP, so that its clients work here."""

from flask import Blueprint, Flask, Response, json, request

from backend.api.openapi_parts import PROBLEM_JSON
from backend.api.v2 import inference, metadata, repository
from backend.api.v2.lane import FastLane

PREFIX = "/v2"

blueprint = Blueprint("v2", __name__, url_prefix=PREFIX)
for part in (inference, metadata, repository):
    blueprint.register_blueprint(part.blueprint)


@blueprint.after_app_request
def say_as_the_protocol(response: Response) -> Response:
    """Give a refusal the form that clients of the protocol read, also one of a path or method that is not there."""
    if response.mimetype == PROBLEM_JSON and request.path.startswith(PREFIX + "/"):
        problem = response.get_json(force=True)
        response.set_data(json.dumps({"error": problem["detail"], "code": problem["code"]}))
        response.content_type = "application/json"
    return response


def init_v2(app: Flask) -> None:
    """Give the application the protocol's routes."""
    app.register_blueprint(blueprint)
    app.wsgi_app = FastLane(app)  # type: ignore[method-assign] # the documented way to put one before Flask
